"""`config show`: every value is the one the program uses, and who said it is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.session import open_session
from backends.products import profile as profiles
from backends.products.policy import keys
from tests.support.cluster import Cluster

SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "config.json"

Row = dict[str, Any]


@pytest.fixture
def harbor(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two nodes that nobody contacts here."""
    return make_cluster(2)


def shown(cluster: Cluster, *words: str) -> dict[tuple[str, str], Row]:
    """`config show --json`, by table and key."""
    ran = cluster.run("config", "show", str(cluster.file), "--json", *words)
    assert ran.status == 0, ran
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(ran.json)
    found = {(each["table"], each["key"]): each for each in ran.json["values"]}
    assert len(found) == len(ran.json["values"]), "a value is shown twice"
    return found


def line_of(path: Path, text: str) -> int:
    """Where a text stands in a file."""
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_each_value_has_the_line_that_says_it(harbor: Cluster) -> None:
    found = shown(harbor)
    for table, key, file, text in (
        ("[cluster]", "name", harbor.file, 'name = "harbor"'),
        ("[policy]", "min_healthy", harbor.file, "min_healthy"),
        ("[nodes] n2", "vars.port", harbor.file, "n2 ="),
        ("[nodes] n2", "state_dir", harbor.file, "n2 ="),
        ("[policy]", "stop_timeout", harbor.profile, "stop_timeout"),
        ("[service]", "env.BEACON_PORT", harbor.profile, "env ="),
        ("[[health]] http-1", "url", harbor.profile, "url ="),
        ("[nodes] n1", "directory", harbor.profile, "directory ="),
    ):
        origin = found[table, key]["origin"]
        assert (origin["file"], origin["line"]) == (str(file), line_of(file, text)), (table, key)
    for table, key, value in (
        ("[cluster]", "environment", "test"),
        ("[policy]", "batch", 1),
        ("[policy]", "verify_every", "1h"),
        ("[product]", "pointer", ".version"),
        ("[staging]", "how", "push"),
        ("[nodes] n1", "become", "none"),
    ):
        assert found[table, key]["origin"] == {"kind": "default", "file": None, "line": None}
        assert found[table, key]["value"] == value


def test_every_key_of_the_policy_is_the_value_that_upgrades_use(
    harbor: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.write_profile('[limits]\nmax_flaps = 9\nmin_healthy = "77s"\n')
    found = shown(harbor)
    monkeypatch.setenv("LIFTLOCK_STATE_DIR", str(harbor.top / "operator"))
    session = open_session(str(harbor.file))
    assert found["[policy]", "max_flaps"]["value"] == session.limits.max_flaps == 9
    assert found["[policy]", "max_flaps"]["origin"]["kind"] == "profile"
    assert found["[policy]", "min_healthy"]["value"] == "300ms", "the cluster's word wins"
    assert found["[policy]", "min_healthy"]["origin"]["kind"] == "cluster"
    assert session.limits.min_healthy_seconds == 0.3
    assert {key for table, key in found if table == "[policy]"} == set(keys().values())


def test_a_value_of_defaults_is_the_nodes_with_its_own_line(harbor: Cluster) -> None:
    with harbor.file.open("a") as stream:
        stream.write('\n[defaults]\npython = "/usr/bin/python3"\nbecome = "sudo"\n')
    found = shown(harbor)
    for node in ("n1", "n2"):
        origin = found[f"[nodes] {node}", "python"]["origin"]
        assert origin["line"] == line_of(harbor.file, "python =")
        assert found[f"[nodes] {node}", "become"]["value"] == "sudo"


def test_what_ssh_config_adds_is_shown_as_its_word(harbor: Cluster, home: Path) -> None:
    (home / ".ssh").mkdir()
    config = "Host 10.0.0.1\n  User ann\n  Port 2022\n  ProxyJump bob@10.0.0.9\n"
    (home / ".ssh" / "config").write_text(config)
    text = harbor.file.read_text().split("[nodes]")[0]
    nodes = 'n1 = { address = "10.0.0.1", vars = { port = 1 } }\n'
    harbor.file.write_text(f"{text}[nodes]\n{nodes}")
    found = shown(harbor)
    for key, value in (("user", "ann"), ("port", 2022), ("jump", "bob@10.0.0.9")):
        assert found["[nodes] n1", key]["value"] == value
        assert found["[nodes] n1", key]["origin"]["kind"] == "ssh"


def test_secrets_are_not_shown_in_lines_or_json(harbor: Cluster) -> None:
    text = harbor.file.read_text().replace("vars = {", 'vars = { api_token = "geheim-1",')
    harbor.file.write_text(
        text + '\n[staging]\nhow = "pull"\nurl = "http://mirror/x?sig=geheim-2"\n'
    )
    profile = harbor.profile.read_text().replace(
        "env = {", 'env = { DB_PASSWORD = "geheim-3", T_TOKEN = "{vars.api_token}",'
    )
    profile = profile.replace("/health", "/health?key=geheim-4").replace(
        "127.0", "a:geheim-5@127.0"
    )
    more = (
        '[[hooks]]\nname = "h"\nwhen = "after_stop"\ncommand = ["x", "--password", "geheim-6"]\n'
    )
    harbor.profile.write_text(profile + more)
    for words in ((), ("--json",)):
        ran = harbor.run("config", "show", str(harbor.file), *words)
        assert ran.status == 0, ran
        assert "geheim" not in ran.out + ran.err
    assert "geheim" in harbor.profile.read_text()
    found = shown(harbor)
    assert found["[service]", "env.DB_PASSWORD"]["value"] == "***"
    assert found["[service]", "env.T_TOKEN"]["value"] == "{vars.api_token}"
    assert found["[nodes] n1", "vars.api_token"]["value"] == "***"
    assert found["[nodes] n1", "vars.port"]["value"] == str(harbor.ports["n1"])
    assert found["[[hooks]] h", "command"]["value"] == ["x", "--password", "***"]


def test_lines_are_for_people_and_say_the_same(harbor: Cluster) -> None:
    ran = harbor.run("config", "show", str(harbor.file))
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert any(line.startswith('min_healthy = "300ms"') for line in lines)
    where = f"# harbor.toml:{line_of(harbor.file, 'min_healthy')}"
    assert [line for line in lines if line.endswith(where)]
    assert [line for line in lines if line.startswith("batch = 1") and "# default" in line]


def test_a_builtin_profile_is_called_so(
    harbor: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    harbor.profile.rename(shelf / "beacon.toml")
    monkeypatch.setattr(profiles, "BUILTIN", shelf)
    found = shown(harbor)
    assert found["[service]", "kind"]["origin"]["kind"] == "builtin"
    assert "builtin profile beacon:" in harbor.run("config", "show", str(harbor.file)).out


def test_only_the_nodes_that_were_asked_for(harbor: Cluster) -> None:
    tables = {table for table, _ in shown(harbor, "-n", "n2")}
    assert "[nodes] n2" in tables
    assert "[nodes] n1" not in tables
    assert harbor.run("config", "show", str(harbor.file), "-n", "n2,n9").status == 2


@pytest.mark.parametrize("text", ["", "[cluster\n", '[cluster]\nnmae = "x"\n'])
def test_a_file_that_is_wrong_is_exit_2(harbor: Cluster, text: str) -> None:
    harbor.file.write_text(text)
    ran = harbor.run("config", "show", str(harbor.file))
    assert ran.status == 2
    assert ran.out == ""


def test_no_node_is_contacted_and_nothing_is_made(harbor: Cluster) -> None:
    before = sorted(path.name for path in harbor.top.iterdir())
    assert harbor.run("config", "show", str(harbor.file)).status == 0
    assert sorted(path.name for path in harbor.top.iterdir()) == before


def test_alone_it_says_how_to_begin(harbor: Cluster, tmp_path: Path, monkeypatch: Any) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    ran = harbor.run()
    assert ran.status == 0
    for words in ("liftlock demo", "liftlock init", "--from-ansible", "liftlock doctor"):
        assert words in ran.out
    monkeypatch.chdir(harbor.top)
    assert "  liftlock harbor\n" in harbor.run().out
    assert list(empty.iterdir()) == []
