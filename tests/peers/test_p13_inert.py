"""What a node says stands on the screen as letters: no terminal obeys it, and no markup counts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backends.sim import scenes
from backends.sim.behaviour import Behaviour
from backends.sim.clock import SimClock
from backends.sim.cluster import SimCluster
from tests.hostile.painted import taken_apart
from tests.support.cluster import Cluster
from tests.support.stage import on_stage

MARKUP = "[red]x[/] [@click=app.quit]y[/] [/z]"
OBEYED = "a\x1b[2J\x1b]0;t\x07\x1b]52;c;QQ==\x07\x9b31mb\u202ec\rd"
SHOWN = "^["


def _failed(clock: SimClock) -> SimCluster:
    """n1 went back, and what it says of it is made to be obeyed."""
    cluster = scenes.settled(clock, 2)
    said = f"{OBEYED} {MARKUP}"
    cluster.nodes["n1"].behaviours[scenes.NEW] = Behaviour(
        healthy_after=None, evidence=said, log=(said, MARKUP)
    )
    cluster.stage(scenes.NEW, scenes.RUN, *cluster.nodes)
    cluster.install("n1", scenes.NEW, scenes.RUN)
    cluster.until_rest("n1")
    return cluster


async def test_p13_texts_of_a_node_are_letters_on_every_view_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in terminal programs: a log line cleared the screen, or was taken for markup."""
    monkeypatch.setitem(scenes.SCENES, "hostile", _failed)
    async with on_stage("hostile", (160, 45), tmp_path, monkeypatch) as stage:
        seen = [stage.text]
        for keys in (("R",), ("escape", "enter"), ("escape", "J")):
            await stage.presses(*keys)
            await stage.settles()
            seen.append(stage.text)
        title = stage.app.title
    found = "\n".join(seen)
    assert taken_apart(found.replace("\n", "").encode()).strange == []
    assert "[red]x[/]" in found, "markup is letters"
    assert SHOWN in found, "what a terminal would obey is named"
    assert title == "Liftlock"


@pytest.mark.drill
def test_p13_a_log_that_is_made_to_be_obeyed_is_letters_in_the_terminal_and_in_the_history(
    make_cluster: Callable[..., Cluster],
) -> None:
    """The same in all that the command line prints, of a real service that logs it."""
    cluster = make_cluster()
    cluster.settle("4.11.0")
    cluster.release("4.13.0", sick=True)
    source = cluster.top / "source-4.14.0"
    (cluster.top / "source-4.13.0").rename(source)
    (source / "VERSION").write_text("4.14.0\n")
    script = source / "control"
    text = script.read_text()
    script.write_text(text.replace("tail)", f"tail) printf '%s\\n' '{OBEYED} {MARKUP}';", 1))
    assert script.read_text() != text
    words = ("--name", "beacon", "--version", "4.14.0", "-o", str(cluster.top / "releases"))
    assert cluster.run("release", "build", str(source), *words).status == 0
    cluster.releases["4.14.0"] = cluster.top / "releases" / "beacon-4.14.0.tar.gz"
    ran = cluster.upgrade("4.14.0")
    assert ran.status == 5, ran
    asked = [ran]
    for command in ("status", "journal", "report"):
        asked.append(cluster.run(command, str(cluster.file)))
        asked.append(cluster.run(command, str(cluster.file), "--json"))
    for each in asked:
        said = (each.out + each.err).replace("\n", "")
        assert taken_apart(said.encode("utf-8", "surrogatepass")).strange == []
        assert "\x1b" not in said
        assert "\r" not in said
    assert any("[red]x[/]" in each.out for each in asked)
