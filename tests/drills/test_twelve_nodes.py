"""Twelve nodes, three roles, a canary, and a night in which not everything goes well.

Pause after the first; another pace during the run; one node fails and the stop rule holds the
rest; it is retried; another one is left out with a reason; the rest is finished and finalized.
The report tells all of it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Ran
from tests.support.served import Served, served

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

NEW = "4.12.0"
RELAYS, VOTERS, EDGES = (
    [f"n{number}" for number in numbers] for numbers in (range(1, 5), range(5, 9), range(9, 13))
)
CANARY = "n5"
SICK, DEAD = "n7", "n10"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Twelve real SSH servers on loopback, with roles, and a check of the operator's."""
    with served(tmp_path_factory.mktemp("twelve"), nodes=12) as found:
        yield found


class Night:
    """The cluster with its roles, and the command line on it."""

    def __init__(self, demo: Served) -> None:
        self.demo = demo
        profile = next(demo.directory.glob("*.toml"), None)
        assert profile is not None
        text = (demo.directory / "beacon.toml").read_text()
        text = text.replace("[service]", 'roles = ["relay", "voter", "edge"]\n\n[service]', 1)
        (demo.directory / "roles.toml").write_text(
            f'{text}\n[minimum]\nall = "majority"\nvoter = 2\n\n[[health]]\nkind = "command"\n'
            'name = "fit"\ncommand = ["test", "!", "-e", "{directory}/sick-{version}"]\n'
        )
        lines = []
        for line in demo.file.read_text().splitlines():
            name = line.split(" ", 1)[0]
            role = next(
                (
                    role
                    for role, names in (("relay", RELAYS), ("voter", VOTERS), ("edge", EDGES))
                    if name in names
                ),
                None,
            )
            if role is not None:
                line = line.replace(" canary = true,", "")
                canary = " canary = true," if name == CANARY else ""
                line = line.replace("{ address", f'{{ role = "{role}",{canary} address', 1)
            lines.append(line)
        text = "\n".join(lines).replace('profile = "beacon.toml"', 'profile = "roles.toml"')
        self.file = demo.directory / "roles-cluster.toml"
        self.file.write_text(text + "\n")

    def run(self, command: str, *words: str) -> Ran:
        return self.demo.run(command, str(self.file), *words)

    def start(self, command: str, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "app", command, str(self.file), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )

    def nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run("status", "--json").json["nodes"]
        return found

    def on_new(self) -> list[str]:
        return [each["name"] for each in self.nodes() if each["running"] == NEW]

    def falls_sick(self, name: str) -> Path:
        """From now on this node is not healthy on the new version."""
        place = next((self.demo.directory / "nodes" / name).rglob(".version")).parent
        path = place / f"sick-{NEW}"
        path.touch()
        return path


def results(ran: Ran) -> dict[str, str]:
    return {each["name"]: each["result"] for each in ran.lines[-1]["nodes"]}


def test_a_night_with_twelve_nodes(demo: Served) -> None:
    night = Night(demo)
    release = demo.said["releases"][NEW]

    first = night.run(
        "upgrade",
        release,
        "--yes",
        "--json",
        "--batch",
        "2",
        "--pause",
        "first",
        "--note",
        "CHG-1042",
    )
    assert first.status == 10, first
    run = first.lines[-1]["run"]
    assert night.on_new() == [CANARY], "the canary goes first, and alone"

    with night.start("resume", "--yes", "--json", "--pause", "none") as program:
        assert program.stdout is not None
        for line in program.stdout:  # read all the time: a pipe that is full would hold the run
            event = json.loads(line)
            if (event.get("node"), event.get("phase")) == (RELAYS[0], "install"):
                break
        changed = night.run("pause", "--policy", "after_role", "--reason", "graphs look odd")
        assert changed.status == 0, changed
        out, err = program.communicate(timeout=300)
    assert program.returncode == 10, err
    assert json.loads(out.splitlines()[-1])["run"] == run
    assert sorted(night.on_new()) == sorted([*RELAYS, CANARY])

    sick = night.falls_sick(SICK)
    failed = night.run("resume", "--yes", "--json", "--pause", "none")
    assert failed.status == 6, failed
    found = results(failed)
    assert found[SICK] == "rolled_back"
    assert found["n6"] == "accepted", "who was beside it is seen through"
    held = [name for name, result in found.items() if result == "not_started"]
    assert held == ["n8", *EDGES], "the stop rule holds the rest"
    assert not {*night.on_new()} & {SICK, *held}

    sick.unlink()
    night.falls_sick(DEAD)
    out_of_it = night.run("exclude", DEAD, "--reason", "disk dead, INC-77", "--json")
    assert out_of_it.status == 0, out_of_it
    rest = night.run("resume", "--yes", "--json", "--pause", "none")
    assert rest.status == 0, rest
    assert rest.lines[-1]["run"] == run
    found = results(rest)
    assert found.pop(DEAD) == "excluded"
    assert {*found.values()} == {"accepted", "already"}
    begun = [
        row["node"]
        for row in rest.lines
        if row.get("kind") == "phase" and row.get("phase") == "install"
    ]
    assert begun == [SICK, "n8", *(name for name in EDGES if name != DEAD)], "in the plan's order"

    final = night.run("finalize", NEW, "--yes", "--json")
    assert final.status == 0, final
    status = night.run("status", "--json")
    assert status.status == 0, status
    assert status.json["verdict"]["kind"] == "settled"
    assert [each["name"] for each in status.json["verdict"]["excluded"]] == [DEAD]
    _report_tells_all_of_it(night, run)


def _report_tells_all_of_it(night: Night, run: str) -> None:
    ran = night.run("report", run, "--json")
    assert ran.status == 0, ran
    text = night.run("report", run).out
    print(text)
    for words in (
        "CHG-1042",  # why
        "graphs look odd",  # the pace was changed, by whom and why
        "after_role",
        "disk dead, INC-77",
        "Went back: proven",  # n7, the first time
        "fit",  # the check that failed
    ):
        assert words in text, words
    nodes = {each["name"]: each for each in ran.json["nodes"]}
    assert sorted(nodes) == sorted([*RELAYS, *VOTERS, *EDGES])
    journal = night.run("journal", run, "--json").lines
    taken_up = [row for row in journal if "taken up again" in row["text"]]
    assert len(taken_up) == 3
    assert any("stopped: n7 rolled back" in row["text"] for row in journal)
