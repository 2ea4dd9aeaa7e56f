"""The check phase: all pass, and each refuses alone, by its name, with nothing changed."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.node import checks_release, checks_user, images, upgrading
from backends.node.journal import scan
from backends.node.refusal import Refused
from tests.support.beacon import RELEASE, Beacon
from tests.support.node import Answer, Node

NEW = Beacon("2.0")
MACHINE = os.uname().machine

STAGED = [
    "signature",
    "digest",
    "staged files",
    "architecture",
    "sequence",
    "service",
    "same version, other content",
    "rename and link",
    "rollback rehearsal",
    "configuration",
    "parse",
]


def rows(answer: Answer) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["result"], row["evidence"]) for row in answer.all("row")}


def bad(answer: Answer) -> dict[str, str]:
    return {name: said[1] for name, said in rows(answer).items() if said[0] == "refused"}


def untouched(node: Node) -> tuple[object, ...]:
    return node.product(), node.facts()["running"], node.facts()["start_id"]


def preflight(node: Node, **more: Any) -> Answer:
    about = {"release": RELEASE, "bytes": 1, "files": 1, "second_layer": "none"}
    return node.ask("check", scope="preflight", now=time.time(), **{**about, **more})


# --- all ----------------------------------------------------------------------------------------


def test_all_pass_and_each_is_named_with_evidence_and_time(node: Node) -> None:
    before = untouched(node)
    node.stage(NEW)

    answer = node.check(NEW, says=RELEASE)

    assert answer.outcome == "ok", answer.messages
    found = rows(answer)
    assert list(found) == STAGED
    assert found.pop("signature") == ("warn", "NOT SIGNED; the cluster file allows it")
    assert {result for result, _ in found.values()} == {"ok"}
    assert all(evidence for _, evidence in found.values())
    assert all(row["seconds"] >= 0 for row in answer.all("row"))
    assert untouched(node) == before
    records = scan((node.home / "journal").read_bytes()).records
    kept = [record["name"] for record in records if record["t"] == "ROW"]
    assert kept == STAGED


def test_preflight_asks_about_the_release_before_anything_is_sent(node: Node) -> None:
    answer = preflight(node)

    assert answer.outcome == "ok", answer.messages
    found = rows(answer)
    assert found["architecture"] == ("ok", f"{MACHINE} here, the release is for any")
    assert found["sequence"][0] == found["needed libraries"][0] == "ok"
    assert not (node.home / "blobs").exists() or not list((node.home / "blobs").iterdir())


# --- each alone ---------------------------------------------------------------------------------


def _changed(node: Node) -> None:
    path = staged(node) / "beacon.py"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _emptied(node: Node) -> None:
    (staged(node) / "beacon.py").write_bytes(b"")


def _missing(node: Node) -> None:
    (staged(node) / "VERSION").unlink()


def _extra(node: Node) -> None:
    (staged(node) / "sick").write_text("yes\n")


def _mode(node: Node) -> None:
    (staged(node) / "control").chmod(0o644)


def staged(node: Node) -> Path:
    return Path(node.places.staged_tree("2.0"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_changed, "changed: beacon.py"),
        (_emptied, "changed: beacon.py"),
        (_missing, "missing: VERSION"),
        (_extra, "extra: sick"),
        (_mode, "changed: control"),
    ],
)
def test_r4_one_file_that_is_not_the_releases_own_is_refused_by_name(
    node: Node, damage: Callable[[Node], None], says: str
) -> None:
    before = untouched(node)
    node.stage(NEW)
    damage(node)

    answer = node.check(NEW, says=RELEASE)

    assert answer.code == "check-refused"
    assert says in bad(answer)["staged files"]
    assert list(bad(answer)) == ["staged files"]
    assert rows(answer)["service"] == ("unknown", "not asked: staged files has not passed")
    assert rows(answer)["parse"] == ("unknown", "not asked: staged files has not passed")
    assert untouched(node) == before


def test_a_list_of_files_that_was_changed_with_the_files_is_refused(node: Node) -> None:
    """Whoever can write both still cannot write the digest that was planned."""
    node.stage(NEW)
    other = Beacon("2.0", more={"evil": b"x"})
    manifest = node.home / "manifests" / "2.0.json"
    words = manifest.read_text()
    assert node.stage(other).outcome == "ok"
    changed = manifest.read_text().replace(other.digest, NEW.digest)
    assert changed != words
    manifest.write_text(changed)

    answer = node.check(NEW, says=RELEASE)

    assert answer.outcome == "refused"
    assert "other content is staged" in bad(answer)["digest"]


@pytest.mark.parametrize(
    ("scope", "name", "about", "says"),
    [
        ("both", "architecture", {"arch": "s390x"}, f"this machine is {MACHINE}"),
        ("both", "sequence", {"sequence": 5_000_000_000}, "lies in the future"),
        ("preflight", "python", {"python": "3.99"}, "the release needs 3.99"),
        ("preflight", "needed commands", {"commands": ["sh", "no-such"]}, "no-such"),
        ("preflight", "needed libraries", {"libraries": ["libnone.so.1"]}, "libnone.so.1"),
    ],
)
def test_what_the_release_says_of_itself_refuses_alone(
    node: Node, scope: str, name: str, about: dict[str, Any], says: str
) -> None:
    before = untouched(node)
    answers = [preflight(node, release={**RELEASE, **about})]
    if scope == "both":
        node.stage(NEW)
        answers.append(node.check(NEW, says={**RELEASE, **about}))
    for answer in answers:
        assert list(bad(answer)) == [name]
        assert says in bad(answer)[name]
    assert untouched(node) == before


def test_p13_no_silent_way_below_what_was_finalized(node: Node) -> None:
    node.finalized(NEW)  # with the sequence of its manifest
    older = {**RELEASE, "sequence": 1_699_999_999}

    assert "is older than 1700000000" in bad(preflight(node, release=older))["sequence"]
    said = rows(preflight(node, release=older, downgrade="2.0 loses data"))["sequence"]
    assert said[0] == "warn"
    assert said[1].startswith("DOWNGRADE: sequence 1699999999 is older than 1700000000; because: ")
    assert preflight(node).outcome == "ok"  # the same again is no downgrade


def test_a_floor_that_cannot_be_read_is_unknown_and_lets_nothing_pass(node: Node) -> None:
    node.finalized(NEW)
    (node.home / "floor").write_bytes(b"\xff\n")

    answer = preflight(node)

    assert answer.outcome == "refused"
    assert rows(answer)["sequence"][0] == "unknown"


@pytest.mark.parametrize(
    ("machine", "wanted", "result"),
    [
        ("x86_64", "amd64", "ok"),
        ("x86_64", "x86_64", "ok"),
        ("aarch64", "arm64", "ok"),
        ("i686", "386", "ok"),
        ("armv7l", "armhf", "ok"),
        ("x86_64", "arm64", "refused"),
        ("aarch64", "armhf", "refused"),
        ("riscv64", "riscv64", "ok"),
        ("riscv64", "any", "ok"),
    ],
)
def test_architectures_have_several_names(machine: str, wanted: str, result: str) -> None:
    is_same = wanted == "any" or wanted in checks_release._names_of(machine)
    assert ("ok" if is_same else "refused") == result


# --- the product's own look ---------------------------------------------------------------------


def asks(node: Node, *parse: str, keep: list[str] | None = None) -> None:
    node.document["check"] = {**node.document["check"], "parse": [*parse]}
    node.document["keep"] = keep or []


def test_r6_the_parse_command_is_asked_in_a_tree_of_what_will_be(node: Node) -> None:
    """The release's own files, and the configuration that lives on in the place of its own."""
    new = Beacon("2.0", more={"beacon.conf": b"shipped\n", "etc/other.conf": b"shipped\n"})
    (node.tree("1.0") / "beacon.conf").write_text("mine\n")
    asks(node, "sh", "-c", "cat beacon.conf etc/other.conf; pwd; touch left", keep=["beacon.conf"])
    node.stage(new)

    answer = node.check(new, says=RELEASE)

    assert answer.outcome == "ok", answer.messages
    said = rows(answer)["parse"][1]
    assert said.startswith("exit 0: mine\nshipped\n")
    assert said.endswith("/.check-2.0; 1 of the files live on")
    assert sorted(os.listdir(node.places.staging)) == ["2.0"]
    assert not (Path(node.places.staged_tree("2.0")) / "left").exists()
    assert node.install(new).outcome == "ok"


def test_a_parse_command_that_says_no_keeps_the_running_one(node: Node) -> None:
    before = untouched(node)
    asks(node, "sh", "-c", "echo line 3: unknown directive; exit 1")
    node.stage(NEW)

    answer = node.check(NEW, says=RELEASE)

    assert bad(answer) == {"parse": "exit 1: line 3: unknown directive"}
    assert node.install(NEW).code == "not-checked"
    assert untouched(node) == before


def test_what_a_parse_command_writes_goes_with_its_tree(node: Node) -> None:
    before = untouched(node)
    asks(node, "sh", "-c", "echo more >> VERSION; chmod 0 beacon.py; rm control")
    node.stage(NEW)

    assert node.check(NEW, says=RELEASE).outcome == "ok"

    assert images.compare(node.places.staged_tree("2.0"), NEW.files).is_exact
    assert untouched(node) == before
    assert node.install(NEW).outcome == "ok"


def test_what_lives_on_may_change_while_it_is_asked_about(node: Node) -> None:
    """The service runs: its files are a look, and no proof."""
    log = node.tree("1.0") / "live.log"
    log.write_text("begun\n")
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.001):
            with log.open("a") as stream:
                stream.write("more\n" * 100)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        asks(node, "sh", "-c", "grep -q begun live.log", keep=["*.log"])
        node.stage(NEW)
        assert node.check(NEW, says=RELEASE).outcome == "ok"
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("words", [["/no/such/program"], ["sleep", "60"]])
def test_a_parse_command_that_cannot_run_or_does_not_end_is_a_no(
    node: Node, words: list[str]
) -> None:
    asks(node, *words)
    node.document["check"]["timeout"] = 0.3
    node.stage(NEW)

    assert list(bad(node.check(NEW, says=RELEASE))) == ["parse"]


# --- between check and switch -------------------------------------------------------------------


@pytest.mark.parametrize("what", ["file", "extra", "manifest", "both"])
def test_what_was_checked_is_what_is_switched_to(node: Node, what: str) -> None:
    node.stage(NEW)
    assert node.check(NEW, says=RELEASE).outcome == "ok"
    before = untouched(node)
    manifest = node.home / "manifests" / "2.0.json"
    if what in ("file", "both"):
        _changed(node)
    elif what == "extra":
        _extra(node)
    if what in ("manifest", "both"):
        data = (staged(node) / "beacon.py").read_bytes()
        sha = {each["path"]: each["sha256"] for each in NEW.files}["beacon.py"]
        manifest.write_text(
            manifest.read_text().replace(sha, hashlib.sha256(data + b"!").hexdigest())
        )

    answer = node.install(NEW)

    assert answer.code == "staged-changed", answer.messages
    assert untouched(node) == before
    assert node.facts()["transaction"] is None


def test_what_is_in_place_from_before_is_looked_at_there(node: Node) -> None:
    node.stage(NEW)
    assert node.check(NEW, says=RELEASE).outcome == "ok"
    Path(node.places.staged_tree("2.0")).rename(node.tree("2.0"))
    extra = node.tree("2.0") / "extra"
    extra.write_text("x")

    assert node.install(NEW).code == "staged-changed"

    extra.unlink()
    assert node.install(NEW).outcome == "ok"


def test_for_somebody_who_has_gone_nothing_is_begun() -> None:
    reading, writing = os.pipe()
    before = os.dup(1)
    os.dup2(writing, 1)
    try:
        upgrading._refuse_unheard()
        os.close(reading)
        with pytest.raises(Refused) as caught:
            upgrading._refuse_unheard()
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(writing)
    assert caught.value.problem["code"] == "nobody-waits"


# --- the operator's own -------------------------------------------------------------------------


def own(node: Node, **scripts: str) -> Path:
    """Checks of the operator's own, by name."""
    folder = node.top / "checks.d"
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    node.document["check"] = {**node.document["check"], "directory": str(folder)}
    return folder


def test_r7_checks_of_the_operators_own_run_in_order_and_know_what_it_is_about(
    node: Node,
) -> None:
    own(
        node,
        b20="exit 40",
        a10='echo "$LIFTLOCK_PRODUCT $LIFTLOCK_FROM $LIFTLOCK_TO $LIFTLOCK_NODE $LIFTLOCK_RUN"',
        c30='test -f "$LIFTLOCK_STAGED/VERSION" && test -d "$LIFTLOCK_DIRECTORY"',
    )
    node.stage(NEW)

    answer = node.check(NEW, says=RELEASE)

    assert answer.outcome == "ok", answer.messages
    found = [(row["name"], row["result"]) for row in answer.all("row")][len(STAGED) :]
    assert found == [
        ("user check a10", "ok"),
        ("user check b20", "warn"),
        ("user check c30", "ok"),
    ]
    assert rows(answer)["user check a10"][1] == "exit 0: beacon 1.0 2.0 n1 1120-aaa"


@pytest.mark.parametrize(
    ("status", "result"),
    [(0, "ok"), (1, "refused"), (21, "refused"), (31, "refused"), (32, "warn"), (63, "warn")]
    + [(64, "unknown"), (255, "unknown")],
)
def test_r7_exit_codes(node: Node, status: int, result: str) -> None:
    own(node, a=f"exit {status}", b="true")
    node.stage(NEW)

    answer = node.check(NEW, says=RELEASE)

    found = rows(answer)
    assert found["user check a"][0] == result
    assert ("not now, ask again later" in found["user check a"][1]) == (status == 21)
    assert ("user check b" in found) == (result in ("ok", "warn"))
    assert (answer.outcome == "ok") == (result in ("ok", "warn"))


@pytest.mark.parametrize(
    ("status", "result"), [(0, "ok"), (1, "warn"), (2, "refused"), (3, "unknown"), (4, "unknown")]
)
def test_n12_exit_codes_of_monitoring_plugins(node: Node, status: int, result: str) -> None:
    own(node, a=f"exit {status}")
    node.document["check"]["contract"] = "nagios"
    node.stage(NEW)

    assert rows(node.check(NEW, says=RELEASE))["user check a"][0] == result


def test_r7_one_that_hangs_is_ended_and_a_slow_one_is_named(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own(node, a="sleep 0.3", b="sleep 60")
    monkeypatch.setattr(checks_user, "SLOW_SECONDS", 0.2)
    settings = {**node.document["check"], "timeout": 1.0}

    found = dict(checks_user.run(str(folder), settings, {}, "/"))

    assert found["user check a"][0] == "warn"
    assert found["user check a"][1].startswith("took 0.")
    assert found["user check b"][0] == "refused"
    assert "no end within 1 s" in found["user check b"][1]


def _for_others(path: Path) -> None:
    path.chmod(0o777)


def _a_link(path: Path) -> None:
    path.rename(path.with_name(".real"))
    path.symlink_to(".real")


def _no_program(path: Path) -> None:
    path.chmod(0o644)


def _open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


@pytest.mark.parametrize("harm", [_for_others, _a_link, _no_program, _open_folder])
def test_r7_what_others_could_have_changed_is_not_run(
    node: Node, harm: Callable[[Path], None]
) -> None:
    folder = own(node, a=f"touch {node.top}/ran")
    harm(folder / "a")
    node.stage(NEW)

    answer = node.check(NEW, says=RELEASE)

    assert "is not run" in bad(answer)["user check a"]
    assert not (node.top / "ran").exists()


def test_r7_a_missing_directory_is_unknown_and_an_empty_one_says_so(node: Node) -> None:
    folder = own(node)
    node.stage(NEW)
    assert rows(node.check(NEW, says=RELEASE))["user checks"] == ("ok", f"{folder} holds none")
    folder.rmdir()
    answer = node.check(NEW, says=RELEASE)
    assert answer.outcome == "refused"
    assert rows(answer)["user checks"][0] == "unknown"


def test_r7_nothing_of_the_operators_is_run_over_a_release_that_is_refused(node: Node) -> None:
    own(node, a=f"touch {node.top}/ran")
    node.stage(NEW)
    _changed(node)

    answer = node.check(NEW, says=RELEASE)

    assert rows(answer)["user checks"] == ("unknown", "not asked: staged files has not passed")
    assert not (node.top / "ran").exists()
