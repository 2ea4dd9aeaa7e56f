"""Ansible inventories: what is taken, what is said not to be, and what is refused by its name."""

from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.ansible import Taken, take

INI = """\
# the harbor
lonely ansible_host=10.0.0.99

[brokers]
n[01:03].example.com
n4 ansible_host=10.0.0.4 ansible_port=2222   # the odd one
n5:2200

[brokers:vars]
ansible_user=ops
ansible_become=yes
nats_port = 4222
ansible_ssh_common_args='-o ProxyJump=ops@bastion:22 -o StrictHostKeyChecking=no'

[web]
w[a:c]

[all:vars]
ansible_user=root
ansible_python_interpreter=/usr/bin/python3

[site:children]
brokers
web
"""

YAML = """\
all:
  vars:
    ansible_user: root
    ansible_python_interpreter: /usr/bin/python3
  hosts:
    lonely: {ansible_host: 10.0.0.99}
  children:
    site:
      children:
        web:
          hosts:
            w[a:c]:
        brokers:
          hosts:
            n[01:03].example.com:
            n4:
              ansible_host: 10.0.0.4
              ansible_port: 2222
            n5: {ansible_port: 2200}
          vars:
            ansible_user: ops
            ansible_become: yes
            nats_port: 4222
            ansible_ssh_common_args: -o ProxyJump=ops@bastion:22 -o StrictHostKeyChecking=no
"""
VAULTED = """\
!vault |
          $ANSIBLE_VAULT;1.1;AES256
          3033
"""


def taken(
    tmp_path: Path, text: str, name: str = "inventory.ini", group: str | None = None
) -> Taken:
    path = tmp_path / name
    path.write_text(text)
    return take(path, group)


def refused(
    tmp_path: Path, text: str, name: str = "inventory.ini", group: str | None = None
) -> Problem:
    with pytest.raises(LiftlockError) as caught:
        taken(tmp_path, text, name, group)
    assert caught.value.exit_code is Exit.USAGE
    return caught.value.problem


@pytest.mark.parametrize(("name", "text"), [("inventory.ini", INI), ("inventory.yml", YAML)])
def test_both_forms_give_the_same_nodes(tmp_path: Path, name: str, text: str) -> None:
    found = taken(tmp_path, text, name, "brokers")
    common = {
        "user": "ops",
        "become": "sudo",
        "jump": "ops@bastion:22",
        "python": "/usr/bin/python3",
    }
    assert {each.name: dict(each.keys) for each in found.nodes} == {
        "n01.example.com": {"address": "n01.example.com", **common},
        "n02.example.com": {"address": "n02.example.com", **common},
        "n03.example.com": {"address": "n03.example.com", **common},
        "n4": {"address": "10.0.0.4", "port": 2222, **common},
        "n5": {"address": "n5", "port": 2200, **common},
    }


@pytest.mark.parametrize(("name", "text"), [("inventory.ini", INI), ("inventory.yml", YAML)])
def test_groups_hold_what_their_children_hold(tmp_path: Path, name: str, text: str) -> None:
    names = {each.name for each in taken(tmp_path, text, name, "site").nodes}
    assert {"wa", "wb", "wc", "n4"} < names
    assert "lonely" not in names
    every = taken(tmp_path, text, name).nodes
    assert {each.name: each.keys["user"] for each in every}["lonely"] == "root"
    assert len(every) == 9


@pytest.mark.parametrize(("name", "text"), [("inventory.ini", INI), ("inventory.yml", YAML)])
def test_what_is_not_taken_is_said_with_its_line(tmp_path: Path, name: str, text: str) -> None:
    notes = taken(tmp_path, text, name, "brokers").notes
    lines = text.splitlines()
    for variable in ("nats_port", "ansible_ssh_common_args"):
        number = next(n for n, line in enumerate(lines, 1) if variable in line)
        said = [note for note in notes if note.startswith(f"{name}:{number}: n4: {variable}: ")]
        assert said, notes
        assert "not taken" in said[0]
    assert any("StrictHostKeyChecking" in note for note in notes)
    assert not any("4222" in note for note in notes), "a value may be a secret"


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.ini", "n1 ansible_host='{{ fact }}'", "expression"),
        ("a.ini", "[g]\nn1\n[g:vars]\nansible_user={{ who }}", "expression"),
        ("a.ini", "[g]\nn1\n[g:vars]\nansible_user=!vault x", "vaulted"),
        ("a.ini", "n1 ansible_user=$ANSIBLE_VAULT;1.1;AES256", "vaulted"),
        (
            "a.yml",
            f"all: {{hosts: {{n1: }}, vars: }}\nb:\n  vars:\n    ansible_user: {VAULTED}"
            "  hosts:\n    n1:\n",
            "vaulted",
        ),
        ("a.yml", "all: {hosts: {n1: {ansible_user: '{% if x %}a{% endif %}'}}}", "expression"),
        ("a.yml", "all: {hosts: {n1: {ansible_host: [1, 2]}}}", "no single value"),
        ("a.yml", "all: {hosts: {n1: {ansible_host: }}}", "is empty"),
        ("a.ini", "n1 ansible_port=70000", "no port"),
        ("a.ini", "n1 ansible_port=ssh", "no port"),
        ("a.ini", "n1 ansible_connection=winrm", "winrm"),
        ("a.ini", "n1 ansible_become=perhaps", "neither yes nor no"),
        ("a.ini", "n1 ansible_become=yes ansible_become_method=su", "only sudo to root"),
        ("a.ini", "n1 ansible_become=yes ansible_become_user=app", "only sudo to root"),
        ("a.ini", "n1 ansible_host=-oProxyCommand=x", "cannot be taken as address"),
        ("a.ini", "n1 ansible_user='a b'", "cannot be taken as user"),
        ("a.ini", "[::1]:22", "cannot be a node's name"),
        ("a.ini", 'n1 ansible_ssh_common_args="-o \'x"', "taken apart"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(
    tmp_path: Path, name: str, text: str, word: str
) -> None:
    problem = refused(tmp_path, text, name)
    assert problem.code == "ansible-value"
    assert word in problem.evidence
    assert problem.evidence.startswith(name)


def test_all_refusals_are_told_at_once(tmp_path: Path) -> None:
    problem = refused(tmp_path, "n1 ansible_user={{a}}\nn2 ansible_port=x")
    assert "and 1 more" in problem.summary
    assert [line.split(": ")[1] for line in problem.evidence.splitlines()] == ["n1", "n2"]


def test_a_variable_that_is_not_taken_may_be_computed_or_vaulted(tmp_path: Path) -> None:
    found = taken(tmp_path, "n1 ansible_host=10.0.0.1 app_key='{{ vault_key }}'")
    assert found.nodes[0].keys == {"address": "10.0.0.1"}
    assert found.notes == ("inventory.ini:1: n1: app_key: not taken",)


def test_a_password_is_never_taken_and_makes_sudo_ask(tmp_path: Path) -> None:
    text = "n1 ansible_password=geheim ansible_become=true ansible_become_password=geheim2"
    found = taken(tmp_path, text)
    assert found.nodes[0].keys == {"address": "n1", "become": "sudo-password"}
    assert len(found.notes) == 2
    assert "geheim" not in "".join(found.notes)


def test_the_machine_itself(tmp_path: Path) -> None:
    found = taken(tmp_path, "here ansible_connection=local")
    assert found.nodes[0].keys == {"transport": "local"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("n[1:3]", "n1 n2 n3"),
        ("n[08:10]", "n08 n09 n10"),
        ("n[1:9:4]", "n1 n5 n9"),
        ("[a:b]-[1:2]", "a-1 a-2 b-1 b-2"),
    ],
)
def test_ranges(tmp_path: Path, pattern: str, names: str) -> None:
    found = taken(tmp_path, pattern)
    assert [each.name for each in found.nodes] == names.split()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.ini", "\nn[1:", 2),
        ("a.ini", "n[3:1]", 1),
        ("a.ini", "n[1:99999999]", 1),
        ("a.ini", "n[1:200]x[1:200]", 1),
        ("a.ini", "n[a:3]", 1),
        ("a.ini", "[g:wars]", 1),
        ("a.ini", "n1 what", 1),
        ("a.ini", "[g:vars]\nwhat", 2),
        ("a.ini", 'n1 a="b', 1),
        ("a.yml", "a: [", 1),
        ("a.yml", "\n- a\n- b", 2),
        ("a.yml", "all:\n  nodes: {}", 2),
        ("a.yml", "all: {hosts: [n1]}", 1),
        ("a.yml", "a: &a\n  children: {b: *a}", 2),
        ("a.yml", "? [a]\n: b", 1),
        ("a.json", '{"_meta": {"hostvars": {}}}', 1),
    ],
)
def test_what_is_no_inventory_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    problem = refused(tmp_path, text, name)
    assert problem.code == "ansible-invalid"
    assert problem.summary.startswith(f"{name}:{line}: "), problem


def test_aliases_without_end_are_refused(tmp_path: Path) -> None:
    text = "a0: &a0 {hosts: {n1: }}\n"
    for n in range(1, 40):
        text += f"a{n}: &a{n}\n  children: {{x{n}: *a{n - 1}, y{n}: *a{n - 1}}}\n"
    assert refused(tmp_path, text, "a.yml").code == "ansible-invalid"


def test_groups_in_a_circle_are_refused(tmp_path: Path) -> None:
    text = "[a]\nn1\n[a:children]\nb\n[b:children]\na\n"
    assert "circle" in refused(tmp_path, text).summary


def test_an_unknown_group_is_named_with_the_nearest(tmp_path: Path) -> None:
    problem = refused(tmp_path, INI, group="broker")
    assert problem.code == "ansible-group"
    assert "brokers" in problem.advice


@pytest.mark.parametrize("text", ["", "# nothing\n", "[empty]\n"])
def test_an_inventory_without_a_node_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code == "ansible-empty"


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "#!/usr/bin/env python3\n").code == "ansible-unreadable"
    assert refused(tmp_path, "$ANSIBLE_VAULT;1.1;AES256\n3033\n").code == "ansible-value"
    (tmp_path / "bytes.ini").write_bytes(b"n1 \xff\xfe")
    for path, code in (
        (tmp_path, "ansible-unreadable"),
        (tmp_path / "bytes.ini", "ansible-unreadable"),
        (tmp_path / "gone.ini", "ansible-missing"),
        (Path("/dev/zero"), "ansible-unreadable"),
    ):
        with pytest.raises(LiftlockError) as caught:
            take(path, None)
        assert caught.value.problem.code == code


def test_directories_of_variables_are_said_not_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("ansible_user: ann\n")
    assert "group_vars/" in taken(tmp_path, "n1").notes[0]


def test_a_childs_word_counts_before_its_parents_and_the_nodes_own_before_both(
    tmp_path: Path,
) -> None:
    text = "[low]\nn1\nn2 ansible_user=own\n[low:vars]\nansible_user=low\n"
    text += "[a_top:children]\nlow\n[a_top:vars]\nansible_user=top\nansible_port=2022\n"
    found = {each.name: each.keys for each in taken(tmp_path, text).nodes}
    assert found["n1"] == {"address": "n1", "user": "low", "port": 2022}
    assert found["n2"]["user"] == "own"


def test_control_codes_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    problem = refused(tmp_path, "n1 what\x1b[2J")
    assert "\x1b" not in problem.summary + problem.evidence
    found = taken(tmp_path, "n1 ansible_host=10.0.0.1\n[x]\nn1\n[x:vars]\nx_y=\x1b[2J\n")
    assert "\x1b" not in "".join(found.notes)
