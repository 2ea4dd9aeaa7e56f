"""A demo that stops, and one that is opened again."""

import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.demo import beacons
from backends.demo.cluster import Demo
from backends.demo.places import places_in
from backends.demo.processes import processes_of
from backends.settings.cluster import load_cluster
from tests.demo.looking import (
    TODAY,
    answers,
    connect,
    is_listening,
    listens_here,
    nodes_in,
    ports_in,
    running,
)
from tests.support.node import within


@pytest.fixture
async def demo(top: Path) -> AsyncIterator[Demo]:
    """A running demo of two nodes."""
    async with running(Demo(top / "demo", 2)) as found:
        yield found


async def test_a_stop_leaves_files_and_nothing_that_runs(demo: Demo) -> None:
    async with await connect(demo, "n1") as connection:
        done = await connection.run("setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $!")
        detached = int(str(done.stdout))
        ports = ports_in(demo.cluster_file)
        assert detached in processes_of(demo.directory)
        assert all(map(is_listening, ports))
        assert any(map(listens_here, ports))
        await demo.stop()
    assert processes_of(demo.directory) == []
    assert within(demo.directory) == []
    assert not any(map(listens_here, ports))
    assert demo.cluster_file.exists()
    assert all(path.exists() for path in demo.releases.values())
    await demo.stop()


async def test_a_second_start_keeps_everything_and_runs_what_is_selected(demo: Demo) -> None:
    await demo.stop()
    product = demo.directory / "nodes/n2/opt/beacon"
    shutil.copytree(product / "4.11.0", product / "4.12.0")
    (product / "4.12.0/VERSION").write_text("4.12.0\n")
    (product / ".version").write_text("4.12.0\n")
    (demo.directory / "nodes/n1/state/beacon").mkdir(parents=True)
    with demo.cluster_file.open("a") as stream:
        stream.write("batch = 2\n")
    kept = {
        path: path.read_bytes()
        for folder in ("keys", "releases")
        for path in (demo.directory / folder).iterdir()
    }
    before = demo.cluster_file.read_text()
    async with running(Demo(demo.directory)) as again:
        assert answers(again) == {"n1": "4.11.0", "n2": "4.12.0"}
        assert not again.fresh
        assert again.cluster_file.read_text() == before
        assert {path: path.read_bytes() for path in kept} == kept
        async with await connect(again, "n2") as connection:
            assert (await connection.run("echo in")).stdout == "in\n"


async def test_a_start_that_nobody_adopted_is_still_fresh(demo: Demo) -> None:
    await demo.stop()
    async with running(Demo(demo.directory)) as again:
        assert again.fresh


async def test_a_taken_port_is_chosen_anew(demo: Demo) -> None:
    await demo.stop()
    before = nodes_in(demo.cluster_file)
    with socket.create_server(("127.0.0.1", before["n1"]["port"])):
        async with running(Demo(demo.directory)) as again:
            now = nodes_in(again.cluster_file)
            assert now["n1"]["port"] != before["n1"]["port"]
            assert now["n2"] == before["n2"]
            assert answers(again) == {"n1": "4.11.0", "n2": "4.11.0"}
            for name in again.names:
                async with await connect(again, name) as connection:
                    assert (await connection.run("echo in")).stdout == "in\n"


async def test_a_directory_that_was_moved_is_a_demo_all_the_same(demo: Demo) -> None:
    await demo.stop()
    moved = demo.directory.with_name("moved @ 2")
    demo.directory.rename(moved)
    async with running(Demo(moved)) as again:
        assert answers(again) == {"n1": "4.11.0", "n2": "4.11.0"}
        cluster = load_cluster(again.cluster_file, today=TODAY)
        assert cluster.node("n1").state_dir == str(moved / "nodes/n1/state")
        async with await connect(again, "n1") as connection:
            assert (await connection.run("pwd")).stdout == f"{moved}/nodes/n1/home\n"


async def test_what_a_killed_demo_left_is_ended_first(demo: Demo) -> None:
    """Its lock is free, its services run on until their lease ends."""
    await demo.stop()
    ports = nodes_in(demo.cluster_file)
    places = places_in(demo.directory)
    places.lease.touch()
    await beacons.start(places, "n1", "4.11.0", ports["n1"]["vars"]["port"])
    (old,) = processes_of(demo.directory)
    async with running(Demo(demo.directory)) as again:
        assert old not in processes_of(demo.directory)
        assert nodes_in(again.cluster_file) == ports
        assert answers(again) == {"n1": "4.11.0", "n2": "4.11.0"}


async def test_a_service_that_does_not_start_again_is_named_and_the_others_run(demo: Demo) -> None:
    await demo.stop()
    n1, n2 = (demo.directory / f"nodes/{name}/opt/beacon/4.11.0" for name in ("n1", "n2"))
    (n1 / "control").write_text("#!/bin/sh\necho torn\nexit 1\n")
    (n2 / "beacon.pid").write_text(f"{os.getpid()}\n")
    async with running(Demo(demo.directory)) as again:
        assert answers(again) == {"n2": "4.11.0"}
        (note,) = again.notes
        assert "n1: beacon 4.11.0 did not start" in note
        assert "torn" in note
