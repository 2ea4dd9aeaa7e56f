"""Each command is found where the table says; one that only looks leaves the node as it is."""

from pathlib import Path

from backends.node import commands, wire
from tests.support.beacon import Beacon
from tests.support.node import Node

RUN = "1120-aaa"


def test_each_word_of_the_wire_is_a_command_and_nothing_else_is() -> None:
    assert set(commands.FOUND_IN) == set(wire.COMMANDS)
    for name in wire.COMMANDS:
        assert callable(commands.load(name))


def test_j2_how_a_run_was_begun_is_told_to_whoever_takes_it_up(node: Node) -> None:
    assert node.stage(Beacon("2.0")).outcome == "ok"

    def told(run: str) -> object:
        (message,) = node.ask("begun_as", run=run).all("begun_as")
        return message["run"]

    assert told(RUN) == {"run": RUN}
    assert told("1120-bbb") is None
    Path(node.places.run).write_text("{")
    assert told(RUN) is None
