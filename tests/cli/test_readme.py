"""What the README tells a stranger is true: its files are read, its keys are all the keys."""

import datetime
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.cli import cli
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import load_cluster_profile
from backends.products.profile_file import ProfileFile
from backends.settings.cluster import load_cluster
from backends.settings.cluster_file import ClusterFile

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the two files that the README shows."""
    blocks = re.findall(r"```toml\n# (\w+\.toml)\n(.*?)```", README, re.S)
    assert [name for name, _ in blocks] == ["beacon.toml", "harbor.toml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_files_of_the_readme_are_a_cluster_and_its_profile(folder: Path) -> None:
    cluster = load_cluster(folder / "harbor.toml", today=datetime.date(2026, 11, 20))
    assert cluster.notes == ()
    profile = load_cluster_profile(cluster, None, config_dir=folder)
    _, limits = effective_policy(cluster, profile)
    document = node_document(profile, cluster.node("n1"), limits)
    assert document["directory"] == "/opt/beacon"
    assert limits.accept_window_seconds == 600


@pytest.mark.parametrize("model", [ClusterFile, ProfileFile])
def test_every_key_of_a_file_is_listed(model: type[BaseModel]) -> None:
    assert sorted(key for key in _keys(model) if not re.search(rf"\b{key}\b", README)) == []


def test_every_command_line_of_the_readme_is_one() -> None:
    lines = re.findall(r"^liftlock ([a-z]+)(?: ([a-z]+))?", README, re.M)
    assert len(lines) >= 8
    for command, _ in lines:
        assert command in cli.commands


def _keys(model: type[BaseModel]) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        found.add(field.alias or name)
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= _keys(part)
    return found
