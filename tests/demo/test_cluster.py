"""A running demo: what an operator finds. The tests look, and share one."""

import json
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from backends.demo import beacons
from backends.demo.cluster import Demo
from backends.demo.places import MARK, places_in
from backends.demo.ports import RANGE
from backends.domain.policy import invariants
from backends.node import wire
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import load_cluster_profile
from backends.releases.read import open_release, verify_tarball
from backends.releases.signature_rule import Rule, vouched
from backends.settings.cluster import load_cluster
from backends.transport.payload import pack
from tests.demo.conftest import no_process_left, until
from tests.demo.looking import TODAY, answers, connect, ports_in, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """A running demo of two nodes."""
    top = tmp_path_factory.mktemp("shared")
    with no_process_left(top):
        async with running(Demo(top / "demo", 2)) as found:
            yield found


async def test_every_node_runs_the_first_version(demo: Demo) -> None:
    assert answers(demo) == {"n1": "4.11.0", "n2": "4.11.0"}
    assert demo.names == ("n1", "n2")
    assert demo.fresh
    assert demo.notes == ()


async def test_the_files_say_what_an_operator_needs(demo: Demo) -> None:
    cluster = load_cluster(demo.cluster_file, today=TODAY)
    profile = load_cluster_profile(cluster, config_dir=demo.directory)
    policy, limits = effective_policy(cluster, profile)
    assert invariants(limits, policy) == ()
    assert (cluster.name, cluster.products, cluster.signatures) == (
        "demo",
        ("beacon",),
        "required",
    )
    assert cluster.allowed_signers == demo.directory / "signers"
    assert cluster.known_hosts == demo.directory / "known_hosts"
    assert cluster.ssh_config == demo.directory / "ssh_config"
    assert cluster.operator_state == demo.directory / "operator"
    assert [node.canary for node in cluster.nodes] == [True, False]
    assert cluster.notes == ()
    assert profile.service.env[MARK] == str(demo.directory), "stop() would miss what it starts"


async def test_ports_lie_where_no_client_gets_one(demo: Demo) -> None:
    ports = ports_in(demo.cluster_file)
    assert len(set(ports)) == 4
    assert all(port in RANGE for port in ports)


async def test_nobody_else_can_read_any_of_it(demo: Demo) -> None:
    top = demo.directory
    paths = [top, *top.iterdir(), *(top / "keys").iterdir(), *(top / "nodes").glob("*/*")]
    open_to_others = [
        path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


async def test_the_releases_are_a_good_and_a_sick_one(demo: Demo) -> None:
    assert [path.name for path in demo.releases.values()] == [
        "beacon-4.12.0.tar.gz",
        "beacon-4.13.0.tar.gz",
    ]
    manifests = {
        version: json.loads(path.with_name(f"beacon-{version}.release.json").read_text())
        for version, path in demo.releases.items()
    }
    names = {
        version: {each["path"] for each in found["files"]} for version, found in manifests.items()
    }
    assert names["4.13.0"] - names["4.12.0"] == {"sick"}
    for version, path in demo.releases.items():
        release = open_release(path)
        assert release.manifest.version == version
        verify_tarball(release)
        signed = vouched(release, Rule(True, demo.directory / "signers"), time.time())
        assert signed.provenance.signer == "release@demo"


async def test_the_updater_finds_its_python_and_reads_a_node(demo: Demo) -> None:
    """The whole way that a link takes: the demo's ssh_config, `sh -c`, the packed updater."""
    cluster = load_cluster(demo.cluster_file, today=TODAY)
    profile = load_cluster_profile(cluster, config_dir=demo.directory)
    _, limits = effective_policy(cluster, profile)
    node = cluster.node("n2")
    request = {
        "protocol": wire.PROTOCOL,
        "command": "status",
        "product": node_document(profile, node, limits),
        "state_dir": node.state_dir,
        "args": {"operator": "ann@jump"},
    }
    payload = pack()
    async with await connect(demo, "n2") as connection:
        done = await connection.run(
            shlex.join(payload.start(node.python)), input=payload.opening(request), encoding=None
        )
    assert done.stderr == b""
    messages = [wire.decode(line) for line in done.stdout.splitlines()]
    assert messages[-1]["outcome"] == "ok"
    facts = next(each for each in messages if each["t"] == "facts")
    assert (facts["running"], facts["selected"], facts["finalized"]) == ("4.11.0", "4.11.0", None)
    assert facts["health"] == "healthy"
    assert not Path(str(node.state_dir)).exists(), "looking wrote something"


async def test_commands_find_the_nodes_environment_and_nothing_of_the_users(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "leaked")
    async with await connect(demo, "n1") as connection:
        done = await connection.run("env; python3 -c 'import sys; print(sys.version_info[:3])'")
    *lines, version = str(done.stdout).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert set(found) - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "HOME",
        "PATH",
        "LANG",
        "LOGNAME",
        "USER",
        "SHELL",
        MARK,
    }
    assert found[MARK] == str(demo.directory)
    assert found["HOME"] == str(demo.directory / "nodes/n1/home")
    assert version == str(tuple(sys.version_info[:3])), "not our own interpreter"


async def test_the_lease_is_kept(demo: Demo) -> None:
    lease = demo.directory / "lease"
    os.utime(lease, (1, 1))
    await until(lambda: time.time() - lease.stat().st_mtime < 2, seconds=3)


async def test_every_demo_has_the_same_releases(demo: Demo, tmp_path: Path) -> None:
    other = places_in(tmp_path)
    other.make([])
    beacons.build_releases(other)
    for version, path in demo.releases.items():
        assert open_release(path).manifest.created == "2023-11-14T22:13:20Z"
        assert path.read_bytes() == beacons.tarball(other, version).read_bytes()
