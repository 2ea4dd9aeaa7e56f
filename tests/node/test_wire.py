"""The wire: strict in both directions, the same bytes everywhere, one updater to a transaction."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.node import wire
from backends.transport.payload import Payload, pack
from tests.support.beacon import Beacon
from tests.support.interpreters import Interpreter
from tests.support.node import Node, a_node, holders, picture, settled, wait_until

# --- strict reading -----------------------------------------------------------------------------

BAD = {
    "nothing": b"",
    "no JSON": b"GET / HTTP/1.1\r\n",
    "no object": b"[1]\n",
    "text": b'"hello"\n',
    "key twice": b'{"protocol":1,"protocol":1}\n',
    "NaN": b'{"a":NaN}\n',
    "infinity": b'{"a":1e999}\n',
    "long number": b'{"a":' + b"9" * 200_000 + b"}\n",
    "deep": b'{"a":' + b"[" * 100_000 + b"}\n",
    "nested": b'{"a":' + b"[" * 20 + b"]" * 20 + b"}\n",
    "no UTF-8": b'{"a":"\xff"}\n',
    "too long": b'{"a":"' + b"x" * wire.MAX_LINE + b'"}\n',
    "half": b'{"a":1',
}


@pytest.mark.parametrize("what", BAD)
def test_row_68_a_line_that_is_no_message_is_refused(what: str) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(BAD[what])


def test_a_message_too_long_is_not_sent() -> None:
    with pytest.raises(wire.WireError, match="at most"):
        wire.encode({"t": "x" * wire.MAX_LINE})


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), plain, max_size=5))
def test_what_is_sent_is_what_is_read(message: dict[str, Any]) -> None:
    line = wire.encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert wire.decode(line) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(line: bytes) -> None:
    with suppress(wire.WireError):
        assert isinstance(wire.decode(line), dict)


@given(st.integers(0, 10**14), st.integers(0, 10**14))
def test_a_frame_header_is_read_as_it_was_written(offset: int, length: int) -> None:
    line = wire.frame_header("a" * 64, offset, length)
    assert wire.parse_frame_header(line) == ("a" * 64, offset, length)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"END\n",
        b"a" * 64 + b" 1\n",
        b"a" * 63 + b" 1 1\n",
        b"A" * 64 + b" 1 1\n",
        b"g" * 64 + b" 1 1\n",
        b"a" * 64 + b" -1 1\n",
        b"a" * 64 + b" 1 +1\n",
        b"a" * 64 + b" 1 0x1\n",
        b"a" * 64 + b" 1 1 1\n",
        b"a" * 64 + b" 1 " + b"9" * 40 + b"\n",
        b"a" * 64 + b" \xc2\xb2 1\n",
    ],
)
def test_a_line_that_is_no_frame_header_is_refused(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_frame_header(line)


def test_read_only_commands_and_states_are_words_of_the_wire() -> None:
    assert set(wire.COMMANDS) >= wire.READ_ONLY
    assert set(wire.RECORDS) >= wire.DECISIONS


# --- requests -----------------------------------------------------------------------------------


def raw(node: Node, line: bytes, payload: Payload | None = None) -> list[dict[str, Any]]:
    """What the updater answers to a request line of any bytes."""
    found = payload or pack()
    header = f"LIFTLOCK {len(found.content)} {found.sha256}\n".encode()
    ran = subprocess.run(
        found.start(node.python),
        input=header + found.content + line,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b""
    return [wire.decode(each) for each in ran.stdout.splitlines()]


def line_of(node: Node, **changes: Any) -> bytes:
    return json.dumps({**node.request("status"), **changes}).encode() + b"\n"


REQUESTS = {
    **{what: BAD[what] for what in ("nothing", "no JSON", "deep", "too long", "half")},
    "unknown command": {"command": "reboot"},
    "command of no text": {"command": ["status"]},
    "other protocol": {"protocol": 2},
    "no protocol": {"protocol": None},
    "protocol as text": {"protocol": "1"},
    "product of no object": {"product": 7},
    "product without name": {"product": {}},
    "name of no text": {"product": {"name": 7, "directory": "/nowhere"}},
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_that_is_none_is_refused_with_hello_and_end(bare: Node, what: str) -> None:
    change = REQUESTS[what]
    line = change if isinstance(change, bytes) else line_of(bare, **change)
    messages = raw(bare, line)
    assert [message["t"] for message in messages] == ["hello", "end"]
    assert messages[1]["outcome"] == "refused"
    assert messages[1]["problem"]["code"] == "protocol-mismatch"
    assert set(picture(bare.top)) == set()


def test_hello_says_who_answers(bare: Node) -> None:
    (hello,) = bare.ask("status").all("hello")
    assert hello["protocol"] == wire.PROTOCOL
    assert hello["updater"] == pack().sha256
    assert hello["schema"] == wire.SCHEMA
    assert hello["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


# --- the packed updater -------------------------------------------------------------------------


def test_packing_twice_gives_the_same_bytes() -> None:
    once, again = pack.__wrapped__(), pack.__wrapped__()
    assert once.content == again.content
    assert once.sha256 == hashlib.sha256(once.content).hexdigest()


def test_p14_the_packed_updater_holds_sources_only_and_no_path_of_this_machine() -> None:
    content = pack().content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert all(name.endswith(".py") for name in packed.namelist())
        for name in packed.namelist():
            assert os.fsencode(Path(__file__).parents[2]) not in packed.read(name)


def test_a_changed_updater_does_not_run(bare: Node) -> None:
    found = pack()
    content = bytearray(found.content)
    content[len(content) // 2] ^= 1
    header = f"LIFTLOCK {len(content)} {found.sha256}\n".encode()
    ran = subprocess.run(
        found.start(bare.python),
        input=header + content + line_of(bare),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode != 0
    assert ran.stdout == b""
    assert b"changed on the way" in ran.stderr


def test_the_stored_updater_is_what_was_sent_and_answers_by_itself(node: Node) -> None:
    stored = node.state / "updater" / f"{pack().sha256}.pyz"
    assert stored.read_bytes() == pack().content
    assert stored.stat().st_mode & 0o777 == 0o500
    ran = subprocess.run(
        [node.python, "-I", "-S", "-B", str(stored)],
        input=line_of(node),
        capture_output=True,
        timeout=30,
        check=False,
    )
    messages = [wire.decode(each) for each in ran.stdout.splitlines()]
    assert [message["t"] for message in messages] == ["hello", "facts", "end"]
    assert messages[0]["updater"] == pack().sha256


def other_updater() -> Payload:
    """The same program in other bytes, as after an upgrade of ours."""
    found = pack()
    archive = io.BytesIO(found.content)
    with zipfile.ZipFile(archive, "a") as bundle:
        bundle.writestr(zipfile.ZipInfo("later.txt", (1980, 1, 1, 0, 0, 0)), b"later")
    content = archive.getvalue()
    return Payload(content, hashlib.sha256(content).hexdigest(), found.bootstrap)


@pytest.mark.drill
def test_an_open_transaction_is_driven_by_the_updater_that_began_it(node: Node) -> None:
    node.upgrade(Beacon("2.0"))
    line = json.dumps(node.request("accept", run="1120-aaa", how="auto")).encode() + b"\n"
    messages = raw(node, line, other_updater())
    assert [message["t"] for message in messages] == ["hello", "end"]
    assert messages[0]["updater"] == pack().sha256
    assert messages[1]["outcome"] == "ok"
    status = raw(node, line_of(node), other_updater())
    assert status[0]["updater"] == other_updater().sha256
    assert status[1]["state"] == "accepted"


@pytest.mark.drill
def test_the_updater_that_begins_is_kept_also_when_another_one_staged(node: Node) -> None:
    release = Beacon("2.0")
    for answer in (node.stage(release), node.check(release)):
        assert answer.outcome == "ok"
    order = node.request(
        "install",
        run="1120-aaa",
        version="2.0",
        digest=release.digest,
        policy={
            "if_operator_vanishes": "rollback",
            "on_failure": "rollback",
            "second_layer": "none",
        },
    )
    later = other_updater()
    messages = raw(node, json.dumps(order).encode() + b"\n", later)
    assert messages[-1]["outcome"] == "ok"
    facts = node.wait_for(settled)
    assert facts["transaction"]["updater"] == later.sha256
    assert (node.state / "updater" / f"{later.sha256}.pyz").read_bytes() == later.content
    assert (
        node.ask("accept", run="1120-aaa", how="auto").all("hello")[0]["updater"] == later.sha256
    )


@pytest.mark.drill
def test_the_driver_holds_nothing_of_the_channel(node: Node) -> None:
    node.upgrade(Beacon("2.0"))
    (driver,) = holders(node.home / "lock")
    names = {fd.name: os.readlink(fd) for fd in Path(f"/proc/{driver}/fd").iterdir()}
    assert names["0"] == "/dev/null"
    assert names["1"] == names["2"] == str(node.home / "updater.log")
    assert not [name for name in names.values() if name.startswith("pipe:")], names
    assert os.getsid(driver) != os.getsid(0)


# --- every interpreter --------------------------------------------------------------------------


def whole_life(top: Path, python: str) -> None:
    """First install, upgrade, rollback, killed driver, recovery."""
    with a_node(top, python) as node:
        one, two = Beacon("1.0"), Beacon("2.0")
        node.finalized(one, "1119-one")
        before = node.product()
        node.accepted(two)
        assert node.facts()["running"] == "2.0"
        assert node.ask("rollback", run="1120-aaa", why="drill").outcome == "ok"
        node.wait_for(lambda facts: facts["transaction"] is None)
        assert node.product() == before
        node.upgrade(two, "1120-bbb")
        node.kill_all()
        assert node.ask("recover").outcome == "ok"
        assert node.product() == before
        assert node.facts()["running"] == "1.0"
        answer = node.ask("status")
        assert answer.stderr == ""
        said = tuple(map(int, answer.all("hello")[0]["python"].split(".")))
        asked = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:3])"],
            capture_output=True,
            check=True,
        )
        assert said == tuple(map(int, asked.stdout.split()))


@pytest.mark.drill  # CI has the oldest one always; `make test` runs its commands, not a whole life
def test_a_whole_life_on_every_python(tmp_path: Path, node_python: Interpreter) -> None:
    whole_life(tmp_path / "node", str(node_python.path))


def test_the_updater_waits_for_nothing_but_its_channel(bare: Node) -> None:
    process = subprocess.Popen(
        pack().start(sys.executable),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.close()
    wait_until(lambda: process.poll() is not None)
    assert process.wait() != 0
