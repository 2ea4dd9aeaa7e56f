"""A script as cron or a pipeline has one: it reads JSON on standard output and exit codes only.

Every line of standard output has to be JSON, and what its schema in `app/schemas` says; every
exit code has to be the one that the table of the command line promises for what was done.
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from shutil import copytree
from typing import Any

from jsonschema import Draft202012Validator

from backends.domain.problem import Exit
from tests.support.node import holders

SCHEMAS = {
    path.stem: Draft202012Validator(json.loads(path.read_text("utf-8")))
    for path in (Path(__file__).parents[2] / "app" / "schemas").glob("*.json")
}
SECONDS = 120
LINES_OF = {"demo": {"cluster", "releases", "dir", "pid"}, "config schema": {"cluster", "profile"}}
"""What has no `liftlock.` schema: the keys that it has."""


class Script:
    """Command lines in processes of their own; what they say is checked and read."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "TMPDIR": str(folder)}
        self.exits: dict[tuple[str, ...], set[int]] = {}
        """For each command line, the exit codes that it had."""

    def run(self, exit_code: Exit, *words: str) -> list[dict[str, Any]]:
        """Run a command with `--json` to its end, which has to be this one; what it said."""
        with self.begin(*words) as begun:
            return begun.ends(exit_code)

    def one(self, exit_code: Exit, *words: str) -> dict[str, Any]:
        """Run a command whose answer is one line."""
        (found,) = self.run(exit_code, *words)
        return found

    @contextmanager
    def begin(self, *words: str) -> "Iterator[Begun]":
        """Start a command with `--json`; it has ended when the block has."""
        begun = Begun(self, words, ["--json"])
        try:
            yield begun
        finally:
            begun.process.kill()
            begun.process.communicate()

    @contextmanager
    def demo(self, place: Path) -> "Iterator[dict[str, Any]]":
        """A cluster of three nodes that serves; where everything of it is."""
        words = ("demo", "--serve", "--nodes", "3", "--dir", str(place))
        begun = Begun(self, words, [])
        try:
            yield begun.line()
            begun.process.send_signal(signal.SIGTERM)
            begun.ends(Exit.OK)
        finally:
            begun.process.kill()
            begun.process.communicate()


class Begun:
    """A command line that runs."""

    def __init__(self, script: Script, words: tuple[str, ...], more: list[str]) -> None:
        self.script = script
        self.words = words
        self.said: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", *words, *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=script.folder,
            env=script.environment,
            # Tests that were started in the background may have it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def line(self) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, (self.words, self.process.communicate(timeout=SECONDS))
        return self._read(text)

    def until(self, phase: str, node: str) -> None:
        """Wait until it tells that a node is in a phase."""
        told: dict[str, Any] = {}
        while (told.get("phase"), told.get("node")) != (phase, node):
            told = self.line()

    def ends(self, exit_code: Exit) -> list[dict[str, Any]]:
        """Wait for its end, which has to be this one; all that it said."""
        out, err = self.process.communicate(timeout=SECONDS)
        for text in out.splitlines():
            self._read(text)
        code = self.process.returncode
        assert code == exit_code, f"{self.words}: exit {code}, not {exit_code:d}\n{out}\n{err}"
        self.script.exits.setdefault(self.words, set()).add(code)
        last = self.said[-1] if self.said else {}
        if last.get("schema") == "liftlock.outcome/1":
            assert last["exit"] == code, f"{self.words}: {last}"
        return self.said

    def _read(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(text)
        self.said.append(found)
        keys = LINES_OF.get(" ".join(self.words[:2]), LINES_OF.get(self.words[0]))
        if "schema" in found or keys is None:
            name, version = found["schema"].removeprefix("liftlock.").split("/")
            assert version == "1"
            SCHEMAS[name].validate(found)
        else:
            assert set(found) == keys
        return found


# --- what is operated ----------------------------------------------------------------------------


def releases(script: Script, folder: Path, demo: Mapping[str, Any]) -> None:
    """Releases are built, imported, signed, verified, shown and compared; no node is contacted."""
    place = Path(demo["dir"])
    source, made = folder / "beacon-4.14.0", folder / "made"
    copytree(str(files("backends.demo") / "product"), source)
    (source / "VERSION").write_text("4.14.0\n")
    about = ("--name", "beacon", "--version", "4.14.0", "-o", str(made))
    built = script.one(Exit.OK, "release", "build", str(source), *about)
    signers = ("--signers", str(place / "signers"))
    script.run(Exit.REFUSED, "release", "verify", built["tarball"], *signers)
    signed = script.one(
        Exit.OK, "release", "sign", built["tarball"], "--key", str(place / "keys" / "release")
    )
    assert Path(signed["signature"]).is_file()
    verified = script.one(Exit.OK, "release", "verify", built["tarball"], *signers)
    assert verified["digest"] == signed["digest"] == built["digest"]
    assert verified["key"] == signed["key"]
    shown = script.one(Exit.OK, "release", "show", built["tarball"])
    assert shown["has_signature"]
    differs = script.one(Exit.OK, "release", "diff", demo["releases"]["4.12.0"], built["tarball"])
    assert [each["path"] for each in differs["changed"]] == ["VERSION"]
    script.run(Exit.USAGE, "release", "show", str(made / "nothing.tar.gz"))

    vendors = folder / "vendors.tar.gz"
    with tarfile.open(vendors, "w:gz") as archive:
        archive.add(source, "vendors")
    vendors.with_name(f"{vendors.name}.sha256").write_text(
        f"{sha256(vendors.read_bytes()).hexdigest()}  {vendors.name}\n"
    )
    about = ("--name", "beacon", "--version", "4.14.1", "-o", str(made), "--strip", "1")
    script.one(Exit.OK, "release", "import", str(vendors), *about)
    tarball = Path(built["tarball"])
    content = bytearray(tarball.read_bytes())
    content[len(content) // 2] ^= 1
    tarball.write_bytes(content)
    (refused,) = script.run(Exit.REFUSED, "release", "show", str(tarball))
    assert refused["problem"]["code"] == "tarball-digest"


def beginnings(script: Script, folder: Path, cluster: str) -> None:
    """The files to begin with, what counts, what completes."""
    begun = script.one(Exit.OK, "init", "port", "--product", "nats")
    assert {Path(each).name for each in begun["written"]} == {"port.toml", "nats.toml"}
    script.run(Exit.USAGE, "init", "port", "--product", "nats")
    known = script.one(Exit.OK, "config", "schema")
    for each in known.values():
        Draft202012Validator.check_schema(each)
    assert script.one(Exit.OK, "config", "show", cluster)["cluster"] == "demo"
    assert script.one(Exit.OK, "completion", "fish")["script"]
    script.run(Exit.USAGE, "status", "nowhere")


def introductions(script: Script, demo: Mapping[str, Any]) -> None:
    """A workstation that knows no node's key yet learns them, when it is told to."""
    place = Path(demo["dir"])
    text = Path(demo["cluster"]).read_text()
    stranger = place / "stranger.toml"
    stranger.write_text(text.replace('"known_hosts"', '"learnt"'))
    unknown = script.one(Exit.UNREACHABLE, "status", str(stranger))
    assert unknown["verdict"]["kind"] == "unknown"
    script.run(Exit.USAGE, "trust", str(stranger))
    learnt = script.run(Exit.OK, "trust", str(stranger), "--yes")
    assert [each["result"] for each in learnt] == ["recorded"] * 3
    script.run(Exit.OK, "status", str(stranger))
    rows = script.run(Exit.OK, "doctor", demo["cluster"])
    assert "refused" not in {each["result"] for each in rows}


def by_hand(script: Script, demo: Mapping[str, Any], cluster: str) -> None:
    """A run that persons accept, extend, pause, resume, abort; another one is locked out of it."""
    release = demo["releases"]["4.12.0"]
    script.run(Exit.OK, "stage", cluster, release, "--yes")
    staged = script.one(Exit.OK, "stage", cluster, "--list")
    assert [each["staged"] for each in staged["nodes"]] == [["4.12.0"]] * 3
    script.run(Exit.OK, "check", cluster, release, "--yes")
    for act in ("pause", "takeover", "accept", "extend", "abort", "resume"):
        nothing(script, act, cluster)
    set_policy(demo, cluster, accept="manual", accept_window="300s")
    with script.begin("upgrade", cluster, release, "--yes") as upgrade:
        upgrade.until("monitor", "n1")
        script.run(Exit.OK, "extend", cluster, "n1", "--by", "10m", "--reason", "slow start")
        script.run(Exit.LOCKED, "upgrade", cluster, release, "--yes")
        (hanging,) = holders(Path(demo["dir"]) / "nodes/n1/state/beacon/lock")
        os.kill(hanging, signal.SIGSTOP)
        script.run(Exit.OK, "takeover", cluster, "-n", "n1", "--yes", "--reason", "it hangs")
        script.run(Exit.OK, "pause", cluster, "--reason", "graphs look odd")
        healthy(script, cluster, "n1")
        script.run(Exit.OK, "accept", cluster, "n1", "--reason", "seen serving")
        paused = upgrade.ends(Exit.WAITING)[-1]
    assert {each["name"]: each["result"] for each in paused["nodes"]}["n1"] == "accepted"
    waiting = script.one(Exit.WAITING, "status", cluster)
    assert [each["running"] for each in waiting["nodes"]] == ["4.12.0", "4.11.0", "4.11.0"]
    with script.begin("resume", cluster, "--yes") as resumed:
        resumed.until("monitor", "n2")
        marks = script.run(Exit.OK, "exclude", cluster, "n3", "--reason", "disk dead")[-1]
        assert [each["node"] for each in marks["marks"]] == ["n3"]
        aborted = script.run(Exit.WAITING, "abort", cluster, "--yes", "--reason", "wrong window")
        resumed.ends(Exit.NEEDS_PERSON)
    assert aborted[-1]["run"] != paused["run"]
    script.run(Exit.OK, "include", cluster, "n3", "--reason", "disk replaced")
    script.run(Exit.OK, "rollback", cluster, "--yes")
    assert script.one(Exit.OK, "status", cluster)["verdict"]["to"] == "4.11.0"
    script.run(Exit.OK, "clean", cluster, "--staged", "--yes")


def nothing(script: Script, act: str, cluster: str) -> None:
    """An act for which there is nothing to do is refused, and says it as the last line."""
    nodes = ["n1"] if act in ("accept", "extend") else []
    yes = [] if act in ("pause", "accept", "extend") else ["--yes"]
    reason = ["--reason", "a try"]
    last = script.run(Exit.REFUSED, act, cluster, *nodes, *yes, *reason)[-1]
    problems = [last.get("problem"), *(each["problem"] for each in last["nodes"])]
    assert any(problems), f"{act} refuses and does not say why: {last}"


def healthy(script: Script, cluster: str, node: str) -> None:
    """Wait until a node says that it is well."""
    name = ""
    for _ in range(SECONDS):
        found = script.one(Exit.OK, "value", cluster, "health", "-n", node)
        name = found["nodes"][0]["value"]
        if name == "healthy":
            return
    raise AssertionError(f"{node} stays {name}")


def by_plan(script: Script, demo: Mapping[str, Any], folder: Path, cluster: str) -> str:
    """A reviewed plan, carried out with its pause, and made final; the run that it was."""
    set_policy(demo, cluster, accept="auto", accept_window="20s")
    release, reviewed = demo["releases"]["4.12.0"], folder / "reviewed.json"
    words = ("plan", cluster, release, "--out", str(reviewed), "--pause", "first")
    shown = script.one(Exit.OK, *words)
    assert json.loads(reviewed.read_text()) == shown
    words = ("upgrade", cluster, release, "--plan", str(reviewed), "--yes", "--note", "CHG-1042")
    paused = script.run(Exit.WAITING, *words)[-1]
    assert paused["run"] == shown["run"]
    refused = script.run(Exit.REFUSED, "finalize", cluster, "--preview")[-1]
    assert refused["problem"] is not None
    script.run(Exit.REFUSED, "plan", cluster, demo["releases"]["4.13.0"])
    ended = script.run(Exit.OK, "resume", cluster, "--yes")[-1]
    assert (ended["run"], ended["verdict"]) == (paused["run"], "ready_to_finalize")
    assert script.one(Exit.OK, "finalize", cluster, "--preview")["version"] == "4.12.0"
    script.run(Exit.USAGE, "finalize", cluster)
    script.run(Exit.OK, "finalize", cluster, "--yes")
    again = script.run(Exit.OK, "finalize", cluster, "--yes")[-1]
    assert {each["result"] for each in again["nodes"]} == {"already"}
    return str(paused["run"])


def later(script: Script, demo: Mapping[str, Any], cluster: str) -> None:
    """What runs is looked at, restarted, found changed; a sick release is undone by the nodes."""
    script.run(Exit.OK, "restart", cluster, "-n", "n2", "--yes", "--reason", "it leaks")
    assert "health" in script.one(Exit.OK, "value", cluster)["names"]
    script.run(Exit.USAGE, "value", cluster, "helth")
    script.one(Exit.OK, "conflicts", cluster)
    script.run(Exit.OK, "verify", cluster)
    edited = Path(demo["dir"]) / "nodes/n3/opt/beacon/4.12.0/beacon.py"
    text = edited.read_text()
    edited.write_text(text + "# by hand\n")
    drifted = script.run(Exit.NEEDS_PERSON, "verify", cluster)[-1]
    assert [each["result"] for each in drifted["nodes"]] == ["done", "done", "drifted"]
    edited.write_text(text)
    sick = ("upgrade", cluster, demo["releases"]["4.13.0"], "--yes")
    with script.begin(*sick) as upgrade:
        upgrade.until("install", "n1")
        upgrade.process.send_signal(signal.SIGINT)
        assert upgrade.ends(Exit.INTERRUPTED)[-1]["problem"]["code"] == "interrupted"
    undone = script.run(Exit.ROLLED_BACK, *sick)  # the same command takes it up
    assert undone[-1]["verdict"] == "settled"


def history(script: Script, folder: Path, cluster: str, run: str) -> None:
    """What was done can be read again, from the history alone."""
    found = script.one(Exit.OK, "runs", cluster, "--limit", "100")["runs"]
    about = next(each for each in found if each["id"] == run)
    assert (about["kind"], about["exit"], about["note"]) == ("upgrade", Exit.OK, "CHG-1042")
    assert not [each for each in found if each["state"] != "ended"]
    entries = script.run(Exit.OK, "journal", cluster, run, "--node", "n3")
    assert {each["node"] for each in entries} == {"n3"}
    report = script.one(Exit.OK, "report", cluster, run)
    ticket = folder / "CHG-1042.json"
    script.run(Exit.OK, "report", cluster, run, "-o", str(ticket))
    assert {**json.loads(ticket.read_text()), "time": ""} == {**report, "time": ""}
    script.run(Exit.USAGE, "report", cluster, run, "-o", str(ticket))
    script.run(Exit.USAGE, "journal", cluster, "0000-zzz")


def end(script: Script, cluster: str) -> None:
    """Every trace is removed, and what runs is taken into care again."""
    script.run(Exit.OK, "clean", cluster, "--everything", "--yes")
    # What `liftlock CLUSTER` shows where there is no screen.
    assert script.one(Exit.WAITING, cluster)["verdict"]["kind"] == "unmanaged"
    script.run(Exit.OK, "adopt", cluster, "--yes")
    script.run(Exit.NEEDS_PERSON, "status", cluster, "--expect", "4.11.0")
    script.run(Exit.OK, "status", cluster, "--expect", "4.12.0")


def set_policy(demo: Mapping[str, Any], cluster: str, **policy: str) -> None:
    """The script's own cluster file: the demo's, with another policy."""
    text = Path(demo["cluster"]).read_text()
    kept = [each for each in text.splitlines() if each.split(" =")[0] not in policy]
    lines = [f'{key} = "{value}"' for key, value in policy.items()]
    Path(cluster).write_text("\n".join([*kept, *lines]) + "\n")


def operate(script: Script, folder: Path) -> None:
    """All of it, on a demo of its own."""
    with script.demo(folder / "demo") as demo:
        cluster = str(Path(demo["dir"]) / "mine.toml")
        set_policy(demo, cluster)
        releases(script, folder, demo)
        beginnings(script, folder, cluster)
        introductions(script, demo)
        by_hand(script, demo, cluster)
        run = by_plan(script, demo, folder, cluster)
        later(script, demo, cluster)
        history(script, folder, cluster, run)
        end(script, cluster)
