"""The node's log is for people: what cannot be written there changes no outcome."""

from tests.support.node import Node


def test_a_log_that_cannot_be_written_changes_nothing(node: Node) -> None:
    log = node.state / "beacon" / "updater.log"
    log.unlink(missing_ok=True)
    log.mkdir()
    assert node.ask("clean", everything=False, request="abcd2345").outcome == "ok"
    log.rmdir()
    assert node.ask("clean", everything=False, request="abcd2345").outcome == "ok"
    assert "request abcd2345: clean" in log.read_text()
