"""I8: what the report says is what the book has, and what the book has not is unknown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.history.report import report
from backends.store.book import Book, Start

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "app" / "schemas" / "report.json").read_text(encoding="utf-8")
)
PLAN = {
    "id": "157f81b00bd1",
    "updater_digest": "ab" * 32,
    "provenance": {"signer": "release@example.com", "key": "SHA256:x", "imported": ""},
    "policy": {"batch": 1, "pause": "first", "downgrade": "", "reinstall": "bit rot"},
    "notes": ["does not come back: the index"],
    "nodes": [
        {"node": name, "from_version": "4.11", "to_version": "4.12", "treatment": "install"}
        for name in ("n1", "n2", "n3")
    ],
}


class Ledger:
    """A book with one run in it, line by line."""

    def __init__(self, path: Path, plan: dict[str, Any] = PLAN, **more: Any) -> None:
        self.book = Book(path)
        about = {"version": "4.12", "digest": "cd" * 32, "note": "CHG-1", **more}
        self.book.begin(
            Start("r1", "harbor", "b", "upgrade", "ann@jump", 100.0, plan=plan, **about)
        )
        self.at = 100.0

    def line(
        self, kind: str, node: str = "", phase: str | None = None, text: str = "-", **data: Any
    ) -> None:
        self.at += 1
        self.book.record(
            "r1", time=self.at, node=node, phase=phase, kind=kind, text=text, data=data
        )

    def end(self, code: int = 0, *nodes: dict[str, Any], **more: Any) -> None:
        self.line("run", text="ended here", exit=code, nodes=list(nodes), **more)
        self.book.end("r1", time=self.at, exit_code=code, outcome="it ended")

    @property
    def report(self) -> dict[str, Any]:
        """The report; every one of this file is what the schema says."""
        run = self.book.run("r1")
        assert run is not None
        found = report(run, self.book.plan("r1"), self.book.entries("r1"), 1000.0)
        Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(found)))
        return found

    def node(self, name: str) -> dict[str, Any]:
        (found,) = (node for node in self.report["nodes"] if node["name"] == name)
        return dict(found)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "book")
    yield made
    made.book.close()


def result(node: str, word: str, code: str = "") -> dict[str, Any]:
    problem = {"code": code, "summary": f"{node} {word}", "evidence": "e", "advice": "a"}
    return {"node": node, "result": word, "forward": False, "problem": problem if code else None}


def test_i5_who_from_where_why_and_what(ledger: Ledger) -> None:
    found = ledger.report
    assert (found["who"]["user"], found["who"]["machine"]) == ("ann", "jump")
    assert found["why"] == {"note": "CHG-1", "downgrade": None, "reinstall": "bit rot"}
    what = found["what"]
    assert what["from"] == [{"version": "4.11", "nodes": ["n1", "n2", "n3"]}]
    assert what["signed"] == {"by": "release@example.com", "key": "SHA256:x", "imported": None}
    assert (what["version"], what["plan"]) == ("4.12", "157f81b00bd1")


def test_an_open_run_has_no_end_and_no_results(ledger: Ledger) -> None:
    ledger.line("phase", "n1", "install")
    found = ledger.report
    assert (found["run"]["state"], found["run"]["ended"]) == ("open", None)
    assert {node["result"]["unknown"] for node in found["nodes"]} == {"the run is open"}


def test_b12_one_result_for_each_node_and_the_silent_ones_are_named(ledger: Ledger) -> None:
    ledger.line("row", "n1", "preflight", result="ok", name="lock")
    ledger.line("phase", "n2", "preflight", "begins")
    ledger.line("command", "n2", command="check", outcome="timed_out", request="a", times=1)
    ledger.end(3, result("n1", "not_started"), result("n2", "unreachable", "timeout"))
    found = ledger.report
    assert [(node["name"], node["silent"]) for node in found["nodes"]] == [
        ("n1", False),
        ("n2", True),
        ("n3", True),
    ]
    assert found["silent"] == ["n2", "n3"]
    assert found["nodes"][2]["result"] == {"unknown": "the run ended without a result of it"}
    assert "nodes n3 result: the run ended without a result of it" in found["unknown"]


def test_a_run_that_broke_off_calls_no_node_done(ledger: Ledger) -> None:
    ledger.line("phase", "n1", "install")
    ledger.end(1)
    assert all("unknown" in node["result"] for node in ledger.report["nodes"])


def test_each_phase_has_its_begin_its_end_and_its_outcome(ledger: Ledger) -> None:
    ledger.line("phase", "n1", "install", "install 4.12")
    ledger.line("record", "n1", "install", "begins", record="BEGIN")
    ledger.line("record", "n1", "monitor", "in trial", record="TRIAL")
    ledger.line("record", "n1", "rollback", "goes back", record="ROLLBACK")
    ledger.line("record", "n1", "rollback", "undo ok", record="UNDO", ok=True)
    ledger.line("record", "n1", "rollback", "restored", record="RESTORED")
    node = ledger.node("n1")
    found = {each["phase"]: (each["seconds"], each["outcome"]) for each in node["phases"]}
    assert found == {
        "install": (1.0, "ok"),
        "monitor": (1.0, "taken back"),
        "rollback": (2.0, "undone"),
    }
    assert node["rollback"]["proven"] is True
    assert [step["record"] for step in node["rollback"]["steps"]][-2:] == ["UNDO", "RESTORED"]


def test_a_phase_without_an_end_has_an_unknown_outcome_never_ok(ledger: Ledger) -> None:
    ledger.line("phase", "n1", "install", "install 4.12")
    ledger.line("record", "n1", "install", "backups", record="BACKUPS")
    ledger.line("phase", "n2", "check", "begins")
    ledger.line("problem", "n2", "check", "timeout: nothing", code="timeout")
    (install,) = ledger.node("n1")["phases"]
    (check,) = ledger.node("n2")["phases"]
    assert install["outcome"] == {"unknown": "no end of it was written down"}
    assert check["outcome"] == "problem timeout"


@pytest.mark.parametrize(
    ("records", "proven"),
    [
        (
            ["ROLLBACK", "UNDO"],
            {"unknown": "neither a proof nor the lack of one was followed to its end"},
        ),
        (["ROLLBACK", "RESTORED", "UNPROVEN"], False),
        (["ROLLBACK", "UNPROVEN", "RESTORED"], True),
    ],
)
def test_a_rollback_is_proven_only_by_its_proof(
    ledger: Ledger, records: list[str], proven: object
) -> None:
    for record in records:
        ledger.line("record", "n1", "rollback", record=record)
    assert ledger.node("n1")["rollback"]["proven"] == proven


def test_what_was_skipped_warned_or_refused_stays_marked(ledger: Ledger) -> None:
    ledger.line("row", text="  ok      a", gate="before", name="a", result="ok")
    ledger.line("row", text="  refused b: shut", gate="before", name="b", result="refused")
    ledger.line("row", "n1", "preflight", "warn c", name="c", result="warn", evidence="why")
    ledger.line("row", "n1", "preflight", "x d", name="d", result="a word of the future")
    marked = [(each["name"], each["result"]) for each in ledger.report["conditions"]]
    assert marked == [("b", "refused"), ("c", "warn"), ("d", "a word of the future")]


def test_each_failure_is_told_once_with_evidence_and_advice(ledger: Ledger) -> None:
    ledger.line(
        "problem", "n1", "check", "no-room: full", code="no-room", evidence="df", advice="rm"
    )
    first = result("n1", "refused", "no-room")
    second = result("n2", "lost", "contact-lost")
    whole = {"code": "gate-shut", "summary": "shut", "evidence": "b", "advice": "settle"}
    ledger.end(6, first, second, problem=whole)
    told = [(each["node"], each["code"], each["summary"]) for each in ledger.report["failures"]]
    assert told == [
        ("n1", "no-room", "full"),
        ("n2", "contact-lost", "n2 lost"),
        (None, "gate-shut", "shut"),
    ]
    assert ledger.report["failures"][0]["evidence"] == "df"


def test_i6_commands_are_listed_and_a_node_without_any_says_so(ledger: Ledger) -> None:
    ledger.line(
        "command", "n1", command="install", outcome="ok", code="", began=5.0, seconds=0.4,
        times=1, request="aaa",
    )  # fmt: skip
    (given,) = ledger.node("n1")["commands"]
    assert (given["command"], given["outcome"], given["began"]) == (
        "install",
        "ok",
        "1970-01-01T00:00:05.000Z",
    )
    assert ledger.node("n2")["commands"] == {"unknown": "no command to it is in the book"}


def test_i9_journals_that_do_not_tell_the_same_are_a_finding(ledger: Ledger) -> None:
    ledger.line("command", "n1", command="accept", outcome="ok", request="aaa")
    ledger.line("record", "n1", "monitor", record="ACCEPT", request="aaa")
    ledger.line("command", "n2", command="accept", outcome="ok", request="bbb")
    ledger.line("record", "n2", "monitor", record="ACCEPT", request="ccc")
    ledger.line("record", "n2", "rollback", record="ROLLBACK")
    ledger.line("command", "n3", command="accept", outcome="ok", request="ddd")
    found = ledger.report["findings"]
    assert len(found) == 2
    assert "n2 answered accept (request bbb) with ok, and no ACCEPT" in found[0]
    assert "n2 recorded ACCEPT for request ccc" in found[1]


def test_the_verdict_is_the_last_that_was_written_down_or_unknown(ledger: Ledger) -> None:
    assert "unknown" in ledger.report["verdict"]
    about = {"cause": "", "certain": True, "nodes_read": 3, "nodes_total": 3}
    about |= {"next": "finalize", "way_back": "rollback"}
    for word in ("upgrading", "settled"):
        ledger.line("run", text=f"afterwards: {word}", verdict=word, **about)
    assert ledger.report["verdict"]["words"] == "settled"


def test_a_book_of_an_earlier_version_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    old = Ledger(tmp_path / "book", plan={}, version=None, digest=None, note="")
    old.line("result", "n1", "finalize", "4.12 is final")
    old.line("run", text="ended here, exit 0: finalize: n1 finalized")
    old.book.end("r1", time=200.0, exit_code=0, outcome="finalize: n1 finalized")
    found = old.report
    (node,) = found["nodes"]
    assert node["result"]["unknown"].startswith("an earlier version")
    for key in ("version", "release_digest", "signed", "plan", "updater_digest"):
        assert "unknown" in found["what"][key]
    old.book.close()


def test_texts_are_cleaned_and_secrets_of_an_old_book_taken_out(ledger: Ledger) -> None:
    import sqlite3

    ledger.line("problem", "n1", "check", "x: \x1b[2J\u202egone", evidence="a\x07")
    ledger.line("problem", "n1", "check", "y: later")
    with sqlite3.connect(ledger.book.path) as other:  # as no version of today writes it
        other.execute("update event set text = 'y: PASSWORD=hunter2' where text like 'y:%'")
    other.close()
    text = json.dumps(ledger.report, ensure_ascii=False)
    assert "hunter2" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "^[[2J" in text


def test_a_damaged_book_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    odd = Ledger(
        tmp_path / "book", plan={"nodes": ["x", 5, {"node": "n1", "steps": 7}], "policy": 3}
    )
    odd.line("run", text="ended", nodes=[1, {"node": "n1", "result": "done", "problem": 7}])
    odd.book.record("r1", time=1e300, node="n1", phase="p", kind="problem", text="", data={})
    odd.book.end("r1", time=200.0, exit_code=99, outcome="?")
    found = odd.report
    assert found["run"]["exit_word"] == "unknown"
    assert "unknown" in found["failures"][0]["time"]
    odd.book.close()
