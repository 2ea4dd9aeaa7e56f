"""Named values: read, as what they are, or unknown with the reason; never guessed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import probe
from backends.node.services import service_of
from tests.node.test_probe import Peer
from tests.support.beacon import Beacon
from tests.support.interpreters import node_pythons
from tests.support.node import Node, a_node, picture


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


def read(node: Node, **how: Any) -> Any:
    """A value that is read so, in this process; `NoAnswer` as its text."""
    service = service_of(node.document, node.places, "1.0")
    try:
        return probe.plain(how, service, 0.4)
    except probe.NoAnswer as error:
        return error


def named(node: Node, **how: Any) -> Any:
    """The same, asked of the updater on the node."""
    node.document["named"] = {"it": how}
    (message,) = node.ask("value", name="it").all("value")
    assert message["name"] == "it"
    return message["value"]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": {"b": 7}}', 7),
        (b'{"a": {"b": 1.5}}', 1.5),
        (b'{"a": {"b": true}}', True),
        (b'{"a": {"b": null}}', None),
        (b'{"a": {"b": " x "}}', "x"),
    ],
)
def test_a_field_is_what_it_is_there(bare: Node, peer: Peer, body: bytes, value: object) -> None:
    peer.says(body)
    found = read(bare, http=peer.url, field="a.b")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": {}}', "no field a.b"),
        (b'{"a": {"b": [1]}}', "is no plain value"),
        (b'{"a": {"b": NaN}}', "no number that everybody reads alike"),
        (b'{"a": {"b": Infinity}}', "no number that everybody reads alike"),
        (b'{"a": {"b": 90071992547409930}}', "no number that everybody reads alike"),
        (b'{"a": {"b": "' + b"x" * 201 + b'"}}', "this is no value"),
        (b'{"a": {"b": "x\\ny"}}', "this is no value"),
        (b"nonsense", "no JSON"),
    ],
)
def test_what_is_no_plain_value_is_unknown(bare: Node, peer: Peer, body: bytes, why: str) -> None:
    peer.says(body)
    assert why in str(read(bare, http=peer.url, field="a.b"))


def test_another_status_is_no_answer(bare: Node, peer: Peer) -> None:
    peer.says(b'{"a": 1}', b"503 Busy")
    assert "HTTP 503" in str(read(bare, http=peer.url, field="a"))


def test_a_pattern_picks_of_a_file_and_of_an_output(bare: Node, tmp_path: Path) -> None:
    bare.tree("1.0").mkdir(parents=True)  # commands are run in it
    path = tmp_path / "peers"
    path.write_text("peers: 17\nzonk\n")
    assert read(bare, file=str(path), pattern=r"peers: (\d+)") == "17"
    assert read(bare, file=str(path), pattern=r"zo..") == "zonk"
    assert read(bare, command=["echo", "has 5 of 7"], pattern=r"(\d+) of") == "5"
    assert "is not in peers" in str(read(bare, file=str(path), pattern="nothing"))
    assert "this is no value" in str(read(bare, file=str(path), pattern="(x)?peers"))
    assert "this is no value" in str(read(bare, file=str(path))), "two lines"
    assert "exit 3" in str(read(bare, command=["sh", "-c", "exit 3"]))


def test_nothing_is_waited_for_without_an_end(bare: Node, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "nothing to read within" in str(read(bare, file=str(pipe)))
    path = tmp_path / "long"
    path.write_text("a" * 40 + "b")
    assert "was looked for for" in str(read(bare, file=str(path), pattern="(?:a+)+$"))
    assert "this is no value" in str(read(bare, file="/dev/zero"))
    assert "No such file" in str(read(bare, file=str(tmp_path / "none")))
    assert "null byte" in str(read(bare, file="/a\0b"))


def test_the_updater_says_it_and_writes_nothing(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", str(node_pythons()[0].path)) as node:
        url = node.document["health"][0]["url"]
        assert named(node, http=url, field="version") == {
            "unknown": "the product is not installed"
        }
        node.put_in_place(Beacon("1.0"))
        before = picture(node.home)
        assert named(node, http=url, field="version") == "1.0"
        assert named(node, file="{directory}/{version}/VERSION") == "1.0"
        assert "No such file" in named(node, file="{directory}/none")["unknown"]
        assert node.ask("value", name="zonk").code == "value-unknown"
        (node.directory / ".version").write_bytes(b"\xff/\n")
        assert "unknown" in named(node, file="{directory}/{version}/VERSION")
        assert picture(node.home) == before
