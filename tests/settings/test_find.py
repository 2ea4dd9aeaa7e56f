"""A name, a path or nothing finds the cluster file, or says what was looked for."""

from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.find import find_cluster

CLUSTER = '[cluster]\nname = "harbor"\n[nodes]\nn1 = {}\n'


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    return folder


def refused(
    argument: str | None, cwd: Path, config: Path, environment: dict[str, str] | None = None
) -> Problem:
    with pytest.raises(LiftlockError) as caught:
        find_cluster(argument, cwd=cwd, environment=environment or {}, config_dir=config)
    assert caught.value.exit_code == Exit.USAGE
    return caught.value.problem


def test_a_name_is_looked_for_here_and_then_in_the_config_directory(
    cwd: Path, config: Path
) -> None:
    (config / "harbor.toml").touch()
    found = find_cluster("harbor", cwd=cwd, environment={}, config_dir=config)
    assert found == config / "harbor.toml"
    (cwd / "harbor.toml").touch()
    found = find_cluster("harbor", cwd=cwd, environment={}, config_dir=config)
    assert found == cwd / "harbor.toml"


def test_a_path_is_that_file_and_nothing_else(cwd: Path, config: Path) -> None:
    (config / "harbor.toml").touch()
    problem = refused("./harbor.toml", cwd, config)
    assert problem.code == "cluster-missing"
    found = find_cluster("../config/harbor.toml", cwd=cwd, environment={}, config_dir=config)
    assert found.samefile(config / "harbor.toml")


def test_without_a_name_the_file_here_wins_over_the_variable(cwd: Path, config: Path) -> None:
    (config / "harbor.toml").touch()
    variable = {"LIFTLOCK_CLUSTER": "harbor"}
    found = find_cluster(None, cwd=cwd, environment=variable, config_dir=config)
    assert found == config / "harbor.toml"
    (cwd / "cluster.toml").touch()
    found = find_cluster(None, cwd=cwd, environment=variable, config_dir=config)
    assert found == cwd / "cluster.toml"


def test_nothing_named_and_nothing_here_says_what_to_do(cwd: Path, config: Path) -> None:
    problem = refused(None, cwd, config)

    assert problem.code == "no-cluster"
    assert str(cwd / "cluster.toml") in problem.evidence
    assert "liftlock init NAME" in problem.advice


def test_only_cluster_files_are_known(cwd: Path, config: Path) -> None:
    (config / "harbor.toml").write_text(CLUSTER)
    (cwd / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (cwd / "beacon.toml").write_text('[product]\nname = "beacon"\n')
    (cwd / "broken.toml").write_text("[cluster")
    problem = refused("zzz", cwd, config)
    assert problem.advice == "Known here: harbor."


def test_a_misspelt_name_gets_the_nearest_one(cwd: Path, config: Path) -> None:
    (config / "harbor.toml").write_text(CLUSTER)
    problem = refused("habror", cwd, config)

    assert problem.code == "cluster-missing"
    assert problem.advice == "Did you mean harbor?"
    assert str(cwd / "habror.toml") in problem.evidence
    variable = refused(None, cwd, config, {"LIFTLOCK_CLUSTER": "habror"})
    assert "LIFTLOCK_CLUSTER" in variable.summary
