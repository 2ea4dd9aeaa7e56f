"""Bad input: a clear problem, the exit code of the table, and nothing changed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.node import picture


@pytest.fixture
def untouched(settled: Cluster) -> Iterator[Cluster]:
    """A settled cluster on which the test must change nothing."""
    before = settled.product("n1"), settled.status()["nodes"][0]["running"]
    yield settled
    settled.write_cluster_again()
    after = settled.product("n1"), settled.status()["nodes"][0]["running"]
    assert after == before


def test_a_misspelt_key_is_named_with_its_line_and_the_nearest_one(untouched: Cluster) -> None:
    untouched.file.write_text(untouched.file.read_text().replace("pause =", "pasue ="))
    ran = untouched.upgrade("4.12.0")
    assert ran.status == 2
    assert "file-invalid" in ran.err
    assert "pasue" in ran.err
    assert "did you mean pause" in ran.err
    line = untouched.file.read_text().splitlines().index('pasue = "none"') + 1
    assert f"harbor.toml:{line}" in ran.err


def test_a_missing_release_is_a_usage_error_and_no_node_is_contacted(untouched: Cluster) -> None:
    ran = untouched.run("upgrade", str(untouched.file), "releases/beacon-9.9.9.tar.gz", "--yes")
    assert ran.status == 2
    assert "release-missing" in ran.err
    assert not (untouched.top / "n1" / "state" / "beacon" / "run.json").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_b18_a_damaged_tarball_is_refused_before_any_node_hears_of_it(
    untouched: Cluster, damage: str
) -> None:
    tarball = untouched.releases["4.12.0"]
    content = bytearray(tarball.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        content[len(content) // 2] ^= 0x01
    tarball.write_bytes(content)
    ran = untouched.upgrade("4.12.0")
    assert ran.status == 4
    assert "tarball-truncated" in ran.err if damage == "truncated" else "tarball-digest" in ran.err


def test_a_node_without_python_is_exit_3_and_says_what_to_do(untouched: Cluster) -> None:
    text = untouched.file.read_text().replace(
        'transport = "local"', 'transport = "local", python = "/no/such/python3"'
    )
    untouched.file.write_text(text)
    status = untouched.run("status", str(untouched.file), "--json")
    assert status.status == 3
    assert status.json["nodes"][0]["problem"]["code"] == "no-python"
    assert status.json["verdict"]["kind"] == "unknown"
    assert status.json["nodes"][0]["running"] == {"unknown": "n1 has no Python 3 that was found"}
    ran = untouched.upgrade("4.12.0")
    assert ran.status == 3, ran
    assert "no-python" in ran.err


def test_a_product_directory_that_is_a_file_is_refused(harbor: Cluster) -> None:
    harbor.release("4.11.0")
    (harbor.top / "n1" / "opt").mkdir(parents=True)
    (harbor.top / "n1" / "opt" / "beacon").write_text("I am a file\n")
    before = picture(harbor.top / "n1")
    ran = harbor.upgrade("4.11.0")
    assert ran.status == 4, ran
    assert "no directory" in ran.err
    assert picture(harbor.top / "n1") == before


def test_r20_a_node_marked_disabled_is_left_alone_and_shown_as_disabled(settled: Cluster) -> None:
    (settled.top / "n1" / "state" / "beacon" / "disabled").write_text("disk dead, INC-77\n")
    status = settled.run("status", str(settled.file), "--json")
    assert status.json["nodes"][0]["state"] == "disabled"
    assert status.json["verdict"]["excluded"] == [{"name": "n1", "reason": "disk dead, INC-77"}]
    before = settled.product("n1")
    ran = settled.upgrade("4.12.0")
    assert "disk dead" in ran.out + ran.err
    assert settled.product("n1") == before


def test_z9_a_second_upgrade_while_one_runs_is_told_who_and_what_exit_7(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(min_healthy="2s", healthy_deadline="6s")
    cluster.release("4.11.0")
    first = cluster.start(
        "upgrade", str(cluster.file), str(cluster.releases["4.11.0"]), "--yes", "--note", "CHG-1"
    )
    _wait(lambda: bool(cluster.drivers()))
    second = cluster.upgrade("4.11.0")
    assert second.status == 7
    assert "run-locked" in second.err
    assert "what upgrade" in second.err
    first.communicate(timeout=30)
    assert first.returncode == 0


def test_n9_an_upgrade_to_another_version_waits_until_the_last_one_is_final(
    settled: Cluster,
) -> None:
    settled.release("4.14.0")
    assert settled.upgrade("4.12.0").status == 0
    before = settled.product("n1")
    ran = settled.upgrade("4.14.0")
    assert ran.status == 4, ran
    assert "4.12.0" in ran.err
    assert settled.product("n1") == before


def test_o18_the_same_version_with_other_content_is_refused(settled: Cluster) -> None:
    source = settled.top / "source-4.11.0"
    (source / "extra").write_text("other content\n")
    settled.run(
        "release", "build", str(source), "--name", "beacon", "--version", "4.11.0",
        "-o", str(settled.top / "other"),
    )  # fmt: skip
    before = settled.product("n1")
    ran = settled.run(
        "upgrade", str(settled.file), str(settled.top / "other/beacon-4.11.0.tar.gz"), "--yes"
    )
    assert ran.status == 4, ran
    assert settled.product("n1") == before


def test_without_a_terminal_and_without_yes_nothing_is_contacted(untouched: Cluster) -> None:
    for words in (["upgrade", str(untouched.releases["4.12.0"])], ["rollback"], ["finalize"]):
        ran = untouched.run(words[0], str(untouched.file), *words[1:])
        assert ran.status == 2, ran
        assert "nobody-to-ask" in ran.err


def test_a_service_that_fails_before_the_upgrade_is_a_refusal_not_a_failure(
    settled: Cluster,
) -> None:
    pid = int((settled.top / "n1/opt/beacon/4.11.0/beacon.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    ran = settled.upgrade("4.12.0")
    assert ran.status == 4, ran
    assert "baseline" in ran.err
    assert settled.run("status", str(settled.file)).status == 6  # settled, and down


def test_signatures_that_are_required_cannot_be_passed_over(settled: Cluster) -> None:
    settled.file.write_text(settled.file.read_text().replace('"optional"', '"required"'))
    ran = settled.upgrade("4.12.0")
    assert ran.status == 4
    assert "signature-missing" in ran.err


@pytest.mark.drill
def test_in_production_a_headless_finalize_needs_the_version(settled: Cluster) -> None:
    settled.file.write_text(
        settled.file.read_text().replace("[cluster]", '[cluster]\nenvironment = "production"')
    )
    assert settled.upgrade("4.12.0").status == 0
    ran = settled.run("finalize", str(settled.file), "--yes")
    assert (ran.status, "version-not-typed" in ran.err) == (2, True)
    wrong = settled.run("finalize", str(settled.file), "4.13.0", "--yes")
    assert (wrong.status, "not-all-accepted" in wrong.err) == (4, True)
    assert settled.run("finalize", str(settled.file), "4.12.0", "--yes").status == 0


def test_an_unknown_node_name_is_one_error_and_the_others_go_on(settled: Cluster) -> None:
    ran = settled.run("status", str(settled.file), "-n", "n1,n7", "--json")
    assert ran.status == 2
    assert "There is no node n7" in ran.err
    assert [node["name"] for node in ran.json["nodes"]] == ["n1"]


def test_a_misspelt_command_is_not_taken_for_a_cluster(harbor: Cluster) -> None:
    ran = harbor.run("upgrad", str(harbor.file))
    assert ran.status == 2
    assert "Did you mean 'upgrade'" in ran.err


def test_the_operators_full_disk_begins_nothing(settled: Cluster) -> None:
    """Row 62: what cannot be written down is not begun."""
    operator = settled.top / "operator"
    before = settled.product("n1")
    (operator / "history.sqlite3").unlink()
    for name in ("history.sqlite3-wal", "history.sqlite3-shm"):
        (operator / name).unlink(missing_ok=True)
    (operator / "history.sqlite3").mkdir()
    ran = settled.upgrade("4.12.0")
    assert ran.status == 2
    assert "book-unwritable" in ran.err
    assert settled.product("n1") == before


@pytest.mark.drill
def test_ctrl_c_says_what_the_nodes_do_by_themselves_exit_130(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(min_healthy="5s", healthy_deadline="9s", accept_window="18s")
    cluster.release("4.11.0")
    operator = subprocess.Popen(
        [sys.executable, "-m", "app", "upgrade", str(cluster.file)]
        + [str(cluster.releases["4.11.0"]), "--yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cluster.environment,
        # Tests that were started in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _wait(lambda: bool(cluster.drivers()))
    operator.send_signal(signal.SIGINT)
    _, err = operator.communicate(timeout=30)
    assert operator.returncode == 130, err
    assert re.search("n1 (is in trial: at .* it goes back|goes on without you)", err), err
    assert "Traceback" not in err
    assert cluster.upgrade("4.11.0").status == 0  # and the same command goes on


def test_json_of_every_kind_is_what_the_schemas_say(settled: Cluster) -> None:
    schemas = {
        path.stem: json.loads(path.read_text())
        for path in (Path(__file__).parents[2] / "app" / "schemas").glob("*.json")
    }
    from jsonschema import Draft202012Validator

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    status = settled.run("status", str(settled.file), "--json").json
    Draft202012Validator(schemas["status"]).validate(status)
    ran = settled.upgrade("4.13.0", "--json")
    for line in ran.lines[:-1]:
        Draft202012Validator(schemas["event"]).validate(line)
    Draft202012Validator(schemas["outcome"]).validate(ran.lines[-1])
    broken = dict(status, verdict=dict(status["verdict"], kind="fine"))
    assert not Draft202012Validator(schemas["status"]).is_valid(broken)


def _wait(reached: Callable[[], bool], seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.02)
