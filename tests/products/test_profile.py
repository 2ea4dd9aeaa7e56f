"""A profile says only what is implemented; every mistake in it is named."""

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.domain.problem import Exit, LiftlockError
from backends.domain.versions import VersionOrder
from backends.products import profile_facts, profile_file, profile_service
from backends.products.profile import Profile, load_cluster_profile, load_profile, read_profile
from backends.products.profile_file import ProductTable
from backends.settings.cluster import load_cluster
from backends.settings.fields import Table

NATS = """
[product]
name = "nats"
layout = "versions"
directory = "/opt/nats"
version_order = "semver"

[service]
kind = "control"
env = { PORT = "{vars.port}" }

[[health]]
kind = "http"
url = "http://127.0.0.1:{vars.port}/varz"
version_field = "version"
"""

PRODUCT = '[product]\nname = "p"\ndirectory = "/opt/p"\n'
CONTROL = '[service]\nkind = "control"\n'
COMMAND = '[service]\nkind = "command"\ncommands = { start = ["a"], stop = ["b"] }\n'


def profile(folder: Path, text: str) -> Profile:
    path = folder / "p.toml"
    path.write_text(text)
    return read_profile(path)


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(LiftlockError) as caught:
        profile(folder, text)
    assert caught.value.exit_code == Exit.USAGE
    assert caught.value.problem.code == "file-invalid"
    return caught.value.problem.evidence


def test_the_profile_of_the_design_is_read(tmp_path: Path) -> None:
    nats = profile(tmp_path, NATS)

    assert nats.name == "nats"
    assert (nats.product.directory, nats.product.pointer) == ("/opt/nats", None)
    assert (nats.service.control, nats.service.start_timeout) == ("control", 60)
    [check] = nats.health
    assert (check.name, check.level, check.timeout) == ("http-1", "hard", 5)
    assert check.version_field == "version"


def test_a_control_service_without_checks_is_asked_by_its_script(tmp_path: Path) -> None:
    [check] = profile(tmp_path, PRODUCT + CONTROL).health
    assert (check.kind, check.name, check.level) == ("control", "control-1", "hard")
    assert profile(tmp_path, PRODUCT + COMMAND).health == ()


def test_checks_get_names_that_are_not_taken(tmp_path: Path) -> None:
    checks = "".join(
        f"[[health]]\nkind = 'control'\n{name}\n"
        for name in ("", "name = 'control-2'", "", "name = 'x'")
    )

    found = [each.name for each in profile(tmp_path, PRODUCT + CONTROL + checks).health]

    assert found == ["control-1", "control-2", "control-3", "x"]


def test_the_version_orders_are_those_of_the_domain() -> None:
    schema = ProductTable.model_json_schema()["properties"]["version_order"]["enum"]
    assert set(schema) == {str(each) for each in VersionOrder}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PRODUCT.replace("/opt/p", "opt/p") + CONTROL, "p.toml:3: [product] directory: must be"),
        (PRODUCT.replace("/opt/p", "/a/../p") + CONTROL, "must not contain .."),
        (PRODUCT.replace("/opt/p", "/") + CONTROL, "must not be the root"),
        (PRODUCT.replace("/opt/p", "/o/{version}") + CONTROL, "unknown placeholder {version}"),
        (PRODUCT.replace("/opt/p", "/o/{nod}") + CONTROL, "did you mean {node}?"),
        (PRODUCT + 'layout = "overly"\n' + CONTROL, 'did you mean "overlay"?'),
        (PRODUCT + 'layout = "overlay"\n' + CONTROL, '"overlay" needs [facts] version'),
        (PRODUCT + 'layout = "swap"\npointer = "current"\n' + CONTROL, "pointer: goes with"),
        (PRODUCT + 'directories = ["a"]\n' + CONTROL, '[product] directories: goes with layout'),
        (PRODUCT + 'layout = "swap"\ndirectories = ["a", "a/b"]\n' + CONTROL, "a/b lies in a"),
        (PRODUCT + 'layout = "swap"\ndirectories = ["/a"]\n' + CONTROL, "inside the version's"),
        (PRODUCT + 'keep = ["../x"]\n' + CONTROL, "[product] keep.0: must be a name or a path"),
        (PRODUCT + 'owner = "a:b:c"\n' + CONTROL, "[product] owner"),
        (PRODUCT + 'pointer = "currant"\n' + CONTROL, 'did you mean "current"?'),
        (PRODUCT + 'version_order = "sequence"\n' + CONTROL, "[product] sequence: and version_o"),
        (PRODUCT + 'sequence = ["1"]\n' + CONTROL, "go together"),
        (PRODUCT + 'roles = ["a", "a"]\n' + CONTROL, "names a role twice"),
        (PRODUCT.replace('"p"', '"../p"') + CONTROL, "[product] name: '../p' has characters"),
        (PRODUCT, "[service]: is missing"),
        (PRODUCT + CONTROL + 'control = "/bin/x"\n', "inside the version's tree"),
        (PRODUCT + CONTROL + 'control = "../x"\n', "inside the version's tree"),
        (PRODUCT + CONTROL + "commands = { start = ['a'], stop = ['b'] }\n", "goes with kind"),
        (PRODUCT + '[service]\nkind = "command"\n', "[service] commands: is missing"),
        (PRODUCT + COMMAND + 'control = "x"\n', '[service] control: goes with kind = "control"'),
        (PRODUCT + COMMAND + 'log = "control tail"\n', "[service] log"),
        (PRODUCT + COMMAND.replace('["a"]', "[]"), "[service] commands.start"),
        (PRODUCT + COMMAND.replace('["a"]', '"a"'), "[service] commands.start: must be a list"),
        (PRODUCT + CONTROL + "env = { 'A B' = '' }\n", "[service] env.A B"),
        (PRODUCT + CONTROL + "env = { A = '{vers}' }\n", "unknown placeholder {vers}"),
        (PRODUCT + CONTROL + "env = { A = '{var.x}' }\n", "did you mean {vars.x}?"),
        (PRODUCT + CONTROL + "env = { A = '{' }\n", "a single brace"),
        (PRODUCT + CONTROL + "stop_timeout = '0s'\n", "[service] stop_timeout"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "dns"\n', "p.toml:7: [[health]] kind: must be"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "http"\n', "[[health]] url: is missing"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "command"\n', "[[health]] command: is missing"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "control"\nurl = "http://a"\n', "] url"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "http"\nurl = "ftp://a"\n', "must begin with"),
        (PRODUCT + CONTROL + '[[health]]\nkind = "version"\n', '"version" needs [facts] version'),
        (PRODUCT + CONTROL + '[[health]]\nkind="control"\nname="a"\n' * 2, "p.toml:11: [["),
        (PRODUCT + CONTROL + "[facts]\nversion = {}\n", "exactly one of http, command, file"),
        (PRODUCT + CONTROL + "[facts]\nversion = { file='/a', command=['b'] }\n", "exactly one"),
        (PRODUCT + CONTROL + "[facts]\nversion = { http = 'http://a' }\n", "field: and http"),
        (PRODUCT + CONTROL + "[facts]\nversion = { file = 'a' }\n", "must begin with /"),
        (PRODUCT + CONTROL + "[facts]\nversion = { command=['a'], pattern='(' }\n", "no regular"),
        (PRODUCT + CONTROL + "[facts]\nversion = { command=['a'], pattern='(a)(b)' }\n", "one"),
        (PRODUCT + CONTROL + "[values]\na = {}\n", "[values] a: needs exactly one of"),
        (PRODUCT + CONTROL + "[values]\nrunning = { file='/a' }\n", "choose another name"),
        (PRODUCT + CONTROL + "[values]\n'a b' = { file='/a' }\n", "[values] a b"),
        (PRODUCT + CONTROL + "[values]\na = {http='http://a',field='b',pattern='c'}\n", "goes"),
        (PRODUCT + CONTROL + "[finalize]\nafter = ['a', 'a']\n", "names a step twice"),
        (PRODUCT + CONTROL + "[finalize]\nafter = ['all']\n", "stands for all of them"),
        (PRODUCT + CONTROL + "[finalize]\nafter = ['']\n", "must not be empty"),
        (PRODUCT + CONTROL + "[limits]\nmax_flaps = -1\n", "[limits] max_flaps"),
        (PRODUCT + CONTROL + "[limits]\nhealth_poll = 1\n", 'write "1s"'),
    ],
)  # fmt: skip
def test_a_mistake_in_a_profile_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistakes(tmp_path, text)


TABLES: dict[str, tuple[type[Table], str]] = {
    "[product]": (profile_file.ProductTable, "%s[product]"),
    "[service]": (profile_service.ServiceTable, ""),
    "[service] commands.": (profile_service.CommandsTable, ""),
    "[[health]]": (profile_file.HealthTable, "[[health]]\nkind = 'control'"),
    "[facts]": (profile_facts.FactsTable, "[facts]"),
    "[facts] version.": (profile_facts.FactTable, "[facts.version]\nfile = '/a'"),
    "[finalize]": (profile_file.FinalizeTable, "[finalize]"),
    "[limits]": (profile_file.LimitsTable, "[limits]"),
}


@pytest.mark.parametrize(
    ("table", "key"), [(name, key) for name, (m, _) in TABLES.items() for key in m.model_fields]
)
def test_every_misspelt_key_at_every_level_is_refused_and_the_right_one_named(
    tmp_path: Path, table: str, key: str
) -> None:
    wrong = key[0] + key[2:]
    line = f"{wrong} = 1\n"
    if table == "[product]":
        text = PRODUCT + line + CONTROL
    elif table == "[service]":
        text = PRODUCT + CONTROL + line
    elif table == "[service] commands.":
        text = PRODUCT + COMMAND.replace("}", f", {wrong} = 1 }}")
    else:
        text = PRODUCT + CONTROL + TABLES[table][1] + "\n" + line
    number = next(n for n, each in enumerate(text.splitlines(), 1) if f"{wrong} = 1" in each)
    label = f"{table}{wrong}" if table.endswith(".") else f"{table} {wrong}"

    found = mistakes(tmp_path, text)

    assert found == f"p.toml:{number}: unknown key {label}; did you mean {key}?"


def test_a_profile_is_found_beside_the_cluster_then_in_the_config_directory(
    tmp_path: Path,
) -> None:
    beside, config = tmp_path / "clusters", tmp_path / "config"
    for folder in (beside, config):
        folder.mkdir()
    (config / "nats.toml").write_text(NATS)
    for name in ("nats", "nats.toml"):
        assert load_profile(name, beside=beside, config_dir=config).source == config / "nats.toml"
    (beside / "nats.toml").write_text(NATS)
    (beside / "harbor.toml").touch()
    for place in (beside, beside / "harbor.toml"):
        found = load_profile("nats", beside=place, config_dir=config)
        assert found.source == beside / "nats.toml"
    found = load_profile(str(config / "nats.toml"), beside=beside, config_dir=config)
    assert found.source == config / "nats.toml"

    with pytest.raises(LiftlockError) as caught:
        load_profile("nast", beside=beside, config_dir=config)
    assert caught.value.problem.code == "profile-missing"
    assert caught.value.problem.advice == "Did you mean nats?"
    assert str(config / "nast.toml") in caught.value.problem.evidence


@pytest.mark.parametrize("name", ["nats-2.10", "v1.2"])
def test_a_name_may_have_dots(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.toml").write_text(NATS)

    found = load_profile(name, beside=tmp_path, config_dir=tmp_path)

    assert found.source.name == f"{name}.toml"


def test_a_profile_of_another_product_is_refused(tmp_path: Path) -> None:
    nodes = '[nodes]\nn1 = { address = "a" }\n'
    (tmp_path / "nats.toml").write_text(NATS)
    path = tmp_path / "c.toml"

    def problem(cluster: str, product: str | None = None) -> str:
        path.write_text(f'[cluster]\nname = "c"\n{cluster}\n{nodes}')
        loaded = load_cluster(path, today=date(2026, 11, 20))
        try:
            load_cluster_profile(loaded, product, config_dir=tmp_path)
        except LiftlockError as error:
            return error.problem.code
        return ""

    assert problem('products = ["nats", "loki"]') == ""
    assert problem('products = ["loki", "nats"]', "nats") == ""
    assert problem('products = ["loki", "nats"]') == "profile-missing"
    assert problem('product = "loki"\nprofile = "nats"') == "profile-other-product"
    assert problem('product = "nats"', "nast") == "product-unknown"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(NATS)),
            st.integers(0, 12),
            st.sampled_from(
                ["", "{", "}", "[", '"', "=", "1", "\n", "[[service]]\n", "x = [{}]\n"]
            ),
        ),
        max_size=3,
    )
)
def test_a_mutilated_profile_is_a_problem_or_a_profile_never_a_crash(
    cuts: list[tuple[int, int, str]],
) -> None:
    text = NATS
    for start, length, instead in cuts:
        text = text[:start] + instead + text[start + length :]
    with tempfile.TemporaryDirectory() as folder:
        try:
            profile(Path(folder), text)
        except LiftlockError as error:
            codes = {error.problem.code}
        else:
            codes = set()
    assert codes <= {"file-invalid", "file-not-toml"}


# --- configuration from elsewhere ---------------------------------------------------------------


def configuration(path: str, url: str) -> str:
    return f'[[configuration]]\npath = "{path}"\nurl = "{url}"\n'


def test_configuration_from_elsewhere_is_the_same_for_all_nodes(tmp_path: Path) -> None:
    text = configuration("etc/main.conf", "https://git/raw/{version}/main.conf")
    (found,) = profile(tmp_path, PRODUCT + CONTROL + text).configuration
    assert found.path == "etc/main.conf"
    assert found.url_of("1.2+rc~1") == "https://git/raw/1.2%2Brc~1/main.conf"


@pytest.mark.parametrize(
    ("path", "url", "says"),
    [
        ("../x", "http://h/x", "must be a path inside"),
        ("/etc/x", "http://h/x", "must be a path inside"),
        ("x", "h/x", "must begin with http"),
        ("x", "file:///x", "must begin with http"),
        ("x", "http://h/{node}", "{node} cannot stand in it"),
        ("x", "http://h/{vars.x}", "{vars.x} cannot stand in it"),
        ("x", "http://ann:secret@h/x", "must hold no user and no password"),
        ("x", "http://[bad/x", "is no address"),
        ("x", "http:///x", "is no address"),
        ("x", "http://h:99999/x", "is no address"),
        ("etc/own.conf", "http://h/x", "is on the keep-list"),
        (".liftlock/x", "http://h/x", "of Liftlock's own"),
    ],
)
def test_what_cannot_be_fetched_is_refused(path: str, url: str, says: str, tmp_path: Path) -> None:
    keep = 'keep = ["own.conf"]\n'
    assert says in mistakes(tmp_path, PRODUCT + keep + CONTROL + configuration(path, url))


def test_no_two_come_to_one_place(tmp_path: Path) -> None:
    twice = configuration("x", "http://h/x") + configuration("x", "http://h/y")
    assert "there are two of x" in mistakes(tmp_path, PRODUCT + CONTROL + twice)
