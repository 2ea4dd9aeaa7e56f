"""One node's SSH server: it must behave as sshd does, or the demo proves nothing."""

import asyncio
import gc
import os
import signal
import socket
from pathlib import Path

import asyncssh
import pytest

from tests.demo.conftest import USER, Door, until
from tests.support.node import within


async def run(
    connection: asyncssh.SSHClientConnection, command: str, given: bytes | None = None
) -> asyncssh.SSHCompletedProcess:
    """One command to its end, in bytes."""
    return await connection.run(command, input=given, encoding=None)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(b") ", 1)[1][:1] != b"Z"


# --- bytes --------------------------------------------------------------------------------------


async def test_all_byte_values_go_there_and_back_in_megabytes(door: Door) -> None:
    content = bytes(range(256)) * (8 << 12)  # 8 MiB
    async with await door.connect() as connection:
        done = await run(connection, "cat", content)
    assert done.stdout == content
    assert done.exit_status == 0


async def test_standard_error_comes_apart(door: Door) -> None:
    async with await door.connect() as connection:
        done = await run(connection, "echo out; echo err >&2; head -c 300000 /dev/zero >&2")
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\n" + bytes(300000)


async def test_a_command_that_does_not_read_makes_the_sender_wait(door: Door) -> None:
    """What waits on our side is bounded by the channel's window, not by what is sent."""
    async with await door.connect() as connection:
        process = await connection.create_process(
            f"while [ ! -e {door.top}/go ]; do sleep 0.02; done; wc -c", encoding=None
        )
        piece = bytes(1 << 20)
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(64):
                process.stdin.write(piece)
                await process.stdin.drain()
                sent += len(piece)
            process.stdin.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            await asyncio.sleep(0.5)
            assert sent < 8 << 20, "the node took everything although nobody read it"
            (door.top / "go").touch()
            assert (await process.stdout.read()).strip() == str(64 << 20).encode()


async def test_a_client_that_does_not_read_makes_the_command_wait(door: Door) -> None:
    written = door.top / "written"
    step = f"head -c 65536 /dev/zero; i=$((i+1)); echo $i >{written}"
    script = f"i=0; while [ $i -lt 200 ]; do {step}; done"
    async with await door.connect() as connection:
        process = await connection.create_process(script, encoding=None)
        await asyncio.sleep(0.4)
        assert int(written.read_text() or 0) < 120, "the command wrote into the void"
        assert len(await process.stdout.read()) == 200 * 65536
        await process.wait()
        assert process.exit_status == 0


# --- ends ---------------------------------------------------------------------------------------


async def test_an_exit_status_is_told(door: Door) -> None:
    async with await door.connect() as connection:
        assert [(await run(connection, f"exit {n}")).exit_status for n in (0, 7, 255)] == [
            0,
            7,
            255,
        ]


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
async def test_a_killed_command_has_a_signal_and_no_status(door: Door, name: str) -> None:
    async with await door.connect() as connection:
        done = await run(connection, f"ulimit -c 0; kill -{name} $$")
    assert done.exit_signal is not None
    assert done.exit_signal[0] == name
    assert done.exit_status == -1


async def test_the_end_of_the_input_does_not_end_the_output(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process("cat; echo after; exit 3", encoding=None)
        process.stdin.write(b"before\n")
        process.stdin.write_eof()
        assert await process.stdout.read() == b"before\nafter\n"
        await process.wait()
        assert process.exit_status == 3


async def test_the_end_of_the_output_does_not_end_the_input(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process(
            f"exec >/dev/null 2>&1; cat >{door.top}/heard; exit 4", encoding=None
        )
        assert await asyncio.wait_for(process.stdout.read(), 5) == b""
        process.stdin.write(b"still here")
        process.stdin.write_eof()
        await process.wait()
        assert process.exit_status == 4
        assert (door.top / "heard").read_bytes() == b"still here"


async def test_the_status_waits_for_whoever_still_holds_the_output(door: Door) -> None:
    """As with sshd: a background process that kept the pipe is heard to its end."""
    async with await door.connect() as connection:
        done = await run(connection, "(sleep 0.3; echo late) & echo early; exit 5")
    assert (done.stdout, done.exit_status) == (b"early\nlate\n", 5)


async def test_a_command_that_ends_without_reading_does_not_block_the_sender(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process("exec <&-; echo deaf; sleep 0.3", encoding=None)
        process.stdin.write(bytes(6 << 20))
        assert await asyncio.wait_for(process.stdout.read(), 5) == b"deaf\n"
        await asyncio.wait_for(process.wait(), 5)
        assert process.exit_status == 0


async def test_a_command_that_cannot_be_started_is_a_failure_in_words(door: Door) -> None:
    async with await door.connect() as connection:
        too_long = await run(connection, "true " + "x" * 200_000)
        missing = await run(connection, "/no/such/command")
        door.home.rmdir()
        homeless = await run(connection, "true")
    assert (too_long.exit_status, homeless.exit_status, missing.exit_status) == (1, 1, 127)
    assert b"Argument list too long" in too_long.stderr
    assert str(door.home).encode() in homeless.stderr


async def test_a_signal_reaches_the_command_and_what_it_started(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process("sleep 60 & echo $!; wait", encoding=None)
        inner = int(await process.stdout.readline())
        process.send_signal("TERM")
        await asyncio.wait_for(process.wait(), 5)
        assert process.exit_signal is not None
        assert process.exit_signal[0] == "TERM"
        await until(lambda: not is_alive(inner))


# --- what stays and what goes -------------------------------------------------------------------


async def test_what_was_detached_outlives_channel_connection_and_server(door: Door) -> None:
    detached = "setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $!"
    async with await door.connect() as connection:
        pid = int((await run(connection, detached)).stdout)
    try:
        door.node.drop()
        assert is_alive(pid)
        await door.node.close()
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(pid))


async def test_a_lost_connection_ends_who_listens_and_spares_who_does_neither(door: Door) -> None:
    connection = await door.connect()
    listens = await connection.create_process("echo $$; exec cat", encoding=None)
    talks = await connection.create_process(
        "echo $$; while sleep 0.05; do echo on; done", encoding=None
    )
    sleeps = await connection.create_process("echo $$; exec sleep 60", encoding=None)
    pids = [int(await each.stdout.readline()) for each in (listens, talks, sleeps)]
    assert door.node.drop() == 1
    await until(lambda: not is_alive(pids[0]) and not is_alive(pids[1]))
    assert is_alive(pids[2])
    await asyncio.wait_for(connection.wait_closed(), 5)
    assert listens.exit_status is None, "a lost link has no exit status"
    os.kill(pids[2], signal.SIGKILL)


async def test_a_closed_channel_ends_who_listens_on_a_connection_that_stays(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process("echo $$; exec cat", encoding=None)
        pid = int(await process.stdout.readline())
        process.close()
        await until(lambda: not is_alive(pid))
        assert (await run(connection, "echo there")).stdout == b"there\n"


async def test_input_that_arrived_before_the_channel_closed_is_still_given(door: Door) -> None:
    content = os.urandom(1 << 20)
    heard = door.top / "heard"
    async with await door.connect() as connection:
        process = await connection.create_process(
            f"sleep 0.3; cat >{heard}.part; mv {heard}.part {heard}", encoding=None
        )
        process.stdin.write(content)
        await process.stdin.drain()
        process.close()
        await until(heard.exists)
    assert heard.read_bytes() == content


async def test_a_channel_that_closes_behind_waiting_input_is_noticed(door: Door) -> None:
    go, wrote, refused = (door.top / name for name in ("go", "wrote", "refused"))
    script = (
        f"trap '' PIPE; while [ ! -e {go} ]; do sleep 0.02; done;"
        f"if echo hello; then : >{wrote}; else : >{refused}; fi"
    )
    async with await door.connect() as connection:
        process = await connection.create_process(script, encoding=None)
        process.stdin.write(bytes(1 << 20))
        await process.stdin.drain()
        process.close()
        await asyncio.sleep(0.4)
        go.touch()
        await until(lambda: wrote.exists() or refused.exists())
    assert refused.exists(), "its output was still open"


async def test_closing_kills_who_hangs_on_and_may_be_repeated(door: Door) -> None:
    connection = await door.connect()
    process = await connection.create_process("echo $$; exec sleep 60", encoding=None)
    pid = int(await process.stdout.readline())
    await door.node.close()
    assert not is_alive(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", door.node.port), 1)
    await door.node.close()
    await connection.wait_closed()


@pytest.mark.parametrize("after", [0.0, 0.002, 0.01, 0.05])
async def test_a_connection_lost_at_any_moment_leaves_no_process(door: Door, after: float) -> None:
    async def talk() -> None:
        async with await door.connect() as connection:
            await run(connection, f"cat; true {door.top}", bytes(100_000))
            await connection.create_process(f"cat; true {door.top}")
            await asyncio.sleep(60)

    talking = asyncio.get_running_loop().create_task(talk())
    await asyncio.sleep(after)
    door.node.drop()
    talking.cancel()
    with pytest.raises((asyncio.CancelledError, asyncssh.Error, OSError)):
        await talking
    gc.collect()
    await until(lambda: not within(door.top))
    await until(lambda: not door.node.connections)


# --- who may come in ----------------------------------------------------------------------------


async def test_another_key_another_name_and_another_password_are_refused(door: Door) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    passwords = {"preferred_auth": "password", "client_keys": None}
    for changes in (
        {"client_keys": [other]},
        {"username": "root"},
        {"username": ""},
        {"client_keys": None},
        {**passwords, "password": "another word"},
        {**passwords, "password": "a word", "username": "root"},
        {"preferred_auth": "keyboard-interactive,hostbased", "password": "a word"},
    ):
        with pytest.raises((asyncssh.PermissionDenied, asyncssh.IllegalUserName)):
            await door.connect(**changes)
    await until(lambda: not door.node.connections)


async def test_the_password_is_accepted_where_there_is_one(door: Door) -> None:
    settings = {"preferred_auth": "password", "client_keys": None, "password": "a word"}
    async with await door.connect(**settings) as connection:
        assert (await run(connection, "echo in")).stdout == b"in\n"


async def test_another_host_key_is_shown_from_the_next_connection_on(door: Door) -> None:
    known = asyncssh.import_known_hosts(door.node.known_hosts_line + "\n")
    async with await door.connect() as before:
        door.node.present(asyncssh.generate_private_key("ssh-ed25519"))
        with pytest.raises(asyncssh.HostKeyNotVerifiable):
            await door.connect(known_hosts=known)
        assert (await run(before, "echo still")).stdout == b"still\n"
    async with await door.connect() as connection:
        assert (await run(connection, "echo new")).stdout == b"new\n"


async def test_only_loopback_is_listened_on(door: Door) -> None:
    port = f"{door.node.port:04X}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port}")
    ]
    assert listening == [f"0100007F:{port}"]


async def test_nothing_but_commands_is_to_be_had(door: Door) -> None:
    async with await door.connect() as connection:
        with pytest.raises(asyncssh.Error):
            await connection.start_sftp_client()
        with pytest.raises(asyncssh.Error):
            await connection.open_connection("127.0.0.1", door.node.port)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", door.node.port)
        with pytest.raises(asyncssh.Error):
            await connection.open_unix_connection(str(door.top / "socket"))


# --- where commands run -------------------------------------------------------------------------


async def test_the_environment_is_what_was_given_and_nothing_else(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "leaked")
    async with await door.connect(env={"FROM_CLIENT": "leaked"}) as connection:
        done = await run(connection, "env -0")
    found = dict(each.split(b"=", 1) for each in done.stdout.split(b"\0") if each)
    shells_own = {b"PWD", b"OLDPWD", b"SHLVL", b"_"}
    assert set(found) - shells_own == {b"PATH", b"HOME", b"MARK"}
    assert found[b"HOME"] == str(door.home).encode()


async def test_a_command_has_a_session_of_its_own_and_starts_at_home(door: Door) -> None:
    async with await door.connect() as connection:
        done = await run(connection, "pwd; cut -d' ' -f1,5,6 /proc/$$/stat; umask; ls /proc/$$/fd")
    lines = done.stdout.decode().split("\n")
    assert lines[0] == str(door.home)
    pid, group, session = lines[1].split()
    assert pid == group == session
    assert lines[2] == "0022"
    assert lines[3:6] == ["0", "1", "2"]
    assert set(lines[6:]) <= {"10", ""}, "a descriptor of ours was inherited"


async def test_a_shell_without_a_terminal_reads_commands(door: Door) -> None:
    async with await door.connect() as connection:
        process = await connection.create_process(
            None, term_type="xterm", encoding=None, request_pty=False
        )
        process.stdin.write(b"echo $0 in $(pwd)\nexit 6\n")
        assert await process.stdout.read() == f"-sh in {door.home}\n".encode()
        await process.wait()
        assert process.exit_status == 6


async def test_whoever_asks_for_a_terminal_is_told(door: Door) -> None:
    async with await door.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process(None, term_type="xterm", request_pty="force")


async def test_many_at_once_do_not_mix(door: Door) -> None:
    async with await door.connect() as connection, asyncio.TaskGroup() as group:
        running = [
            group.create_task(run(connection, "cat; exit 1", str(number).encode() * 50_000))
            for number in range(20)
        ]
    for number, each in enumerate(running):
        assert each.result().stdout == str(number).encode() * 50_000


def test_the_user_of_these_tests_is_not_the_one_who_runs_them() -> None:
    """Or a refused name would prove nothing."""
    assert USER != "root"
