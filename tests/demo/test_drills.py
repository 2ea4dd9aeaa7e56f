"""What takes seconds, or another program: the lease, and OpenSSH's own client."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import asyncssh
import pytest

from backends.demo.cluster import Demo
from backends.demo.processes import end_processes, processes_of
from tests.architecture.source import ROOT
from tests.demo.conftest import until
from tests.demo.looking import running

pytestmark = pytest.mark.drill

RUN = """
import asyncio, pathlib, sys
from backends.demo.cluster import Demo

async def main():
    demo = Demo(pathlib.Path(sys.argv[1]), 2)
    await demo.start()
    print("on", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_services_of_a_killed_demo_end_by_themselves(tmp_path: Path) -> None:
    top = tmp_path / "demo"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(top)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        services = processes_of(top)
        assert len(services) == 2
        process.kill()
        process.wait()
        killed = time.monotonic()
        await asyncio.sleep(2)
        assert processes_of(top) == services, "that was not the lease"
        await until(lambda: not processes_of(top), seconds=10)
        assert time.monotonic() - killed < 5.5
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        await end_processes(top)


async def ssh(demo: Demo, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """OpenSSH's client with the demo's configuration."""
    program = shutil.which("ssh")
    assert program, "this drill needs OpenSSH's client"
    process = await asyncio.create_subprocess_exec(
        program,
        "-F",
        str(demo.directory / "ssh_config"),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out, err


@pytest.mark.parametrize("name", ["demo", "with space @ + 2"])
async def test_openssh_reaches_a_node(tmp_path: Path, name: str) -> None:
    async with running(Demo(tmp_path / name, 2)) as demo:
        content = bytes(range(256)) * 20_000
        assert await ssh(demo, "n1", "cat; exit 7", given=content) == (7, content, b"")
        port = str(demo.node("n2").port)
        assert await ssh(demo, "-p", port, "127.0.0.1", "echo err >&2; pwd") == (
            0,
            f"{demo.directory}/nodes/n2/home\n".encode(),
            b"err\n",
        )
        assert (await ssh(demo, "n1", "kill -9 $$"))[0] == 255
        status, out, _ = await ssh(demo, "n1", given=b"echo in; exit 5\n")
        assert (status, out) == (5, b"in\n")


async def test_openssh_from_a_terminal_is_told_that_there_is_none(tmp_path: Path) -> None:
    async with running(Demo(tmp_path / "demo", 1)) as demo:
        ours, theirs = os.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *("ssh", "-F", str(demo.directory / "ssh_config"), "n1"),
                stdin=theirs,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            os.write(ours, b"echo in; exit 5\n")
            async with asyncio.timeout(20):
                out, err = await process.communicate()
        finally:
            os.close(ours)  # which ends ssh, whatever happened
            os.close(theirs)
        assert (process.returncode, out) == (5, b"in\n")
        assert b"no terminal" in err


async def test_openssh_refuses_a_node_with_another_key(tmp_path: Path) -> None:
    async with running(Demo(tmp_path / "demo", 1)) as demo:
        demo.node("n1").present(asyncssh.generate_private_key("ssh-ed25519"))
        status, _, err = await ssh(demo, "n1", "true")
        assert status == 255
        assert b"IDENTIFICATION HAS CHANGED" in err


async def test_openssh_refuses_a_stranger(tmp_path: Path) -> None:
    async with running(Demo(tmp_path / "demo", 1)) as demo:
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        (demo.directory / "keys/operator").write_bytes(other.read_bytes())
        (demo.directory / "keys/operator.pub").unlink()
        status, _, err = await ssh(demo, "n1", "true")
        assert status == 255
        assert b"Permission denied" in err
