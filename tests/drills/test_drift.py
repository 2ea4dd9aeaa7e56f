"""One byte of a running file is flipped on a real OpenSSH node: the whole story.

The screen shows it within the period of its watch, verify names the file, a second install repairs
it, and both journals tell it.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.session import open_book
from tests.drills.sshd import Operator, SshCluster, Sshd
from tests.support.node import wait_until
from tests.support.pseudoterminal import Pseudoterminal

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

RELEASE = "2.0"
PERIOD = 1.0
"""Seconds between two times at which the watch reads every byte."""


@pytest.fixture
def harbor(
    make_sshd: Callable[..., Sshd], operator: Operator, tmp_path: Path
) -> Iterator[SshCluster]:
    cluster = SshCluster(tmp_path / "harbor", [make_sshd(), make_sshd()], operator)
    try:
        cluster.settle("1.0")
        cluster.release(RELEASE, notes="what is new\n")
        yield cluster
    finally:
        cluster.close()


def told(harbor: SshCluster) -> list[str]:
    """All lines of the run history."""
    with open_book(harbor.top / "history") as book:
        return [entry.text for run in book.runs() for entry in book.entries(run.id)]


def test_a_flipped_byte_is_seen_named_repaired_and_told(harbor: SshCluster) -> None:
    text = harbor.file.read_text()
    harbor.file.write_text(text.replace("[policy]", f'[policy]\nverify_every = "{PERIOD:g}s"'))
    assert harbor.upgrade(RELEASE).status == 0
    assert harbor.run("finalize", str(harbor.file), "--yes").status == 0
    (notes,) = harbor.top.glob(f"**/n2/**/{RELEASE}/notes")
    words = (sys.executable, "-m", "app", str(harbor.file))

    with Pseudoterminal(*words, environment=harbor.environment) as screen:
        screen.sees(b"SETTLED")
        screen.passes(3 * PERIOD)
        assert b"DRIFT" not in screen.written
        content = bytearray(notes.read_bytes())
        content[0] ^= 1
        notes.write_bytes(content)
        took = screen.sees(b"DRIFT n2", seconds=30)
        screen.sees(b"changed notes")
        wait_until(lambda: any("drift: n2: 1 of " in text for text in told(harbor)))
    print(f"seen on the screen after {took:.1f} s, with a period of {PERIOD:g} s")

    verified = harbor.run("verify", str(harbor.file))
    assert verified.status == 6, verified
    assert "changed: notes" in verified.out + verified.err
    repaired = harbor.upgrade(RELEASE, "-n", "n2", "--reinstall", "a byte was flipped")
    assert repaired.status == 0, repaired
    assert notes.read_text() == "what is new\n"
    assert harbor.run("finalize", str(harbor.file), "--yes").status == 0
    assert harbor.run("verify", str(harbor.file)).status == 0

    final = {node["name"]: node["finalized"]["run"] for node in harbor.status()["nodes"]}
    assert final["n1"] != final["n2"], "the other one was not touched"
    story = harbor.run("journal", str(harbor.file), final["n2"]).out
    assert "a byte was flipped" in story
    for part in (
        "drift: n2: 1 of ",  # by the watch
        "changed: notes",  # by verify
        f"conflicts/: {RELEASE}/notes",  # by the repair, once it was final
    ):
        assert any(part in text for text in told(harbor)), part
