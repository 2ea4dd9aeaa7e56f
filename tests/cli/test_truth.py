"""Nothing reads as success that is not: states that a careless program would call done."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.session import open_session
from backends.engine.acts import Acts
from backends.engine.events import Event
from backends.engine.readings import read_all
from backends.engine.results import Result
from backends.engine.scribe import Scribe
from backends.store.book import Book, Start
from tests.support.cluster import Cluster


def kill_drivers(cluster: Cluster) -> None:
    """End every updater at work, by its id, and wait until it is gone."""
    for pid in cluster.drivers():
        os.kill(pid, signal.SIGKILL)
    wait(lambda: not cluster.drivers())


def wait(reached: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def results(ran: Any) -> dict[str, str]:
    """Result of each node in the last line of an acting command."""
    return {node["name"]: node["result"] for node in ran.lines[-1]["nodes"]}


def stop_service(cluster: Cluster, node: str, version: str) -> None:
    """Kill a node's service behind everybody's back."""
    pid_file = cluster.top / node / "opt" / "beacon" / version / "beacon.pid"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    wait(lambda: cluster.status()["verdict"]["down"] == [node])


@pytest.mark.drill
def test_a_node_that_was_finalized_meanwhile_is_not_called_rolled_back(
    settled: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settled.upgrade("4.12.0").status == 0
    monkeypatch.setenv("LIFTLOCK_STATE_DIR", str(settled.top / "operator"))
    monkeypatch.setenv("LIFTLOCK_CONFIG_DIR", str(settled.top / "config"))
    session = open_session(str(settled.file))
    stale = asyncio.run(read_all(session.contacts.values()))
    assert settled.run("finalize", str(settled.file), "--yes").status == 0

    async def go_on(*said: object) -> bool:
        return True

    book = Book(settled.top / "book")
    book.begin(Start("r", "harbor", "beacon", "rollback", "ann", 0.0))
    events: list[Event] = []
    acts = Acts(session.contacts, Scribe(book, "r", events.append), 5.0)
    found = asyncio.run(acts.roll_back(stale, "too late", go_on))
    book.close()
    assert [item.result for item in found] == [Result.REFUSED]
    assert found[0].problem is not None
    assert found[0].problem.code == "finalized-meanwhile"
    assert settled.status()["verdict"]["to"] == "4.12.0"


def test_a_release_of_another_product_is_refused_before_any_node_hears_of_it(
    settled: Cluster,
) -> None:
    ran = settled.run(
        "release", "build", str(settled.top / "source-4.12.0"), "--name", "other",
        "--version", "4.12.0", "-o", str(settled.top / "releases"),
    )  # fmt: skip
    assert ran.status == 0
    release = str(settled.top / "releases" / "other-4.12.0.tar.gz")
    for words in (["plan"], ["upgrade", "--yes"]):
        ran = settled.run(words[0], str(settled.file), release, *words[1:])
        assert ran.status == 4, ran
        assert "release-other-product" in ran.err


@pytest.mark.drill
def test_the_same_content_under_another_version_is_another_release(settled: Cluster) -> None:
    assert settled.upgrade("4.12.0").status == 0
    settled.run(
        "release", "build", str(settled.top / "source-4.12.0"), "--name", "beacon",
        "--version", "4.12.1", "-o", str(settled.top / "releases"),
    )  # fmt: skip
    settled.releases["4.12.1"] = settled.top / "releases" / "beacon-4.12.1.tar.gz"
    ran = settled.upgrade("4.12.1")
    assert ran.status == 4, ran
    assert settled.status()["nodes"][0]["selected"] == "4.12.0"


@pytest.mark.drill
def test_finalize_is_refused_while_an_accepted_node_does_not_serve(settled: Cluster) -> None:
    assert settled.upgrade("4.12.0").status == 0
    stop_service(settled, "n1", "4.12.0")
    ran = settled.run("finalize", str(settled.file), "--yes")
    assert ran.status == 4, ran
    assert "not-all-accepted" in ran.err
    assert settled.run("rollback", str(settled.file), "--yes").status == 0


@pytest.mark.drill
def test_p05_a_way_back_that_is_not_whole_is_refused_while_the_new_version_serves(
    settled: Cluster,
) -> None:
    assert settled.upgrade("4.12.0").status == 0
    old = settled.top / "n1/opt/beacon/4.11.0/beacon.py"
    whole = old.read_bytes()
    old.write_bytes(whole + b"#")
    ran = settled.run("rollback", str(settled.file), "--yes", "--json")
    assert ran.status == 4, ran
    (node,) = ran.lines[-1]["nodes"]
    assert (node["result"], node["problem"]["code"]) == ("refused", "old-version-changed")
    assert "changed: beacon.py" in node["problem"]["evidence"]
    status = settled.status()
    assert status["verdict"]["kind"] == "ready_to_finalize"
    assert (status["nodes"][0]["running"], status["nodes"][0]["health"]) == ("4.12.0", "healthy")
    old.write_bytes(whole)
    assert settled.run("rollback", str(settled.file), "--yes").status == 0
    assert settled.status()["nodes"][0]["running"] == "4.11.0"


@pytest.mark.drill
def test_what_is_there_already_is_looked_at_before_it_is_called_there(settled: Cluster) -> None:
    """Z10: verified and left alone, by content and by service."""
    assert settled.upgrade("4.12.0").status == 0
    stop_service(settled, "n1", "4.12.0")
    ran = settled.upgrade("4.12.0", "--json")
    assert (ran.status, results(ran)) == (6, {"n1": "unhealthy"})
    assert settled.run("rollback", str(settled.file), "--yes").status == 0
    control = settled.top / "n1" / "opt" / "beacon" / "4.11.0" / "control"
    control.write_text(control.read_text() + "# edited by hand\n")
    ran = settled.upgrade("4.11.0", "--json")
    assert (ran.status, results(ran)) == (6, {"n1": "unhealthy"})
    assert "changed: control" in ran.lines[-1]["nodes"][0]["problem"]["evidence"]


@pytest.mark.drill
def test_a_failed_node_beside_an_accepted_one_is_never_exit_5(
    make_cluster: Callable[..., Cluster],
) -> None:
    """Exit 5 promises that no node is left on the new version; 3 and 4 that nothing changed."""
    cluster = make_cluster(2, pause="first")
    cluster.release("4.11.0")
    for _ in range(2):
        cluster.upgrade("4.11.0")
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0
    cluster.release("4.12.0")
    assert cluster.upgrade("4.12.0").status == 10
    stop_service(cluster, "n2", "4.11.0")
    ran = cluster.upgrade("4.12.0", "--json")
    assert (ran.status, results(ran)) == (6, {"n1": "already", "n2": "refused"})


@pytest.mark.drill
def test_a_second_try_follows_its_own_transaction_and_is_accepted(
    make_settled: Callable[..., Cluster],
) -> None:
    """A node that failed once in a run has another transaction the next time, by another name."""
    settled = make_settled(min_healthy="3s", healthy_deadline="8s", accept_window="20s")
    words = ["upgrade", str(settled.file), str(settled.releases["4.12.0"]), "--yes"]
    first = settled.start(*words)
    wait(lambda: bool(settled.drivers()))
    settled.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    first.send_signal(signal.SIGSTOP)
    kill_drivers(settled)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = settled.start(*words)
    settled.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    second.send_signal(signal.SIGKILL)
    second.communicate()
    ran = settled.upgrade("4.12.0")
    assert ran.status == 0, ran
    assert settled.status()["verdict"]["kind"] == "ready_to_finalize"


@pytest.mark.drill
def test_accept_of_a_trial_that_nobody_watches_is_refused_and_undoes_nothing(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(accept="manual", accept_window="30s")
    cluster.release("4.11.0")
    words = ["upgrade", str(cluster.file), str(cluster.releases["4.11.0"]), "--yes"]
    operator = cluster.start(*words)
    wait(lambda: bool(cluster.drivers()))
    cluster.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    operator.send_signal(signal.SIGKILL)
    operator.communicate()
    kill_drivers(cluster)
    before = cluster.product("n1")
    node = cluster.status()["nodes"][0]
    assert node["transaction"]["decides_in_seconds"] is None  # nobody counts any more
    ran = cluster.run("accept", str(cluster.file), "n1")
    assert ran.status == 4, ran
    assert "driver-gone" in ran.err
    assert cluster.product("n1") == before


@pytest.mark.drill
def test_a_part_of_the_cluster_is_shown_but_the_verdict_is_about_all(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2)
    cluster.release("4.11.0")
    one = cluster.upgrade("4.11.0", "-n", "n1", "--json")
    assert (one.status, results(one)) == (0, {"n1": "accepted"})
    shown = cluster.run("status", str(cluster.file), "-n", "n2", "--json")
    assert shown.status == 10
    assert [node["name"] for node in shown.json["nodes"]] == ["n2"]
    assert shown.json["verdict"]["kind"] == "upgrading"
    assert shown.json["verdict"]["nodes_total"] == 2
    cluster.release("4.12.0")
    assert cluster.upgrade("4.12.0", "-n", "n2").status in (4, 6)
    two = cluster.upgrade("4.11.0", "-n", "n2", "--json")
    assert (two.status, results(two)) == (0, {"n2": "accepted"})
    assert two.lines[-1]["run"] == one.lines[-1]["run"]
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0


@pytest.mark.drill
def test_a_pause_after_each_role_holds_also_with_a_larger_batch(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(3, pause="after_role", batch=2)
    text = cluster.file.read_text()
    for name, role in (("n1", "voter"), ("n2", "data"), ("n3", "data")):
        text = text.replace(f"{name} = {{", f'{name} = {{ role = "{role}",')
    cluster.file.write_text(text)
    cluster.release("4.11.0")
    first = cluster.upgrade("4.11.0", "--json")
    assert first.status == 10, first
    assert results(first) == {"n1": "accepted", "n2": "not_started", "n3": "not_started"}
    second = cluster.upgrade("4.11.0", "--json")
    assert (second.status, set(results(second).values())) == (0, {"already", "accepted"})


@pytest.mark.drill
def test_an_excluded_node_is_named_as_such_and_never_counted_as_done(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2)
    cluster.file.write_text(
        cluster.file.read_text().replace("n2 = {", 'n2 = { exclude = "INC-77",')
    )
    cluster.release("4.11.0")
    assert results(cluster.upgrade("4.11.0", "--json")) == {"n1": "accepted", "n2": "excluded"}
    ran = cluster.run("finalize", str(cluster.file), "--yes", "--json")
    assert (ran.status, results(ran)) == (0, {"n1": "finalized", "n2": "excluded"})
    ran = cluster.run("accept", str(cluster.file), "n2", "--json")
    assert results(ran) == {"n2": "excluded"}


def test_a_node_locked_from_elsewhere_is_exit_7(
    settled: Cluster, make_cluster: Callable[..., Cluster]
) -> None:
    """P12: another workstation's run holds the node; ours is told, and nothing changes."""
    import fcntl

    lock = settled.top / "n1" / "state" / "beacon" / "lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = settled.upgrade("4.12.0", "--json")
    assert (ran.status, results(ran)) == (7, {"n1": "locked"})


def test_two_nodes_on_one_machine_with_one_directory_are_refused(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2)
    cluster.profile.write_text(cluster.profile.read_text().replace("/{node}/opt", "/opt"))
    ran = cluster.run("status", str(cluster.file))
    assert ran.status == 2
    assert "directory-shared" in ran.err


@pytest.mark.drill
def test_a_reader_that_goes_away_ends_neither_run_nor_exit_code(settled: Cluster) -> None:
    operator = settled.start(
        "upgrade", str(settled.file), str(settled.releases["4.12.0"]), "--yes", "--json"
    )
    assert operator.stdout is not None
    operator.stdout.readline()
    operator.stdout.close()
    assert operator.stderr is not None
    said = operator.stderr.read()
    assert operator.wait(timeout=30) == 0, said
    operator.stderr.close()
    assert "Traceback" not in said
    assert settled.status()["verdict"]["kind"] == "ready_to_finalize"


@pytest.mark.drill
def test_an_unwritable_book_in_the_middle_does_not_send_a_healthy_node_back(
    settled: Cluster,
) -> None:
    operator = settled.start(
        "upgrade", str(settled.file), str(settled.releases["4.12.0"]), "--yes"
    )
    wait(lambda: bool(settled.drivers()))
    import sqlite3

    blocker = sqlite3.connect(settled.top / "operator" / "history.sqlite3", isolation_level=None)
    blocker.execute("begin exclusive")
    try:
        settled_at_last = settled.wait_for(
            lambda found: found["nodes"][0]["state"] in ("accepted", "rolled_back"), 60
        )
    finally:
        blocker.execute("rollback")
        blocker.close()
    operator.communicate(timeout=60)
    assert settled_at_last["nodes"][0]["state"] == "accepted"


def test_bare_liftlock_looks_at_the_cluster_that_is_here(
    settled: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settled.top)
    greeting = settled.run()
    assert (greeting.status, "liftlock init" in greeting.out) == (0, True)
    (settled.top / "cluster.toml").write_text(settled.file.read_text())
    assert "settled 4.11.0" in settled.run().out


def test_a_release_is_not_replaced_by_other_content_of_the_same_version(settled: Cluster) -> None:
    source = settled.top / "source-4.12.0"
    words = ["release", "build", str(source), "--name", "beacon", "--version", "4.12.0"]
    out = ["-o", str(settled.top / "releases")]
    before = Path(settled.releases["4.12.0"]).read_bytes()
    assert settled.run(*words, *out).status == 0  # the same content is the same release
    (source / "more").write_text("x")
    ran = settled.run(*words, *out)
    assert (ran.status, "release-exists" in ran.err) == (2, True)
    assert Path(settled.releases["4.12.0"]).read_bytes() == before


def test_a_hook_that_says_no_before_finalize_is_quoted_and_nothing_is_final(
    settled: Cluster,
) -> None:
    mark = settled.top / "mark"
    settled.write_profile(
        '[[hooks]]\nname = "flags"\nwhen = "before_finalize"\n'
        f'command = ["sh", "-c", "test -e {mark} || {{{{ echo flags are off; exit 1; }}}}"]\n'
    )
    assert settled.upgrade("4.12.0").status == 0
    ran = settled.run("finalize", str(settled.file), "--yes")
    assert ran.status == 4, ran
    assert "n1 is not finalized: a hook before it failed" in ran.said
    assert "exit 1: flags are off" in ran.said
    assert settled.status()["verdict"]["kind"] == "ready_to_finalize"
    mark.touch()
    assert settled.run("finalize", str(settled.file), "--yes").status == 0
    assert settled.status()["verdict"]["kind"] == "settled"


def test_what_becomes_of_copied_data_has_to_be_said(settled: Cluster) -> None:
    data = settled.top / "n1" / "db"
    data.mkdir()
    (data / "table").write_text("format 1\n")
    settled.write_profile(f'[data]\ndirectories = ["{data}"]\n')
    assert settled.upgrade("4.12.0").status == 0
    assert "data copied:" in settled.run("journal", str(settled.file)).out
    (data / "table").write_text("format 2\n")
    (opened,) = (node["transaction"] for node in settled.status()["nodes"])
    assert opened["data"]["directories"] == [str(data)]
    assert opened["data"]["bytes"] == 9

    ran = settled.run("rollback", str(settled.file), "--yes")
    assert ran.status == 2, ran
    assert f"{data}, copied" in ran.said
    assert "--data keep" in ran.said
    assert settled.status()["verdict"]["kind"] == "ready_to_finalize"

    ran = settled.run("rollback", str(settled.file), "--yes", "--data", "restore")
    assert ran.status == 0, ran
    assert "with the data of before" in ran.said
    assert (data / "table").read_text() == "format 1\n"
    assert settled.status()["verdict"]["kind"] == "settled"


def test_to_take_over_is_a_named_act(make_settled: Callable[..., Cluster]) -> None:
    cluster = make_settled(accept="manual", accept_window="30s", healthy_deadline="20s")
    upgrade = cluster.start("upgrade", str(cluster.file), str(cluster.releases["4.12.0"]), "--yes")
    cluster.wait_for(lambda status: status["nodes"][0]["state"] == "monitoring")
    (driver,) = cluster.drivers()
    os.kill(driver, signal.SIGSTOP)
    about = ("takeover", str(cluster.file), "--yes")
    assert cluster.run(*about).status == 2
    ran = cluster.run(*about, "--reason", "it hangs")
    assert ran.status == 0, ran
    assert "n1: the updater at work on run" in ran.said
    assert cluster.drivers() != [driver]
    cluster.wait_for(lambda status: status["nodes"][0]["health"] == "healthy")
    assert cluster.run("accept", str(cluster.file), "n1").status == 0
    assert cluster.run(*about, "--reason", "again").status == 4
    upgrade.communicate(timeout=30)
