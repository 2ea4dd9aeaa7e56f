"""Completion in a real bash: the script is loaded, words are typed, answers are read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import cli
from backends.store.book import Book, Start
from tests.architecture.test_headless import loaded_by

ROOT = Path(__file__).parents[2]

CLUSTER = """\
[cluster]
name = "harbor"
product = "nats"
operator_state = "state"

[nodes]
n1 = { address = "10.0.0.1", role = "voter" }
n2 = { address = "10.0.0.2", role = "voter" }
"db.example" = { address = "10.0.0.3" }
"""

Complete = Callable[..., list[str]]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a cluster file, a profile, and files that are neither."""
    place = tmp_path / "here"
    place.mkdir()
    (place / "harbor.toml").write_text(CLUSTER)
    (place / "nats.toml").write_text('[product]\nname = "nats"\n')
    (place / "torn.toml").write_text("[cluster\n")
    (place / "bytes.toml").write_bytes(b"\xff\xfe")
    (place / "odd.toml").write_text('cluster = 1\nnodes = "many"\n')
    return place


@pytest.fixture
def complete(here: Path, tmp_path: Path) -> Complete:
    """What bash offers for the last word of a command line; `liftlock` is this tree's."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program = bin_ / "liftlock"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m app "$@"\n')
    program.chmod(0o755)
    config = tmp_path / "config"
    config.mkdir()
    (config / "inland.toml").write_text(CLUSTER)
    environment = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LIFTLOCK_CONFIG_DIR": str(config),
        "LIFTLOCK_STATE_DIR": str(tmp_path / "nobody"),
    }

    def asked(*words: str) -> list[str]:
        script = """
            eval "$(liftlock completion bash)"
            complete -p liftlock >/dev/null || exit 9
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _liftlock_completion liftlock
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        ran = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", "liftlock", *words],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        return ran.stdout.split()

    return asked


def test_commands_and_clusters_are_the_first_word(complete: Complete) -> None:
    assert {"status", "init", "config", "harbor", "inland"} <= set(complete(""))
    assert complete("harb") == ["harbor"]
    assert complete("comp") == ["completion"]
    assert not {"nats", "torn", "bytes", "odd", "screen"} & set(complete(""))


def test_options_and_subcommands(complete: Complete) -> None:
    assert complete("status", "--js") == ["--json"]
    assert complete("config", "") == ["schema", "show"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert complete("upgrade", "--pause", "a") == ["all", "after_role"]


def test_clusters_are_known_by_name_here_and_in_the_config_directory(complete: Complete) -> None:
    for command in ("status", "trust", "rollback", "doctor"):
        assert complete(command, "") == ["harbor", "inland"]
    assert complete("status", "inl") == ["inland"]


def test_nodes_of_the_cluster_that_was_named(complete: Complete) -> None:
    assert complete("status", "harbor", "-n", "") == ["n1", "n2", "db.example", "role:voter"]
    assert complete("status", "harbor", "-n", "n1,n") == ["n1,n2"]
    assert complete("accept", "harbor", "n") == ["n1", "n2"]
    assert complete("accept", "harbor", "n1", "n") == ["n2"]
    assert complete("status", "./harbor.toml", "-n", "n2") == ["n2"]
    for name in ("nowhere", "torn", "odd", "bytes"):
        assert complete("status", name, "-n", "") == []


def test_runs_of_the_cluster_and_nothing_is_made_for_it(complete: Complete, here: Path) -> None:
    assert complete("journal", "harbor", "") == []
    assert not (here / "state").exists()
    (here / "state").mkdir()
    book = Book(here / "state" / "history.sqlite3")
    for run, cluster in (("1120-k7f", "harbor"), ("1121-aaa", "harbor"), ("1122-bbb", "other")):
        book.begin(Start(run, cluster, "nats", "upgrade", "ann", float(run[:4])))
    book.close()
    assert complete("journal", "harbor", "") == ["1121-aaa", "1120-k7f"]
    assert complete("journal", "harbor", "1120") == ["1120-k7f"]
    (here / "state" / "history.sqlite3").write_bytes(b"no database, " * 1000)
    assert complete("journal", "harbor", "") == []


def test_completion_loads_neither_the_screen_nor_ssh(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
os.environ.update(COMP_WORDS="liftlock accept harbor n", COMP_CWORD="3",
                  _LIFTLOCK_COMPLETE="bash_complete")
os.chdir({str(here)!r})
sys.argv = ["liftlock"]
from app.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code
print()
"""
    assert loaded_by(code, "textual", "asyncssh", "pydantic") == []


@pytest.mark.parametrize(
    ("shell", "word"),
    [("bash", "complete "), ("zsh", "#compdef"), ("fish", "complete --no-files")],
)
def test_a_script_for_each_shell_is_printed(shell: str, word: str) -> None:
    ran = CliRunner().invoke(cli, ["completion", shell])
    assert ran.exit_code == 0
    assert word in ran.output
    assert "_LIFTLOCK_COMPLETE" in ran.output
    found = shutil.which(shell)
    if found is not None:
        done = subprocess.run([found, "-n"], input=ran.output, text=True, check=False)
        assert done.returncode == 0


def test_another_shell_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
