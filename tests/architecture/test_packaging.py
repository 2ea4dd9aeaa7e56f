"""What is shipped: exactly app, widgets and backends, with every file they need, and no tests."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT

SHIPPED = {".py", ".tcss", ".toml", ".json"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from a copy, so that nothing is left in the tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy(ROOT, source)
    return build(source, out)


def copy(root: Path, source: Path) -> None:
    """What a build needs, without what Python and the tools left there."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(root / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (root / name).exists():
            shutil.copy(root / name, source)


def build(source: Path, out: Path) -> list[str]:
    """Build a wheel without a network; its names."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(
        [*command, str(source)], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("liftlock-*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def missing(root: Path, names: list[str]) -> list[str]:
    """Files of the packages under `root` that the wheel lacks.

    Code, styles, profiles, schemas and markers everywhere; in the demo's product every file.
    """
    wanted = set()
    for path in (each for package in PACKAGES for each in (root / package).rglob("*")):
        relative = path.relative_to(root)
        in_product = relative.is_relative_to("backends/demo/product")
        if path.is_dir() or "__pycache__" in relative.parts:
            continue
        if in_product or path.suffix in SHIPPED or path.name in ("py.typed", "control"):
            wanted.add(relative.as_posix())
    return sorted(wanted - set(names))


def foreign(names: list[str]) -> list[str]:
    """Top-level names besides the three packages and the wheel's own record."""
    tops = {each.partition("/")[0] for each in names}
    return sorted(each for each in tops - set(PACKAGES) if not each.endswith(".dist-info"))


def test_the_wheel_holds_exactly_the_three_packages(wheel: list[str]) -> None:
    assert not foreign(wheel)
    assert set(PACKAGES) <= {each.partition("/")[0] for each in wheel}


def test_the_wheel_lacks_nothing(wheel: list[str]) -> None:
    assert not missing(ROOT, wheel)


def test_the_wheel_holds_no_tests_and_no_leftovers(wheel: list[str]) -> None:
    assert not [each for each in wheel if "__pycache__" in each or "test_" in each]


def test_each_package_is_regular_and_typed(wheel: list[str]) -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in wheel
        assert f"{package}/py.typed" in wheel


def test_the_licence_and_the_command_are_inside(wheel: list[str]) -> None:
    assert [each for each in wheel if each.endswith(".dist-info/licenses/LICENSE")]
    assert [each for each in wheel if each.endswith(".dist-info/entry_points.txt")]


def test_a_tree_of_data_travels_whole(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    copy(ROOT, source)
    odd = (
        "app/screens/odd.tcss",
        "widgets/odd.tcss",
        "backends/products/builtin/odd.toml",
        "backends/store/schemas/odd.json",
        "backends/demo/product/1.0/control",
        "backends/demo/product/1.0/conf/.version",
        "backends/demo/product/1.0/bin/serve.py",
        "backends/demo/product/1.0/conf/deep/er/file.txt",
    )
    for name in odd:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for package in ("app/screens", "backends/products", "backends/store", "backends/demo"):
        (source / package / "__init__.py").touch()
    (source / "stray").mkdir()
    (source / "stray/__init__.py").touch()
    names = build(source, out)
    assert set(odd) <= set(names)
    assert not foreign(names)


def test_a_missing_file_and_a_foreign_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/app.tcss").touch()
    assert missing(tmp_path, ["app/__init__.py"]) == ["app/app.tcss"]
    assert foreign(["app/a.py", "tests/b.py", "liftlock-0.1.0.dist-info/METADATA"]) == ["tests"]
