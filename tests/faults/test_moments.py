"""Moments that are not calls of ours: what services and operators do while a node is changed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.node import fitting
from backends.node.layout import Unfit
from backends.node.layouts import layout_of
from tests.faults.bench import LAYOUTS, Bench, run
from tests.faults.ledger import Ledger
from tests.faults.oracle import same

pytestmark = pytest.mark.faults


@pytest.fixture
def overlay(fast: Path) -> Bench:
    return Bench(fast / "overlay", "overlay")


def at_the_stop(bench: Bench, act: Callable[[Path], None]) -> None:
    """Have the old version do something to its directory while it stops."""

    def plant() -> None:
        real = Ledger.stop

        def stop(self: Ledger) -> tuple[bool, str]:
            if self.version == "1.0" and self._runs():
                act(Path(self.tree))
            return real(self)

        Ledger.stop = stop  # type: ignore[method-assign]

    bench.seed = plant


def installed(bench: Bench) -> None:
    bench.reset("staged")
    run(bench, lambda: bench.install("keep_if_healthy"))


def read(bench: Bench, name: str) -> str:
    return (Path(bench.places.directory) / name).read_text()


def kept_aside(bench: Bench) -> list[str]:
    """What lies in conflicts, by content."""
    top = Path(bench.places.conflicts)
    return sorted(path.read_text() for path in top.rglob("*") if path.is_file())


def replace(top: Path) -> None:
    (top / "lib/one.tmp").write_text("saved at the stop\n")
    (top / "lib/one.tmp").rename(top / "lib/one")


def append(top: Path) -> None:
    with (top / "lib/one").open("a") as stream:
        stream.write("saved at the stop\n")


@pytest.mark.parametrize(("act", "content"), [(replace, ""), (append, "one 1\n")])
def test_what_a_service_saves_at_its_stop_comes_back(
    overlay: Bench, act: Callable[[Path], None], content: str
) -> None:
    at_the_stop(overlay, act)
    installed(overlay)
    assert read(overlay, "lib/one") == "one 2\n"
    run(overlay, overlay.roll_back)
    assert overlay.decision() == "ROLLBACK"
    assert read(overlay, "lib/one") == content + "saved at the stop\n"


def test_what_a_service_saves_at_its_stop_is_kept_at_finalize(overlay: Bench) -> None:
    at_the_stop(overlay, replace)
    installed(overlay)
    run(overlay, overlay.finalize)
    assert "saved at the stop\n" in kept_aside(overlay)


def test_a_file_that_appears_where_a_new_one_goes_is_not_overwritten(overlay: Bench) -> None:
    def appear(top: Path) -> None:
        (top / "lib/new").mkdir()
        (top / "lib/new/saved").write_text("at the stop\n")

    at_the_stop(overlay, appear)
    overlay.reset("staged")
    assert run(overlay, lambda: overlay.install("keep_if_healthy"))
    assert overlay.decision() == "ROLLBACK"
    assert kept_aside(overlay) == ["at the stop\n"]
    assert overlay.running() == "1.0"


def test_a_file_in_a_directory_of_another_mode_is_proven(overlay: Bench) -> None:
    installed(overlay)
    with (Path(overlay.places.directory) / "other_mode/same").open("a") as stream:
        stream.write("written by 2.0\n")
    with pytest.raises(AssertionError, match="other_mode/same"):
        run(overlay, overlay.roll_back)
    assert overlay.decision() == "ROLLBACK"
    (Path(overlay.places.directory) / "other_mode/same").write_text("same in both\n")
    run(overlay, overlay.recover)
    assert overlay.running() == "1.0"


def test_a_directory_of_another_mode_that_was_removed_comes_back(overlay: Bench) -> None:
    overlay.reset("staged")
    before = overlay.product()
    installed(overlay)
    shutil.rmtree(Path(overlay.places.directory) / "plugins", ignore_errors=True)
    (Path(overlay.places.directory) / "other_mode/same").unlink()
    (Path(overlay.places.directory) / "other_mode").rmdir()
    with pytest.raises(AssertionError, match="other_mode/same"):
        run(overlay, overlay.roll_back)
    (Path(overlay.places.directory) / "other_mode/same").write_text("same in both\n")
    when = before["other_mode/same"][3]
    assert isinstance(when, int)
    os.utime(Path(overlay.places.directory) / "other_mode/same", ns=(when, when))
    run(overlay, overlay.recover)
    same(overlay.product(), before)


def test_names_that_look_like_ours_are_not_taken_away(overlay: Bench) -> None:
    overlay.reset("staged")
    for number in range(20):
        (Path(overlay.places.directory) / "bin" / f".u-{number}").write_text("mine")
    run(overlay, lambda: overlay.install("keep_if_healthy"))
    run(overlay, overlay.roll_back)
    assert len(list((Path(overlay.places.directory) / "bin").glob(".u-*"))) == 20


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sockets_pipes_and_empty_directories_that_live_on(fast: Path, layout: str) -> None:
    bench = Bench(fast / "bench", layout)
    bench.reset("staged")
    top = Path(bench.places.tree("1.0")) / ("inputs" if layout == "swap" else "")
    os.mkfifo(top / "etc/pipe.conf")
    (top / "spool.conf").mkdir(0o700)
    run(bench, lambda: bench.install("keep_if_healthy"))
    assert (bench.decision(), bench.running()) == ("ACCEPT", "2.0")
    new = Path(bench.places.tree("2.0")) / ("inputs" if layout == "swap" else "")
    assert (new / "spool.conf").stat().st_mode & 0o777 == 0o700
    run(bench, bench.roll_back)
    assert bench.running() == "1.0"
    assert (top / "etc/pipe.conf").is_fifo()


def why_unfit(bench: Bench) -> str:
    result, evidence = fitting.check(layout_of(bench.document, bench.places), "2.0")
    assert result == "refused"
    with pytest.raises(Unfit):
        layout_of(bench.document, bench.places).compile("2.0", "t")
    return evidence


def test_what_lives_on_is_never_in_the_way_of_a_file(overlay: Bench) -> None:
    overlay.reset("staged")
    (Path(overlay.places.directory) / "dir_to_file/mine.conf").write_text("mine\n")
    assert "dir_to_file/mine.conf lives on" in why_unfit(overlay)


def test_what_lives_on_and_has_other_names_is_refused(overlay: Bench) -> None:
    overlay.reset("staged")
    conf = Path(overlay.places.directory) / "etc/kept.conf"
    os.link(conf, conf.with_name("second"))
    assert "etc/kept.conf lives on and has other names" in why_unfit(overlay)


@pytest.mark.parametrize("layout", ["versions", "swap"])
def test_what_lives_on_must_have_a_place_in_the_new_tree(fast: Path, layout: str) -> None:
    bench = Bench(fast / "bench", layout)
    bench.reset("staged")
    top = Path(bench.places.tree("1.0")) / ("inputs" if layout == "swap" else "")
    (top / "dir_to_file/mine.conf").write_text("mine\n")
    assert "dir_to_file/mine.conf lives on, but the release has" in why_unfit(bench)
