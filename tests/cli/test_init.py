"""`init`: what it writes is taken by our own reader, and fits what the nodes show."""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Ran
from tests.support.node import picture
from tests.support.served import Served, served


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two nodes, which the tests of this module only look at."""
    with served(tmp_path_factory.mktemp("demo"), 2) as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to write into."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def known(demo: Served, home: Path) -> Path:
    """An operator who can log in to the demo's nodes with nothing but the usual ~/.ssh."""
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    key = demo.directory / "keys" / "operator"
    (ssh / "config").write_text(f"Host *\n  IdentityFile {key}\n  IdentityAgent none\n")
    (ssh / "known_hosts").write_text((demo.directory / "known_hosts").read_text())
    return ssh


@pytest.fixture
def inventory(demo: Served, tmp_path: Path) -> Path:
    """The demo's nodes, as somebody with Ansible would have them."""
    found = tomllib.loads(demo.file.read_text())
    lines = [
        f"{name} ansible_host={node['address']} ansible_port={node['port']}"
        for name, node in found["nodes"].items()
    ]
    user = found["defaults"]["user"]
    path = tmp_path / "inventory.ini"
    path.write_text(
        "\n".join(["[brokers]", *lines, "[brokers:vars]", f"ansible_user={user}", "x_port=1"])
    )
    return path


def begun(demo: Served, inventory: Path, *words: str) -> Ran:
    """`init harbor` from the inventory, the demo's product directories named."""
    directory = f"{demo.directory}/nodes/{{node}}/opt/beacon"
    return demo.run(
        *("init", "harbor", "--from-ansible", str(inventory), "--group", "brokers"),
        *("--product", "beacon", "--directory", directory, *words),
    )


def test_what_is_written_of_an_inventory_is_taken_and_status_works_on_it(
    demo: Served, here: Path, known: Path, inventory: Path
) -> None:
    ran = begun(demo, inventory)
    assert ran.status == 0, ran
    assert ran.out.split() == ["beacon.toml", "harbor.toml"]
    status = demo.run("status", "harbor", "--json")
    assert status.status == 10, status  # its state directory is another one: not adopted there
    assert [node["running"] for node in status.json["nodes"]] == ["4.11.0", "4.11.0"]
    assert [node["health"] for node in status.json["nodes"]] == ["healthy", "healthy"]
    assert demo.run("config", "show", "harbor").status == 0


def test_what_was_found_stands_in_the_files(
    demo: Served, here: Path, known: Path, inventory: Path
) -> None:
    before = picture(demo.directory / "nodes" / "n1")
    ran = begun(demo, inventory)
    assert picture(demo.directory / "nodes" / "n1") == before, "looking changed the node"
    text = " ".join((here / "harbor.toml").read_text().replace("\n#    ", "").split())
    assert f"# n1: python {'.'.join(map(str, sys.version_info[:3]))}, " in text
    assert ".version says 4.11.0" in text
    assert re.search(r"runs: \d+ in \S+/n1/opt/beacon/4\.11\.0", text)
    profile = (here / "beacon.toml").read_text()
    assert "Found: a file `.version` on 2 of 2 nodes" in profile
    assert "script `control`" in profile
    assert "inventory.ini:6: n1: x_port: not taken" in ran.said


def test_a_node_that_cannot_be_reached_is_written_and_said(
    demo: Served, here: Path, known: Path
) -> None:
    ran = demo.run("init", "harbor", "--node", "ann@127.0.0.1:1", "--product", "beacon")
    assert ran.status == 0, ran
    assert "n1: not looked at: " in ran.said
    assert "Not looked at to the end: n1" in ran.said
    text = (here / "harbor.toml").read_text()
    assert "# n1: not looked at: " in text
    assert "Nothing was looked at" in (here / "beacon.toml").read_text()
    assert demo.run("config", "show", "harbor").status == 0


def test_an_unknown_host_key_is_no_reason_to_trust_it(
    demo: Served, here: Path, known: Path, inventory: Path
) -> None:
    (known / "known_hosts").write_text("")
    ran = begun(demo, inventory)
    assert ran.status == 0, ran
    assert "host-key-unknown" in (here / "harbor.toml").read_text()
    assert (known / "known_hosts").read_text() == ""


def test_without_nodes_it_is_an_example_that_our_reader_takes(demo: Served, here: Path) -> None:
    ran = demo.run("init", "harbor")
    assert ran.status == 0, ran
    assert ran.out.split() == ["example.toml", "harbor.toml"]
    assert "nothing was looked at" in ran.said
    shown = demo.run("config", "show", "harbor", "--json").json
    names = {each["table"] for each in shown["values"] if each["table"].startswith("[nodes]")}
    assert names == {"[nodes] n1", "[nodes] n2", "[nodes] n3"}


def test_no_file_is_ever_overwritten_and_none_is_left_half_way(demo: Served, here: Path) -> None:
    for name in ("harbor.toml", "nats.toml"):
        (here / name).write_text("mine\n")
        ran = demo.run("init", "harbor", "--product", "nats")
        assert ran.status == 2, ran
        assert [path.name for path in here.iterdir()] == [name]
        assert (here / name).read_text() == "mine\n"
        (here / name).unlink()
    (here / "harbor.toml").symlink_to("nowhere")
    assert demo.run("init", "harbor").status == 2
    assert [path.name for path in here.iterdir()] == ["harbor.toml"]


def test_a_profile_that_is_there_is_used_and_its_vars_are_asked_for(
    demo: Served, here: Path
) -> None:
    profile = here / "beacon.toml"
    profile.write_text((demo.directory / "beacon.toml").read_text())
    before = profile.read_text()
    ran = demo.run("init", "harbor", "--node", "127.0.0.1:1", "--product", "beacon")
    assert ran.status == 0, ran
    assert ran.out.split() == ["harbor.toml"]
    assert profile.read_text() == before
    assert 'vars = { port = "CHANGE" }' in (here / "harbor.toml").read_text()
    assert "port: they say CHANGE" in ran.said
    assert demo.run("config", "show", "harbor").status == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["../x"], "init-name"),
        (["x\x1b[2J"], "init-name"),
        (["x", "--product", "a/b"], "init-name"),
        (["x", "--product", "x"], "init-same-name"),
        (["example"], "init-same-name"),
        (["x", "--group", "g"], "init-nodes"),
        (["x", "--node", "a", "--from-ansible", "i"], "init-nodes"),
        (["x", "--node", "a:b:c"], "init-node"),
        (["x", "--node", "a b"], "file-invalid"),
        (["x", "--node=-oProxyCommand=x"], "file-invalid"),
        (["x", "--node", "127.0.0.1", "--node", "127.0.0.1"], "file-invalid"),
        (["x", "--node", "127.0.0.1:70000"], "file-invalid"),
        (["x", "--node", "127.0.0.1", "--directory", "opt"], "file-invalid"),
        (["x", "--node", "127.0.0.1", "--directory", "/opt/{var.y}"], "file-invalid"),
        (["x", "--from-ansible", "nowhere"], "ansible-missing"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    demo: Served, here: Path, words: list[str], code: str
) -> None:
    ran = demo.run("init", *words)
    assert ran.status == 2, ran
    assert f"[{code}]" in ran.said
    assert "\x1b" not in ran.err
    assert list(here.iterdir()) == []


def test_a_directory_that_takes_no_files_is_said(
    demo: Served, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    ran = demo.run("init", "harbor")
    assert ran.status == 2, ran
    assert "[file-unwritable]" in ran.said
    assert "Nothing was written" in ran.said


def test_a_variable_in_the_directory_is_asked_for_on_every_node(demo: Served, here: Path) -> None:
    words = ("--node", "127.0.0.1:1", "--directory", "/opt/{vars.instance}/x")
    ran = demo.run("init", "harbor", *words)
    assert ran.status == 0, ran
    assert 'vars = { instance = "CHANGE" }' in (here / "harbor.toml").read_text()
    assert demo.run("config", "show", "harbor").status == 0


def test_of_two_at_once_one_writes_and_the_other_is_told(here: Path) -> None:
    words = [sys.executable, "-m", "app", "init", "harbor", "--product", "nats"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for each in both:
        each.communicate(timeout=30)
    # Whoever comes later may find the other's profile, then only the cluster file is in the way.
    assert sorted(each.returncode for each in both) == [0, 2]
    assert sorted(path.name for path in here.iterdir()) == ["harbor.toml", "nats.toml"]
    tomllib.loads((here / "harbor.toml").read_text())


def test_ctrl_c_while_it_looks_leaves_no_file(
    demo: Served, here: Path, known: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "init", "x", "--node", f"127.0.0.1:{port}"],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "TMPDIR": str(tmp_path),
            },
            stderr=subprocess.PIPE,
        )
        connection, _ = silent.accept()  # it waits for our greeting now
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        connection.close()
    assert process.returncode == 130
    assert list(here.iterdir()) == []
    assert not list(tmp_path.glob("liftlock-init-*"))
