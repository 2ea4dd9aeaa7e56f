"""The run history by command line: listed, followed while it is written, reported, kept clean."""

import json
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from jsonschema import Draft202012Validator

from backends.store.book import Book, Start
from tests.support.cluster import Cluster

SCHEMAS = Path(__file__).parents[2] / "app" / "schemas"


def schema(name: str) -> Draft202012Validator:
    found = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def book_of(cluster: Cluster) -> Book:
    folder = cluster.top / "operator"
    folder.mkdir(mode=0o700, exist_ok=True)
    return Book(folder / "history.sqlite3")


def an_open_run(cluster: Cluster, run: str = "1120-opn") -> Book:
    book = book_of(cluster)
    book.begin(Start(run, "harbor", "beacon", "upgrade", "ann@jump", 100.0, version="4.12.0"))
    write(book, "first", run=run)
    return book


def write(book: Book, text: str, node: str = "n1", run: str = "1120-opn") -> None:
    book.record(run, time=101.0, node=node, phase=None, kind="result", text=text, data={})


class Follower:
    """`journal --follow` in a process of its own."""

    def __init__(self, cluster: Cluster, *words: str) -> None:
        self.process = cluster.start("journal", str(cluster.file), "--follow", *words)

    def until(self, text: str) -> str:
        """Wait for a line with this text, for 20 s at most."""
        timer = threading.Timer(20, self.process.kill)
        timer.start()
        try:
            said: IO[str] | None = self.process.stdout
            assert said is not None
            for line in said:
                if text in line:
                    return line
        finally:
            timer.cancel()
        raise AssertionError(f"{text} was never told")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def undone(shared: Cluster) -> Cluster:
    """A cluster whose newest upgrade failed and went back; nobody changes it any more."""
    ran = shared.upgrade("4.13.0", "--note", "CHG-1042")
    assert ran.status == 5, ran
    return shared


# --- runs ---------------------------------------------------------------------------------------


def test_i2_the_runs_are_listed_newest_first_with_how_they_ended(undone: Cluster) -> None:
    ran = undone.run("runs", str(undone.file), "--json")
    schema("runs").validate(ran.json)
    upgrade, adopt = ran.json["runs"]
    assert (upgrade["kind"], adopt["kind"]) == ("upgrade", "adopt")
    assert (upgrade["exit"], upgrade["exit_word"], upgrade["note"]) == (
        5,
        "rolled back",
        "CHG-1042",
    )
    assert (upgrade["state"], upgrade["version"]) == ("ended", "4.13.0")
    text = undone.run("runs", str(undone.file)).out
    assert re.search(r"upgrade beacon to 4.13.0 on harbor.*CHG-1042", " ".join(text.split()))
    assert "exit 5 rolled back" in text
    one = undone.run("runs", str(undone.file), "--limit", "1", "--json").json
    assert ([run["kind"] for run in one["runs"]], one["more"]) == (["upgrade"], True)


def test_what_only_watched_is_left_out_unless_it_is_asked_for(harbor: Cluster) -> None:
    book = an_open_run(harbor)
    book.begin(Start("1121-wat", "harbor", "beacon", "watch", "ann@jump", 200.0))
    book.close()
    kinds = [
        [run["kind"] for run in harbor.run("runs", str(harbor.file), "--json", *more).json["runs"]]
        for more in ((), ("--all",))
    ]
    assert kinds == [["upgrade"], ["watch", "upgrade"]]


def test_no_run_is_an_empty_list_and_no_failure(harbor: Cluster) -> None:
    ran = harbor.run("runs", str(harbor.file))
    assert (ran.status, ran.out) == (0, "")
    assert "There is no run on harbor yet" in ran.err
    assert harbor.run("runs", str(harbor.file), "--json").json["runs"] == []


def test_an_open_run_is_called_open(harbor: Cluster) -> None:
    an_open_run(harbor).close()
    (run,) = harbor.run("runs", str(harbor.file), "--json").json["runs"]
    assert (run["state"], run["ended"], run["exit"], run["outcome"]) == ("open", None, None, None)
    assert ", open" in harbor.run("runs", str(harbor.file)).out


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_none_is_refused(harbor: Cluster, limit: str) -> None:
    assert harbor.run("runs", str(harbor.file), "--limit", limit).status == 2


# --- journal --follow ---------------------------------------------------------------------------


def test_i1_lines_of_another_process_are_followed_to_the_end_of_the_run(harbor: Cluster) -> None:
    book = an_open_run(harbor)
    follower = Follower(harbor)
    follower.until("first")
    write(book, "second")
    follower.until("second")
    write(book, "third")
    book.end("1120-opn", time=102.0, exit_code=5, outcome="went back")
    status, out, err = follower.end()
    assert (status, err) == (0, "")
    assert "third" in out
    assert "exit 5 rolled back: went back" in out
    book.close()


def test_n4_what_is_followed_as_json_has_the_shape_of_before(harbor: Cluster) -> None:
    book = an_open_run(harbor)
    follower = Follower(harbor, "--json", "--node", "n2")
    write(book, "of n1")
    write(book, "of n2", node="n2")
    line = json.loads(follower.until("of n2"))
    book.end("1120-opn", time=102.0, exit_code=0, outcome="well")
    status, out, _ = follower.end()
    book.close()
    assert (status, out) == (0, "")
    assert {"seq", "run", "time", "node", "phase", "kind", "text", "data", "key"} <= line.keys()
    assert line["node"] == "n2"


def test_ctrl_c_ends_it_with_130_and_not_the_run(harbor: Cluster) -> None:
    book = an_open_run(harbor)
    follower = Follower(harbor)
    follower.until("first")
    follower.process.send_signal(signal.SIGINT)
    status, _, err = follower.end()
    assert (status, "Traceback" in err) == (130, False)
    found = book.run("1120-opn")
    assert found is not None
    assert found.ended is None
    book.close()


def test_a_run_that_has_ended_is_told_and_not_waited_for(undone: Cluster) -> None:
    told = undone.run("journal", str(undone.file))
    followed = undone.run("journal", str(undone.file), "--follow")
    assert (followed.status, followed.out) == (0, told.out)


def test_a_real_upgrade_is_followed_while_it_runs(settled: Cluster) -> None:
    upgrade = settled.start("upgrade", str(settled.file), str(settled.releases["4.12.0"]), "--yes")
    book = book_of(settled)
    while not any(run.kind == "upgrade" for run in book.runs()):
        assert upgrade.poll() is None
    book.close()
    status, out, err = Follower(settled).end()
    _, said = upgrade.communicate(timeout=30)
    assert (status, upgrade.returncode) == (0, 0), err + said
    assert "accepted by" in out
    assert "exit 0 done" in out


# --- the ids of requests ------------------------------------------------------------------------


def test_i9_a_line_of_the_operators_journal_is_found_in_the_nodes_log(undone: Cluster) -> None:
    entries = undone.run("journal", str(undone.file), "--json").lines
    given = {
        entry["data"]["command"]: entry["data"]["request"]
        for entry in entries
        if entry["kind"] == "command"
    }
    assert {"check", "stage", "install", "status"} <= given.keys()
    state = undone.top / "n1" / "state" / "beacon"
    log = (state / "updater.log").read_text()
    for command in ("check", "stage", "install"):
        assert re.search(rf"request {given[command]}: {command}, run .* of .*: ", log), command
    assert f"request {given['status']}" not in log, "looking leaves no trace"
    begun = [entry for entry in entries if entry["data"].get("record") == "BEGIN"]
    assert [entry["data"]["request"] for entry in begun] == [given["install"]]
    about_requests = [entry for entry in entries if entry["kind"] in ("row", "record", "problem")]
    of_nodes = [entry["data"] for entry in about_requests if entry["node"]]
    assert of_nodes
    assert all(data.get("request") or data.get("heard") for data in of_nodes)


# --- report -------------------------------------------------------------------------------------


def test_i8_the_report_of_a_run_that_went_back(undone: Cluster) -> None:
    ran = undone.run("report", str(undone.file), "--json")
    assert ran.status == 0, ran
    found: dict[str, Any] = json.loads(ran.out)
    schema("report").validate(found)
    (node,) = found["nodes"]
    assert (node["name"], node["result"], node["silent"]) == ("n1", "rolled_back", False)
    assert node["rollback"]["proven"] is True
    outcomes = {each["phase"]: each["outcome"] for each in node["phases"]}
    assert outcomes == {
        "preflight": "ok",
        "stage": "ok",
        "check": "ok",
        "install": "ok",
        "monitor": "taken back",
        "rollback": "undone",
    }
    given = {each["command"]: each["outcome"] for each in node["commands"]}
    assert (given["stage"], given["install"]) == ("ok", "ok")
    assert found["what"]["from"] == [{"version": "4.11.0", "nodes": ["n1"]}]
    assert found["verdict"]["verdict"] == "settled"
    assert [each["code"] for each in found["failures"]] == ["rolled-back"]
    assert {"signature", "second layer"} >= {each["name"] for each in found["conditions"]}
    assert (found["findings"], found["unknown"]) == ([], [])
    text = undone.run("report", str(undone.file)).out
    assert f"# Run `{found['run']['id']}`" in text
    assert "Went back: proven" in text
    assert "| Exit | 5 (`rolled back`) |" in text


def test_i8_single_acts_have_a_report_too(settled: Cluster) -> None:
    ran = settled.run("report", str(settled.file), "--json")
    found = json.loads(ran.out)
    schema("report").validate(found)
    assert (found["run"]["kind"], found["nodes"][0]["result"]) == ("adopt", "finalized")
    assert found["what"]["updater_digest"]
    assert any("what release_digest" in each for each in found["unknown"])


def test_a_report_gets_into_a_file_whole_and_replaces_nothing_unasked(undone: Cluster) -> None:
    path = undone.top / "chg.md"
    words = ("report", str(undone.file), "-o", str(path))
    ran = undone.run(*words)
    assert (ran.status, ran.out) == (0, "")
    assert path.read_text().startswith("# Run `")
    path.write_text("mine")
    ran = undone.run(*words)
    assert (ran.status, "file-exists" in ran.err, path.read_text()) == (2, True, "mine")
    assert undone.run(*words, "--yes").status == 0
    assert path.read_text().startswith("# Run `")
    assert [each.name for each in undone.top.glob(".unfinished-*")] == []


def test_a_report_that_cannot_be_written_leaves_nothing(undone: Cluster) -> None:
    folder = undone.top / "folder"
    folder.mkdir()
    for path, more in (
        (undone.top / "missing" / "x.md", ()),
        (folder, ("--yes",)),
        (undone.file / "x.md", ()),
    ):
        ran = undone.run("report", str(undone.file), "-o", str(path), *more)
        assert (ran.status, "file-unwritable" in ran.err) == (2, True), ran
    ran = undone.run("report", str(undone.file), "-o", str(folder))
    assert (ran.status, "file-exists" in ran.err) == (2, True)
    assert list(folder.iterdir()) == []
    assert list(undone.top.glob(".unfinished-*")) == []


@pytest.mark.parametrize("command", ["report", "journal"])
@pytest.mark.parametrize("run", ["0000-zzz", "no-such", "' or 1=1 --"])
def test_a_run_that_is_not_there_is_refused_by_name(
    undone: Cluster, command: str, run: str
) -> None:
    ran = undone.run(command, str(undone.file), run)
    assert (ran.status, "run-unknown" in ran.err, ran.out) == (2, True, "")


def test_a_run_of_another_cluster_is_not_told_as_one_of_this(harbor: Cluster) -> None:
    book = an_open_run(harbor)
    book.begin(Start("1120-oth", "shore", "beacon", "upgrade", "ann@jump", 100.0))
    book.close()
    assert harbor.run("report", str(harbor.file), "1120-oth").status == 2
    assert harbor.run("report", str(harbor.file), "1120-opn").status == 0


# --- secrets ------------------------------------------------------------------------------------


def test_i7_planted_secrets_are_in_no_book_and_no_report(
    make_settled: Callable[..., Cluster],
) -> None:
    cluster = make_settled()
    secret, var = "Sw0rdfish-planted", "Var-planted-77"
    written = cluster.file.read_text()
    cluster.file.write_text(written.replace("vars = { ", f'vars = {{ db_token = "{var}", '))
    says = f"log in {secret} at http://ann:{secret}-2@lb/x?key={secret}-3; echo {{vars.db_token}}"
    cluster.write_profile(
        '[[hooks]]\nname = "drain"\nwhen = "before_stop"\n'
        f'command = ["sh", "-c", "echo {says} API_KEY={secret}-4; exit 1"]\n'
    )
    text = cluster.profile.read_text()
    env = f'env = {{ APP_PASSWORD = "{secret}", DB = "{{vars.db_token}}", '
    cluster.profile.write_text(text.replace("env = { ", env))
    ran = cluster.upgrade("4.12.0", "--note", f"CHG password={secret}-5", "--json")
    assert ran.status == 5, ran
    assert "hidden" in ran.out
    told = [ran.out, ran.err]
    asked = (["journal"], ["journal", "--json"], ["report"], ["report", "--json"], ["runs"])
    told += [cluster.run(name, str(cluster.file), *more).out for name, *more in asked]
    assert all(told[2:])
    files = list((cluster.top / "operator").glob("history.sqlite3*"))
    assert files
    told += [path.read_bytes().decode("latin-1") for path in files]
    for text in told:
        assert secret not in text
        assert var not in text


# --- retention ----------------------------------------------------------------------------------


def test_old_runs_are_forgotten_when_one_begins_and_the_report_says_so(settled: Cluster) -> None:
    book = book_of(settled)
    for number in range(3):
        run = f"0101-ol{number}"
        book.begin(Start(run, "harbor", "beacon", "upgrade", "ann@jump", 100.0))
        book.end(run, time=200.0 + number, exit_code=0, outcome="well")
    book.close()
    settled.file.write_text(settled.file.read_text() + '\n[history]\nkeep = "1 d"\n')
    assert settled.run("verify", str(settled.file)).status == 0
    found = json.loads(settled.run("report", str(settled.file), "--json").out)
    assert found["forgotten"][0].startswith(
        "forgotten by age and size of the history: 3 runs, 0101-ol0 to 0101-ol2"
    )
    kinds = [run["kind"] for run in settled.run("runs", str(settled.file), "--json").json["runs"]]
    assert kinds == ["verify", "adopt"]


def test_a_misspelt_key_of_the_history_is_refused_by_name(harbor: Cluster) -> None:
    harbor.file.write_text(harbor.file.read_text() + '\n[history]\nkeeps = "1 d"\n')
    ran = harbor.run("runs", str(harbor.file))
    assert (ran.status, "did you mean keep?" in ran.err) == (2, True)
