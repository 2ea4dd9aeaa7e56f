"""A cluster file becomes nodes with all defaults resolved, or every mistake in it is named."""

import inspect
import re
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.domain.problem import Exit, LiftlockError
from backends.settings import cluster_file
from backends.settings.cluster import Cluster, load_cluster, select_nodes
from backends.settings.cluster_file import ClusterFile
from backends.settings.fields import Table

TODAY = date(2026, 11, 20)

HARBOR = """
[cluster]
name = "harbor"
environment = "production"
product = "nats"
profile = "nats.toml"
signatures = "required"
allowed_signers = "signers"
known_hosts = "/etc/liftlock/known_hosts"

[defaults]
user = "ops"
become = "sudo"
port = 2200

[nodes]
n1 = { address = "10.0.0.11", role = "voter", canary = true }
n2 = { address = "10.0.0.12", role = "voter", vars = { port = 8222, tls = true, at = 1.5 } }
n7 = { address = "fe80::1%eth0", jump = "ops@bastion:22,gate", port = 2222, become = "none" }
n8 = { address = "10.0.0.18", exclude = "disk dead, INC-77", until = 2026-12-01 }
n9 = { address = "10.0.0.19", exclude = "moved", until = 2026-11-19 }

[policy]
batch = 1
pause = "first"
accept_window = "10m"
if_operator_vanishes = "rollback"
"""


def load(folder: Path, text: str, today: date = TODAY) -> Cluster:
    path = folder / "harbor.toml"
    path.write_text(text)
    return load_cluster(path, today=today)


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(LiftlockError) as caught:
        load(folder, text)
    assert caught.value.exit_code == Exit.USAGE
    assert caught.value.problem.code == "file-invalid"
    return caught.value.problem.evidence


def with_nodes(*lines: str, defaults: str = "") -> str:
    nodes = "\n".join(lines)
    return f'[cluster]\nname = "c"\nproduct = "p"\n[defaults]\n{defaults}\n[nodes]\n{nodes}\n'


def test_the_cluster_file_of_the_design_is_resolved(tmp_path: Path) -> None:
    cluster = load(tmp_path, HARBOR)

    assert (cluster.name, cluster.environment, cluster.products) == (
        "harbor", "production", ("nats",)
    )  # fmt: skip
    assert cluster.product == "nats"
    assert cluster.profile_name("nats") == "nats.toml"
    assert cluster.source == tmp_path / "harbor.toml"
    assert cluster.allowed_signers == tmp_path / "signers"
    assert cluster.known_hosts == Path("/etc/liftlock/known_hosts")
    assert [node.name for node in cluster.nodes] == ["n1", "n2", "n7", "n8", "n9"]
    n1, n2, n7, n8, _ = cluster.nodes
    assert (n1.user, n1.become, n1.port, n1.canary, n1.role) == (
        "ops",
        "sudo",
        2200,
        True,
        "voter",
    )
    assert n2.vars == {"port": "8222", "tls": "true", "at": "1.5"}
    assert (n7.address, n7.jump, n7.port, n7.become) == (
        "fe80::1%eth0", "ops@bastion:22,gate", 2222, "none"
    )  # fmt: skip
    assert n8.excluded == "disk dead, INC-77"
    assert cluster.policy.accept_window == 600
    assert cluster.node("n2") is n2


def test_what_is_not_said_has_the_safe_default(tmp_path: Path) -> None:
    cluster = load(tmp_path, with_nodes('n1 = { address = "a" }'))
    node = cluster.nodes[0]

    assert (cluster.environment, cluster.signatures) == ("test", "required")
    assert (node.user, node.become, node.port, node.jump, node.python, node.state_dir) == (
        None, "none", None, None, None, None
    )  # fmt: skip
    assert (node.transport, node.excluded, node.canary, node.role) == ("ssh", None, False, "")
    assert any("allowed_signers" in note for note in cluster.notes)


def test_an_exclusion_counts_on_its_last_day_and_lapses_with_a_note(tmp_path: Path) -> None:
    on_the_day = load(tmp_path, HARBOR, date(2026, 12, 1))
    after_it = load(tmp_path, HARBOR, date(2026, 12, 2))

    assert on_the_day.node("n8").excluded == "disk dead, INC-77"
    assert after_it.node("n8").excluded is None
    assert after_it.node("n8").until is None
    lapsed = "n8: the exclusion (disk dead, INC-77) lapsed on 2026-12-01"
    assert lapsed in after_it.notes
    assert lapsed not in on_the_day.notes


def test_a_local_node_needs_no_address_and_a_second_one_its_own_state(tmp_path: Path) -> None:
    alone = load(tmp_path, with_nodes('n1 = { transport = "local" }'))
    assert (alone.nodes[0].address, alone.nodes[0].transport) == ("local", "local")

    two = ["n1 = {}", "n2 = { state_dir = '/srv/two' }"]
    local = 'transport = "local"'
    assert "n1: is this machine, as n2 is" in mistakes(tmp_path, with_nodes(*two, defaults=local))
    assert "n2: is this machine, as n1 is" in mistakes(
        tmp_path, with_nodes("n1 = {}", "n2 = {}", defaults=local + "\nstate_dir = '/srv/one'")
    )
    apart = with_nodes("n1 = { state_dir = '/srv/one' }", two[1], defaults=local)
    assert len(load(tmp_path, apart).nodes) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('address = "a"', 'address = "A", port = 22'),
        ('address = "a", jump = "j"', 'address = "a", jump = "j"'),
    ],
)
def test_two_names_for_one_machine_are_refused(tmp_path: Path, first: str, second: str) -> None:
    text = with_nodes(f"n1 = {{ {first} }}", f"n2 = {{ {second} }}")

    assert "harbor.toml:8: [nodes] n2: is " in mistakes(tmp_path, text)


def test_another_port_is_another_machine(tmp_path: Path) -> None:
    text = with_nodes('n1 = { address = "a", port = 1 }', 'n2 = { address = "a", port = 2 }')

    assert len(load(tmp_path, text).nodes) == 2


@pytest.mark.parametrize(
    "line",
    [
        'n1 = { address = "-oProxyCommand=x" }',
        'n1 = { address = "a b" }',
        'n1 = { address = "a;b" }',
        'n1 = { address = "$(x)" }',
        'n1 = { address = "a\\n" }',
        'n1 = { address = "a", jump = "-oX" }',
        'n1 = { address = "a", user = "-l root" }',
        'n1 = { address = "a", python = "-c x" }',
        'n1 = { address = "a", python = "python3; x" }',
        'n1 = { address = "a", state_dir = "relative" }',
        'n1 = { address = "a", state_dir = "/a/../b" }',
        'n1 = { address = "a", role = "a b" }',
        'n1 = { address = "a", port = 0 }',
        'n1 = { address = "a", port = true }',
        'n1 = { address = "a", canary = 1 }',
        'n1 = { address = "a", vars = { "a b" = 1 } }',
        'n1 = { address = "a", vars = { a = [1] } }',
        'n1 = { address = "a", vars = { a = "b\\u001b" } }',
        'n1 = { address = "a", exclude = "" }',
        'n1 = { address = "a", until = 2026-12-01 }',
        'n1 = { address = "a", exclude = "x", until = "2026-12-01" }',
        'n1 = { address = "a", exclude = "x", until = 2026-12-01T00:00:00Z }',
        "n1 = {}",
        'n1 = "10.0.0.1"',
        '".hidden" = { address = "a" }',
        '"../n1" = { address = "a" }',
        '"-n" = { address = "a" }',
        '"" = { address = "a" }',
    ],
)
def test_o23_an_unsafe_value_of_a_node_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    text = with_nodes('ok = { address = "z" }', line)

    assert mistakes(tmp_path, text).startswith("harbor.toml:8: [nodes]")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('name = "c"', "[cluster] product: is missing"),
        ('name = "c"\nproduct = "a"\nproducts = ["a"]', "product or products, not both"),
        ('name = "c"\nproducts = []', "products"),
        ('name = "c"\nproducts = ["a", "a"]', "names a product twice"),
        ('name = "c"\nproducts = ["a"]\nprofile = "x"', "profile: goes with product"),
        ('product = "a"', "[cluster] name: is missing"),
        ('name = "a/b"\nproduct = "a"', "[cluster] name: 'a/b' has characters"),
        ('name = "c"\nproduct = "../a"', "[cluster] product: '../a' has characters"),
        ('name = "c"\nproduct = "a"\nsignatures = "optionl"', 'did you mean "optional"?'),
    ],
)
def test_the_cluster_table_is_checked(tmp_path: Path, lines: str, said: str) -> None:
    text = f'[cluster]\n{lines}\n[nodes]\nn1 = {{ address = "a" }}\n'

    assert said in mistakes(tmp_path, text)


def test_a_cluster_without_nodes_is_refused(tmp_path: Path) -> None:
    assert "[nodes]: has no node" in mistakes(tmp_path, with_nodes())
    text = '[cluster]\nname = "c"\nproduct = "p"\n'
    assert "[nodes]: is missing" in mistakes(tmp_path, text)


TABLES: dict[str, type[Table]] = {
    "[cluster]": cluster_file.ClusterTable,
    "[defaults]": cluster_file.DefaultsTable,
    "[nodes] n1.": cluster_file.NodeTable,
    "[policy]": cluster_file.PolicyTable,
    "[staging]": cluster_file.StagingTable,
    "[history]": cluster_file.HistoryTable,
    "[notify]": cluster_file.NotifyTable,
}


@pytest.mark.parametrize(
    ("table", "key"),
    [(name, key) for name, model in TABLES.items() for key in model.model_fields],
)
def test_every_misspelt_key_at_every_level_is_refused_and_the_right_one_named(
    tmp_path: Path, table: str, key: str
) -> None:
    wrong = key[0] + key[2:]
    sections = {
        "[cluster]": 'name = "c"\nproduct = "p"',
        "[defaults]": "",
        "[nodes]": 'n1 = { address = "a" }',
        "[policy]": "",
        "[staging]": "",
        "[history]": "",
        "[notify]": 'command = ["true"]',
    }
    if table.startswith("[nodes]"):
        sections["[nodes]"] = f'n1 = {{ address = "a", {wrong} = 1 }}'
    else:
        sections[table] += f"\n{wrong} = 1"
    text = "\n".join(f"{head}\n{body}" for head, body in sections.items())
    line = next(n for n, each in enumerate(text.splitlines(), 1) if f"{wrong} = 1" in each)
    label = f"{table}{wrong}" if table.endswith(".") else f"{table} {wrong}"

    found = mistakes(tmp_path, text)

    assert found == f"harbor.toml:{line}: unknown key {label}; did you mean {key}?"


def test_every_table_of_the_file_is_covered_by_the_test_above() -> None:
    found = {
        each
        for _, each in inspect.getmembers(cluster_file, inspect.isclass)
        if issubclass(each, Table) and each.__module__ == cluster_file.__name__
    }
    assert found == {*TABLES.values(), ClusterFile, cluster_file.Connection}


def test_the_history_is_kept_a_year_and_to_200_mb_unless_the_file_says_else(
    tmp_path: Path,
) -> None:
    history = load(tmp_path, HARBOR).history
    assert (history.keep, history.keep_bytes) == (365 * 86400, 200_000_000)
    history = load(tmp_path, f'{HARBOR}\n[history]\nkeep = "60 d"\nkeep_bytes = "5 MB"\n').history
    assert (history.keep, history.keep_bytes) == (60 * 86400, 5_000_000)


@pytest.mark.parametrize(
    "line", ['keep = "10 h"', "keep = 60", 'keep_bytes = "10 kB"', "keep_bytes = 5", "keep = true"]
)
def test_a_history_that_keeps_next_to_nothing_is_refused_with_its_line(
    tmp_path: Path, line: str
) -> None:
    text = with_nodes('ok = { address = "z" }') + f"\n[history]\n{line}\n"
    assert f"[history] {line.split()[0]}: " in mistakes(tmp_path, text)


def test_an_expression_selects_by_name_and_role_in_the_clusters_order(tmp_path: Path) -> None:
    cluster = load(tmp_path, HARBOR)

    def names(expression: str | None) -> tuple[list[str], tuple[str, ...]]:
        nodes, unknown = select_nodes(cluster, expression)
        return [node.name for node in nodes], unknown

    assert names(None) == (["n1", "n2", "n7", "n8", "n9"], ())
    assert names("n7,role:voter, n1") == (["n1", "n2", "n7"], ())
    assert names("n2,nx,role:x,nx") == (["n2"], ("nx", "role:x"))
    assert names("voter") == ([], ("voter",))
    assert names("role:") == (["n7", "n8", "n9"], ())
    assert names("") == ([], ())


@settings(max_examples=50)
@given(st.text(max_size=20))
def test_any_node_name_is_either_safe_or_refused(name: str) -> None:
    escaped = "".join(f"\\U{ord(each):08x}" for each in name if not 0xD800 <= ord(each) < 0xE000)
    kept = "".join(each for each in name if not 0xD800 <= ord(each) < 0xE000)
    with tempfile.TemporaryDirectory() as folder:
        try:
            cluster = load(Path(folder), with_nodes(f'"{escaped}" = {{ address = "a" }}'))
        except LiftlockError:
            assert not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", kept)
        else:
            assert cluster.nodes[0].name == kept
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", kept)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(HARBOR)),
            st.integers(0, 12),
            st.sampled_from(["", "{", "[", '"', "=", "1", "\n", "[[nodes]]\n", "x = [{}]\n", "."]),
        ),
        max_size=3,
    )
)
def test_a_mutilated_cluster_file_is_a_problem_or_a_cluster_never_a_crash(
    cuts: list[tuple[int, int, str]],
) -> None:
    text = HARBOR
    for start, length, instead in cuts:
        text = text[:start] + instead + text[start + length :]
    with tempfile.TemporaryDirectory() as folder:
        try:
            load(Path(folder), text)
        except LiftlockError as error:
            codes = {error.problem.code}
        else:
            codes = set()
    assert codes <= {"file-invalid", "file-not-toml"}


# --- staging ------------------------------------------------------------------------------------


def with_staging(text: str) -> str:
    nodes = with_nodes('n1 = { address = "10.0.0.11" }')
    return f"{nodes}[staging]\n{text}\n"


def test_releases_are_pushed_unless_the_file_says_how_else(tmp_path: Path) -> None:
    assert load(tmp_path, HARBOR).staging.how == "push"
    assert load(tmp_path, with_staging('rate = "20 MB"')).staging.rate == 20_000_000
    pull = load(tmp_path, with_staging('how = "pull"\nurl = "https://mirror:8443/beacon"'))
    assert pull.staging.url == "https://mirror:8443/beacon"
    there = load(tmp_path, with_staging('how = "present"\ndirectory = "/srv/releases"'))
    assert there.staging.directory == "/srv/releases"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('how = "pull"', "url: is missing"),
        ('how = "present"', "directory: is missing"),
        ('url = "https://mirror"', 'goes with how = "pull"'),
        ('how = "pull"\nurl = "https://mirror"\nrate = "1 MB"', 'goes with how = "push"'),
        ('how = "pull"\nurl = "https://ann:secret@mirror/"', "url"),
        ('how = "pull"\nurl = "ftp://mirror/"', "url"),
        ('how = "pull"\nurl = "https://mirror/a b"', "url"),
        ('how = "present"\ndirectory = "srv"', "directory"),
        ('rate = "12"', "rate"),
        ("rate = 12", "rate"),
        ('rate = "1 B"', "rate"),
        ('how = "send"', "how"),
        ('way = "push"', "way"),
    ],
)
def test_a_way_that_makes_no_sense_is_a_mistake(tmp_path: Path, text: str, says: str) -> None:
    found = mistakes(tmp_path, with_staging(text))
    assert says in found
    assert "[staging]" in found
