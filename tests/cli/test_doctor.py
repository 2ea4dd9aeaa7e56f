"""`doctor`: each thing a row with evidence, advice where it is not well, and it only looks."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.headless.advice import _ADVICE
from backends.node.checks_fitness import CHECKS as FITNESS
from backends.node.checks_preflight import CHECKS as PREFLIGHT
from tests.support.cluster import Cluster, Ran
from tests.support.node import picture
from tests.support.served import Served, served

HERE = ["python", "program", "version", "updater", "run history", "room"]
SSH = ["ssh config", "client keys", "agent", "known_hosts"]

Row = dict[str, str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two nodes over SSH, which the tests of this module only look at."""
    with served(tmp_path_factory.mktemp("demo"), 2) as found:
        yield found


def rows(ran: Ran) -> dict[tuple[str, str], Row]:
    """By where and what; each must be whole."""
    found = {}
    for row in ran.lines:
        assert set(row) == {"schema", "where", "what", "result", "evidence", "advice"}
        assert row["result"] in ("ok", "warn", "refused", "unknown")
        assert row["evidence"]
        assert bool(row["advice"]) == (row["result"] != "ok") or row["result"] == "refused", row
        found[row["where"], row["what"]] = row
    return found


def results(ran: Ran, result: str) -> set[tuple[str, str]]:
    return {key for key, row in rows(ran).items() if row["result"] == result}


def test_all_is_well_and_every_row_is_there(demo: Served) -> None:
    ran = demo.on("doctor", "--json")
    assert ran.status == 0, ran
    found = rows(ran)
    here = [what for where, what in found if where == "here"]
    assert here == [*HERE, *SSH, "ssh-keygen", "signers"]
    for node in ("n1", "n2"):
        whats = [what for where, what in found if where == node]
        checks = [name for name, _ in (*PREFLIGHT, *FITNESS)]
        assert whats == ["reach", "sudo", *checks]
    assert results(ran, "refused") | results(ran, "unknown") == set()
    assert results(ran, "warn") == {("n1", "second layer"), ("n2", "second layer")}
    assert found["n1", "second layer"]["advice"]


def test_it_only_looks(demo: Served, home: Path) -> None:
    before = picture(demo.directory / "nodes"), sorted(os.listdir(demo.directory))
    assert demo.on("doctor").status == 0
    assert (picture(demo.directory / "nodes"), sorted(os.listdir(demo.directory))) == before
    assert demo.run("doctor").status == 0
    assert list(home.iterdir()) == [], "looking made files"


def test_every_row_of_a_node_has_an_advice_of_its_own() -> None:
    names = {name for name, _ in (*PREFLIGHT, *FITNESS)} - {"account"}
    assert names - set(_ADVICE) == set()


def test_a_node_that_is_not_reached_is_exit_3_and_the_other_is_looked_at(demo: Served) -> None:
    file = demo.variant("gone.toml", {r"(?<=n2 = \{ address = \"127.0.0.1\", port = )\d+": "1"})
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 3, ran
    found = rows(ran)
    assert found["n2", "reach"]["result"] == "refused"
    assert "[tcp]" in found["n2", "reach"]["evidence"]
    assert ("n2", "python") not in found
    assert found["n1", "baseline"]["result"] == "ok"


def test_an_unknown_host_key_is_no_reach_and_says_what_to_do(demo: Served) -> None:
    file = demo.variant("unknown.toml", {'known_hosts = ".*"': 'known_hosts = "nobody"'})
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 3
    row = rows(ran)["n1", "reach"]
    assert "host-key-unknown" in row["evidence"]
    assert "trust" in row["advice"]
    assert not (demo.directory / "nobody").exists()


def test_what_cannot_be_read_of_known_hosts_is_said(demo: Served) -> None:
    known = (demo.directory / "known_hosts").read_text()
    odd = demo.directory / "odd_hosts"
    odd.write_text(known + "n9 ssh-ed25519 nonsense\n")
    file = demo.variant("odd.toml", {'known_hosts = ".*"': 'known_hosts = "odd_hosts"'})
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 0, ran
    row = rows(ran)["here", "known_hosts"]
    assert row["result"] == "warn"
    assert "odd_hosts:3" in row["evidence"]
    odd.write_bytes(b"\0" * 10)
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 4, ran
    assert rows(ran)["here", "known_hosts"]["result"] == "refused"
    odd.unlink()


@pytest.mark.parametrize(
    ("pattern", "new", "what"),
    [
        ('allowed_signers = ".*"', 'allowed_signers = "gone"', "signers"),
        ('allowed_signers = ".*"', "", "signers"),
        ('operator_state = ".*"', 'operator_state = "signers/x"', "run history"),
    ],
)
def test_what_would_refuse_an_upgrade_here_is_exit_4(
    demo: Served, pattern: str, new: str, what: str
) -> None:
    file = demo.variant("worse.toml", {pattern: new})
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 4, ran
    assert results(ran, "refused") == {("here", what)}
    assert rows(ran)["here", what]["advice"]


def test_a_damaged_history_is_exit_4_and_stays_as_it_is(demo: Served) -> None:
    state = demo.directory / "odd_state"
    state.mkdir()
    (state / "history.sqlite3").write_bytes(b"no database, " * 1000)
    file = demo.variant("state.toml", {'operator_state = ".*"': 'operator_state = "odd_state"'})
    ran = demo.run("doctor", str(file), "--json")
    assert ran.status == 4
    assert "history.sqlite3" in rows(ran)["here", "run history"]["evidence"]
    assert [path.name for path in state.iterdir()] == ["history.sqlite3"]


def test_keys_and_a_real_agent(
    demo: Served, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows(demo.run("doctor", "--json"))["here", "client keys"]["result"] == "warn"
    (home / ".ssh").mkdir()
    key = home / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "geheim", "-f", key], check=True)
    evidence = rows(demo.run("doctor", "--json"))["here", "client keys"]["evidence"]
    assert evidence == "~/.ssh/id_ed25519 (needs a passphrase)"
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        plain = tmp_path / "plain"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", plain], check=True)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(
            ["sh", "-c", f"until ssh-add -q {plain}; do :; done"],
            env=environment,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=30,
        )
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        row = rows(demo.run("doctor", "--json"))["here", "agent"]
        assert (row["result"], row["evidence"]) == ("ok", f"{socket}: 1 keys")
    finally:
        agent.terminate()
        agent.wait()
    ran = demo.run("doctor", "--json")
    assert ran.status == 0
    assert rows(ran)["here", "agent"]["result"] == "warn"


def test_an_ssh_config_that_makes_no_sense_is_refused(demo: Served, home: Path) -> None:
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host *\n  Port nonsense\n")
    ran = demo.run("doctor", "--json")
    assert ran.status == 4, ran
    assert results(ran, "refused") == {("here", "ssh config")}


def test_a_name_that_is_no_node_is_exit_2_and_the_rest_goes_on(demo: Served) -> None:
    ran = demo.on("doctor", "-n", "n1,n9", "--json")
    assert ran.status == 2
    assert rows(ran)["n9", "known"]["result"] == "refused"
    assert rows(ran)["n1", "reach"]["result"] == "ok"


def test_what_would_refuse_an_upgrade_on_a_node_is_exit_4_with_advice(settled: Cluster) -> None:
    marker = settled.top / "n1" / "state" / "beacon" / "disabled"
    marker.write_text("disk dead, INC-77\n")
    ran = settled.run("doctor", str(settled.file))
    assert ran.status == 4, ran
    assert "disk dead, INC-77" in ran.out
    assert "Remove the file `disabled`" in ran.out
    marker.unlink()
    control = settled.top / "n1" / "opt" / "beacon" / "4.11.0" / "control"
    control.chmod(0o644)
    found = rows(settled.run("doctor", str(settled.file), "--json"))
    assert found["n1", "service tools"]["result"] == "refused"
    assert "cannot be run" in found["n1", "service tools"]["evidence"]
    control.unlink()
    found = rows(settled.run("doctor", str(settled.file), "--json"))
    assert "is not there" in found["n1", "service tools"]["evidence"]


def test_programs_that_the_profile_names_and_nobody_has_are_a_warning(settled: Cluster) -> None:
    settled.write_profile(
        '[check]\nparse = ["./beacon.py", "--check"]\ndirectory = "/no/such.d"\n'
        '[[hooks]]\nname = "drain"\nwhen = "before_stop"\ncommand = ["/no/such/lb", "drain"]\n'
        '[[hooks]]\nname = "new"\nwhen = "after_start"\ncommand = ["/x/{version}9/y"]\n'
        '[[hooks]]\nname = "true"\nwhen = "after_stop"\ncommand = ["true"]\n'
    )
    ran = settled.run("doctor", str(settled.file), "--json")
    assert ran.status == 0, ran
    row = rows(ran)["n1", "profile commands"]
    assert row["result"] == "warn"
    for word in ("./beacon.py: cannot be run", "/no/such.d: no such", "/no/such/lb: not there"):
        assert word in row["evidence"]
    assert "true" not in row["evidence"]


@pytest.mark.drill
def test_an_open_upgrade_without_a_boot_hook_is_said(
    make_settled: Callable[..., Cluster],
) -> None:
    cluster = make_settled(accept="manual", accept_window="50s", second_layer="none")
    release = str(cluster.releases["4.12.0"])
    operator = cluster.start("upgrade", str(cluster.file), release, "--yes")
    cluster.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
    ran = cluster.run("doctor", str(cluster.file), "--json")
    operator.kill()
    operator.communicate()
    assert ran.status == 4, ran
    found = rows(ran)
    hook: Any = found["n1", "boot hook"]
    assert hook["result"] == "warn"
    assert "none is armed: ordered so by second_layer" in hook["evidence"]
    assert found["n1", "open upgrade"]["result"] == "refused"
    assert "rollback" in found["n1", "open upgrade"]["advice"]


def test_a_damaged_journal_of_a_node_is_a_row_and_no_success(settled: Cluster) -> None:
    home = settled.top / "n1" / "state" / "beacon"
    (home / "active").mkdir(exist_ok=True)
    for name in ("plan.json", "journal"):
        (home / "active" / name).write_bytes(b"nonsense\n" * 3)
    ran = settled.run("doctor", str(settled.file), "--json")
    assert ran.status == 4, ran
    row = rows(ran)["n1", "updater"]
    assert row["result"] == "refused"
    assert "[journal-damaged]" in row["evidence"]


def test_json_is_one_object_a_line(demo: Served) -> None:
    ran = demo.on("doctor", "--json")
    assert all(isinstance(json.loads(line), dict) for line in ran.out.splitlines())
