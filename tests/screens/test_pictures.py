"""The golden pictures: named scenes, at the sizes that count. Look before you accept a new one."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backends.domain.problem import Problem
from backends.sim import scenes
from backends.sim.behaviour import NEVER_HEALTHY
from tests.conftest import ROOT
from tests.support.pictures import FOLDER, compare
from tests.support.stage import Stage, on_stage

Way = Callable[[Stage], Awaitable[None]]

SMALL, LARGE = (80, 24), (160, 45)


async def nothing(stage: Stage) -> None:
    """As it is found."""


async def second_row(stage: Stage) -> None:
    """The cursor is on n2."""
    await stage.presses("down")
    await stage.settles()


async def third_row(stage: Stage) -> None:
    """The cursor is on n3."""
    await stage.presses("down", "down")
    await stage.settles()


async def choose(stage: Stage) -> None:
    """The list of releases."""
    await stage.presses("u")
    await stage.sees("4.12.0", "4.13.0")
    await stage.settles()


async def plan(stage: Stage, release: str = "down") -> None:
    """The plan of the good release; nothing was begun."""
    await choose(stage)
    await stage.presses("down", "enter") if release == "down" else await stage.presses("enter")
    await stage.sees("preflight for")
    await stage.settles()


async def before_the_first_install(stage: Stage, release: str = "down") -> None:
    """Preflight, stage and check are done."""
    await plan(stage, release)
    for then in ("send", "check", "install"):
        await stage.steps(then=then)
    await stage.settles()


async def first_trial(stage: Stage) -> None:
    """n1 runs the new version; the policy will pause after it."""
    await before_the_first_install(stage)
    await stage.presses("n")
    await stage.sees("health http-1 ok")


async def paused_after_the_first(stage: Stage) -> None:
    """n1 is accepted."""
    await first_trial(stage)
    await stage.moves(40)
    await stage.sees("paused after n1")
    await stage.settles()


async def second_trial(stage: Stage) -> None:
    """n2 runs it for 12 s, n1 is accepted."""
    await paused_after_the_first(stage)
    await stage.presses("n")
    await stage.sees("n2 changes now", "in trial")
    await stage.passes(12)


async def failed(stage: Stage) -> None:
    """The sick release, on the first node: it has undone itself."""
    await before_the_first_install(stage, "first")
    await stage.presses("n")
    await stage.sees("HTTP 503")
    for _ in range(31):
        await stage.moves(10)
    await stage.sees("why n1 failed", "proven")
    await stage.settles()


async def choices(stage: Stage) -> None:
    """The way back, opened in a cluster where a node has failed before."""
    await stage.presses("R")
    await stage.sees("what now")
    await stage.settles()


async def finalizing(stage: Stage) -> None:
    """The question before the last step."""
    await stage.presses("F")
    await stage.sees("way back afterwards: none")
    await stage.settles()


async def leaving(stage: Stage) -> None:
    """Quitting while n1 is in trial."""
    await first_trial(stage)
    await stage.passes(12)
    await stage.presses("q")
    await stage.sees("a run is under way")
    await stage.settles()


async def helped(stage: Stage) -> None:
    """The help."""
    await stage.presses("question_mark")
    await stage.sees("Keys")
    await stage.settles()


async def others_settle(stage: Stage) -> None:
    """n2 may begin as soon as n3 serves again."""
    await paused_after_the_first(stage)
    stage.cluster.nodes["n3"].behaviours[scenes.OLD] = NEVER_HEALTHY
    await stage.presses("n")
    await stage.sees("n2 waits, x ends the run; others healthy: n3")
    await stage.settles()


async def back_and_not_serving(stage: Stage) -> None:
    """n5 is back, and does not serve: n4 is not touched meanwhile."""
    stage.cluster.nodes["n5"].behaviours[scenes.OLD] = NEVER_HEALTHY
    await choices(stage)
    await stage.presses("down", "enter")
    await stage.sees("n5 goes first")
    await stage.presses("right", "enter")
    await stage.sees("n5 does not serve yet")
    await stage.passes(3)  # so that the nodes are looked at again
    await stage.sees("serving 4/5")
    await stage.settles()


async def link_gone(stage: Stage) -> None:
    """All nodes fall silent while n3 is in trial."""
    for node in stage.cluster.nodes.values():
        node.unreachable = Problem("tcp", f"{node.name} cannot be reached", "no route")
    stage.cut_links()
    await stage.sees("NO CONTACT")
    known = stage.app.picture

    def all_refused() -> bool:
        problems = [each.problem for each in known().state.as_read]
        return all(each is not None and each.code == "tcp" for each in problems)

    await stage.waits(all_refused, "the reason of each node")
    await stage.settles()


async def to_be_repaired(stage: Stage) -> None:
    """n3 was verified, and the release that is there chosen again."""
    await third_row(stage)
    await stage.steps(then="repair n3: choose 4.12.0 again")
    await stage.presses("n")
    await stage.sees("4.12.0", "4.13.0")
    await stage.presses("enter")
    await stage.sees("install 4.12.0 again on n3")
    await stage.settles()


PICTURES: dict[str, tuple[str, Way, tuple[tuple[int, int], ...]]] = {
    "cluster": ("settled", nothing, (SMALL, LARGE)),
    "half-way": ("half-way", third_row, (SMALL, LARGE)),
    "unreachable": ("partly", second_row, (SMALL,)),
    "down": ("down", nothing, (SMALL,)),
    "drifted": ("drifted", third_row, (SMALL, LARGE)),
    "repair": ("drifted", to_be_repaired, (SMALL,)),
    "no-contact": ("half-way", link_gone, (SMALL,)),
    "thousand": ("thousand", nothing, (LARGE,)),
    "releases": ("settled", choose, (SMALL,)),
    "plan": ("settled", plan, (SMALL, LARGE)),
    "trial": ("settled", second_trial, (SMALL, LARGE)),
    "failed": ("settled", failed, (SMALL, LARGE)),
    "settling": ("settled", others_settle, (SMALL,)),
    "way-back": ("failed", choices, (SMALL, LARGE)),
    "not-serving": ("ready", back_and_not_serving, (SMALL,)),
    "finalize": ("ready", finalizing, (SMALL,)),
    "leaving": ("settled", leaving, (SMALL,)),
    "help": ("settled", helped, (SMALL,)),
}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(
            name,
            size,
            id=f"{name}-{size[0]}x{size[1]}",
            # The large ones say little that the small ones do not.
            marks=[pytest.mark.drill] if size == LARGE and len(sizes) > 1 else [],
        )
        for name, (_, _, sizes) in PICTURES.items()
        for size in sizes
    ],
)
async def test_the_screen_looks_as_in_its_picture(
    name: str,
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    update_screenshots: bool,
) -> None:
    scene, way, _ = PICTURES[name]
    async with on_stage(scene, size, tmp_path, monkeypatch) as stage:
        await way(stage)
        compare(stage.app, name, update=update_screenshots)


def test_every_picture_is_of_a_scene_and_every_scene_has_its_pictures() -> None:
    wanted = {
        f"{name}-{width}x{height}.svg"
        for name, (_, _, sizes) in PICTURES.items()
        for width, height in sizes
    }
    assert {path.name for path in FOLDER.glob("*.svg")} == wanted


def test_the_readme_shows_pictures_that_are_there() -> None:
    shown = re.findall(r"screenshots/([\w.-]+\.svg)", (ROOT / "README.md").read_text())
    assert len(set(shown)) >= 4
    assert all((FOLDER / name).exists() for name in shown)


def test_a_picture_fetches_nothing_and_names_nothing_of_this_machine() -> None:
    for path in FOLDER.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        links = set(re.findall(r"https?://[^\s\"'<)]+", text))
        assert links <= {"http://www.w3.org/2000/svg"}, path.name
        assert "/tmp" not in text, path.name
        assert str(Path.home()) not in text, path.name
