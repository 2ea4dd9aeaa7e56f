"""Services of a service manager: what their words mean, and their definitions.

Real units and scripts run on the machines of `tests/machines`; here is what needs none.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backends.node import contexts, definition, service_scripts, service_systemd
from backends.node.checks_service import seconds
from backends.node.layout import Unfit
from backends.node.places import Places
from backends.node.service import Service
from backends.node.services import service_of
from backends.node.steps import Step, undo
from tests.support.beacon import document


def a_script(top: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Service:
    """A service of the kind `sysv` whose script says with this exit code how it is."""
    monkeypatch.setattr(service_scripts, "SCRIPTS", str(top / "init.d"))
    (top / "init.d").mkdir(parents=True)
    (top / "opt").mkdir()
    about = document(str(top / "opt"), 1, "-", layout="overlay")
    about["service"].update(kind="sysv", script="beacon", definition="beacon.init", pid_file=None)
    script = top / "init.d" / "beacon"
    script.write_text(f"#!/bin/sh\nexit {status}\n")
    script.chmod(0o755)
    return service_of(about, Places(str(top / "state"), "beacon", str(top / "opt"), True), "2.0")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (0, "started"),
        (1, "stopped"),
        (2, "stopped"),
        (3, "stopped"),
        (4, "unknown"),
        (5, "unknown"),
    ],
)
def test_b21_a_script_says_with_its_exit_code_how_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, word: str
) -> None:
    assert a_script(tmp_path, monkeypatch, status).status()[0] == word


def test_a_script_that_is_not_there_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = a_script(tmp_path, monkeypatch)
    os.unlink(service.argv("start")[0])  # type: ignore[index]
    assert service.status()[0] == "unknown"


def test_a_unit_that_nobody_knows_is_unknown_and_never_stopped(tmp_path: Path) -> None:
    about = document(str(tmp_path), 1, "-", layout="overlay")
    about["service"].update(kind="systemd", unit="beacon.service", pid_file=None)
    service = service_of(about, Places(str(tmp_path), "beacon", str(tmp_path), True), "2.0")
    assert service.status()[0] == "unknown"
    assert not service.is_over()
    assert service.pid() is None
    assert service.identity() is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1min 30s", 90.0),
        ("10s", 10.0),
        ("500ms", 0.5),
        ("2h", 7200.0),
        ("infinity", float("inf")),
        ("", 0.0),
        ("nonsense", 0.0),
    ],
)
def test_time_spans_of_systemd(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


def test_a_unit_that_starts_a_version_itself_is_told_from_one_that_goes_by_the_pointer() -> None:
    def starts(path: str) -> bool:
        shown = f"{{ path={path} ; argv[]={path} --x ; ignore_errors=no }}"
        return service_systemd.runs_only(shown, "/opt/x/1.0")

    assert starts("/opt/x/1.0/bin/x")
    assert not starts("/opt/x/current/bin/x")
    assert not starts("/opt/x/1.0.1/bin/x")
    assert not starts("/usr/bin/python3")


@pytest.mark.parametrize(
    ("unit", "file"),
    [("a.service", "a.service"), ("a@1.service", "a@.service"), ("a@.service", "a@.service")],
)
def test_an_instance_is_defined_by_its_template(unit: str, file: str) -> None:
    assert service_systemd._template_of(unit) == file


# --- definitions --------------------------------------------------------------------------------


def intend(service: Service, tree: Path) -> Any:
    return definition.intend_place(service, str(tree), 0, "r1", str(tree.parent / "store"))


def test_a_definition_is_prepared_beside_its_place_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = a_script(tmp_path, monkeypatch)
    place = Path(service.definition_place() or "")
    before = place.read_bytes()
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "beacon.init").write_text("#!/bin/sh\necho new\n")
    step = Step(intend(service, staged))
    assert definition.is_one(step)
    assert definition.of([step]) is step
    os.link(step.path, step.store)
    os.rename(step.new, step.path)
    assert place.read_text() == "#!/bin/sh\necho new\n"
    assert place.stat().st_mode & 0o777 == 0o755
    undo(step, str(tmp_path / "conflicts"))
    assert place.read_bytes() == before


def test_an_equal_definition_is_no_step_and_leaves_nothing_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = a_script(tmp_path, monkeypatch)
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "beacon.init").write_text("#!/bin/sh\nexit 0\n")
    assert intend(service, staged) is None
    assert [path.name for path in (tmp_path / "init.d").iterdir()] == ["beacon"]


@pytest.mark.parametrize("what", ["missing", "a link", "a directory"])
def test_a_release_without_the_definition_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    service = a_script(tmp_path, monkeypatch)
    staged = tmp_path / "staged"
    staged.mkdir()
    if what == "a link":
        (staged / "beacon.init").symlink_to("/etc/passwd")
    if what == "a directory":
        (staged / "beacon.init").mkdir()
    with pytest.raises(Unfit, match=r"no file beacon\.init"):
        intend(service, staged)


def test_a_definition_that_is_a_link_into_the_product_comes_with_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = a_script(tmp_path, monkeypatch)
    script = tmp_path / "init.d" / "beacon"
    script.rename(tmp_path / "opt" / "beacon.init")
    script.symlink_to(tmp_path / "opt" / "beacon.init")
    assert service.definition_place() is None
    assert intend(service, tmp_path / "opt") is None


@pytest.mark.parametrize(
    ("source", "shipped", "is_kept"),
    [("release", True, False), ("release", False, True), ("adopted", True, True)],
)
def test_p7_only_a_definition_that_a_release_shipped_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, shipped: bool, is_kept: bool
) -> None:
    service = a_script(tmp_path, monkeypatch)
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "beacon.init").write_text("new\n")
    step = Step(intend(service, staged))
    os.link(step.path, step.store)
    sha = step.before["sha256"] if shipped else "0" * 64
    manifest = {"source": source, "files": [{"path": "beacon.init", "sha256": sha}]}
    found = definition.lost_with(step, "beacon.init", manifest)
    assert found == ({step.store: "definition/beacon"} if is_kept else {})


# --- contexts -----------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give contexts")


def give(path: Path, context: str) -> None:
    os.setxattr(path, contexts.NAME, context.encode(), follow_symlinks=False)


def context(path: Path) -> str:
    return os.getxattr(path, contexts.NAME, follow_symlinks=False).decode()


@needs_root
def test_new_files_have_the_contexts_of_what_they_replace(tmp_path: Path) -> None:
    live, staged = tmp_path / "live", tmp_path / "staged"
    for tree in (live, staged):
        (tree / "bin").mkdir(parents=True)
        (tree / "bin" / "tool").write_text("x")
        (tree / "data").write_text("x")
    (staged / "bin" / "fresh").write_text("x")
    (staged / "more").mkdir()
    (staged / "more" / "inner").write_text("x")
    give(tmp_path, "around")
    give(live, "usr_t")
    give(live / "bin", "bin_t")
    give(live / "bin" / "tool", "exec_t")
    give(live / "data", "data_t")
    contexts.follow(str(staged), str(live))
    found = {str(path.relative_to(staged)): context(path) for path in staged.rglob("*")}
    assert found == {
        "bin": "bin_t",
        "bin/tool": "exec_t",
        "bin/fresh": "bin_t",
        "data": "data_t",
        "more": "usr_t",
        "more/inner": "usr_t",
    }
    assert context(staged) == "usr_t"


@needs_root
def test_where_nothing_was_the_directory_above_counts(tmp_path: Path) -> None:
    give(tmp_path, "opt_t")
    new = tmp_path / "new"
    new.write_text("x")
    contexts.follow(str(new), str(tmp_path / "not" / "there"))
    assert context(new) == "opt_t"


def test_without_contexts_nothing_is_given(tmp_path: Path) -> None:
    for name in ("new", "live"):
        (tmp_path / name).write_text("x")
    contexts.follow(str(tmp_path / "new"), str(tmp_path / "live"))
    assert os.listxattr(tmp_path / "new") == []


# --- what systemd says --------------------------------------------------------------------------


class Manager:
    """A service manager that says what it is told to, and writes down what it is ordered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **said: str) -> None:
        self.said: dict[str, str] | None = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "Result": "success",
            "MainPID": "0",
            "ControlGroup": "",
            "NeedDaemonReload": "no",
            "UnitFileState": "enabled",
            "FragmentPath": "",
            **said,
        }
        self.ordered: list[str] = []
        monkeypatch.setattr(service_systemd.systemd, "show", self.show)
        monkeypatch.setattr(service_systemd.systemd, "order", self.order)

    def show(self, unit: str, names: Any) -> dict[str, str]:
        if self.said is None:
            raise service_systemd.systemd.Silent("no answer")
        return {name: self.said.get(name, "") for name in names}

    def order(self, verb: str, *_: str) -> Any:
        self.ordered.append(verb)


def a_unit(top: Path, **settings: Any) -> Service:
    about = document(str(top), 1, "-", layout="overlay")
    about["service"].update(kind="systemd", unit="beacon.service", **settings)
    return service_of(about, Places(str(top), "beacon", str(top), True), "2.0")


def test_a_unit_that_failed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Manager(monkeypatch, ActiveState="failed", SubState="failed", Result="exit-code")
    assert a_unit(tmp_path).status() == ("stopped", "failed (failed), result exit-code")


def test_a_unit_that_is_not_there_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Manager(monkeypatch, LoadState="not-found")
    assert a_unit(tmp_path).status() == ("unknown", "beacon.service is not-found")


def test_a_unit_whose_process_a_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Manager(monkeypatch, MainPID="1")
    assert a_unit(tmp_path, pid_file="beacon.pid").pid() is None
    assert a_unit(tmp_path, pid_file=None).pid() == 1
    assert a_unit(tmp_path, pid_file="beacon.pid").living() == []


def test_of_a_manager_that_is_silent_nothing_is_taken_for_gone_or_enabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(monkeypatch)
    manager.said = None
    unit = a_unit(tmp_path, pid_file=None)
    assert unit.status() == ("unknown", "no answer")
    assert unit.living() == []
    assert not unit.is_over()
    assert not unit.is_enabled()
    assert unit.definition_place() == "/etc/systemd/system/beacon.service"
    unit.make_ready()
    assert manager.ordered == []


def test_before_a_start_changed_definitions_are_read_and_failures_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(monkeypatch, NeedDaemonReload="yes")
    a_unit(tmp_path).make_ready()
    assert manager.ordered == ["daemon-reload", "reset-failed"]


def test_a_unit_may_log_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Manager(monkeypatch)
    (tmp_path / "log").write_text("one\ntwo\n")
    assert a_unit(tmp_path, log=str(tmp_path / "log")).log_tail() == "one\ntwo"


def test_a_definition_in_the_product_comes_with_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Manager(monkeypatch, FragmentPath=str(tmp_path / "beacon.service"))
    assert a_unit(tmp_path).definition_place() is None


def test_a_command_says_with_its_exit_code_how_it_is(tmp_path: Path) -> None:
    about = document(str(tmp_path), 1, "-", layout="overlay")
    where = Places(str(tmp_path / "state"), "beacon", str(tmp_path / "opt"), True)
    for words, found in (
        (["true"], "started"),
        (["false"], "stopped"),
        (["/nowhere/x"], "unknown"),
    ):
        about["service"].update(kind="command", commands={"status": words}, request_timeout=5.0)
        service = service_of(about, where, "2.0")
        (tmp_path / "opt").mkdir(exist_ok=True)
        assert service.status()[0] == found
    (tmp_path / "opt").rmdir()
    assert service_of(about, where, "2.0").status()[0] == "unknown"


def test_the_log_of_a_control_script_is_its_tail_or_a_file(tmp_path: Path) -> None:
    about = document(str(tmp_path / "opt"), 1, "-")
    where = Places(str(tmp_path / "state"), "beacon", str(tmp_path / "opt"))
    tree = tmp_path / "opt" / "2.0"
    tree.mkdir(parents=True)
    (tree / "control").write_text("#!/bin/sh\necho from $1\n")
    (tree / "control").chmod(0o755)
    (tree / "beacon.log").write_text("from the file\n")
    for place, text in (("control tail", "from tail"), ("beacon.log", "from the file")):
        about["service"].update(kind="control", control="control", log=place)
        assert service_of(about, where, "2.0").log_tail() == text


def test_row_36_a_process_that_cannot_be_killed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.node import service as services

    about = document(str(tmp_path / "opt"), 1, "-")
    about["service"].update(
        kind="command",
        commands={"stop": ["true"]},
        on_stop_timeout="kill",
        stop_timeout=0.1,
        pid_file=None,
    )
    (tmp_path / "opt" / "2.0").mkdir(parents=True)
    where = Places(str(tmp_path / "state"), "beacon", str(tmp_path / "opt"))
    monkeypatch.setattr(services, "_kill", lambda found: None)
    monkeypatch.setattr(services, "_KILLED_SECONDS", 0.1)
    sleeper = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "opt" / "2.0")
    try:
        gone, text = service_of(about, where, "2.0").stop()
    finally:
        sleeper.kill()
        sleeper.wait()
    assert not gone
    assert f"pid {sleeper.pid}" in text
