"""Nothing that a node says can break a table of the report, or become a link or HTML."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from app.history.markdown import _block, _span, markdown
from tests.history.test_report import Ledger, result

EVIL = [
    "a | b | c",
    "| x |\n| - |",
    "a\\|b",
    "`code` ``more`` ```",
    "`",
    "``` \n# heading",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[text](http://evil.example)",
    "![p](http://evil.example/p.png)",
    "http://evil.example www.evil.example a@evil.example",
    "[ref]: http://evil.example",
    "&lt;b&gt; &#124;",
    "*bold* _it_ ~~no~~",
    "- list\n1. list\n> quote\n---",
    "\x1b[31mred\x07 \u202e",
    "    indented",
    "a\n\nb",
    "\\",
    "@somebody #1",
]


def html(lines: list[str]) -> str:
    found: str = MarkdownIt("gfm-like", {"linkify": True, "html": True}).render("\n".join(lines))
    return found


@pytest.mark.parametrize("text", EVIL)
def test_a_text_in_a_table_stays_one_cell(text: str) -> None:
    shown = html(["| A | B |", "| --- | --- |", f"| {_span(text)} | {_span('right')} |"])
    cells = re.findall("<td>(.*?)</td>", shown, re.S)
    assert len(cells) == 2, shown
    assert cells[1] == "<code>right</code>"
    assert re.fullmatch("<code>[^<>]*</code>", cells[0]), cells[0]


@pytest.mark.parametrize("text", EVIL)
def test_what_is_quoted_whole_ends_where_it_ends(text: str) -> None:
    shown = html(["- item", *_block(text, "  "), "after"])
    assert len(re.findall("<pre>", shown)) == 1
    inside = re.search("<pre>(.*?)</pre>", shown, re.S)
    assert inside is not None
    assert re.fullmatch("<code[^<>]*>[^<>]*</code>", inside[1]), shown
    assert shown.rstrip().endswith("<p>after</p>") or "after</li>" in shown


def test_a_whole_report_of_evil_words_has_no_element_of_theirs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "book", note=" ".join(EVIL))
    for text in EVIL:
        ledger.line(
            "problem", "n1", "check", f"bad: {text}", code=text, evidence=text, advice=text
        )
        ledger.line("row", "n1", "check", text, name=text, result=text, evidence=text)
        ledger.line("record", "n1", "rollback", text, record="UNDO", ok=True)
        ledger.line("result", "n1", "rollback", text)
        ledger.line("command", "n1", command=text, outcome=text, request=text, seconds=1)
    ledger.end(6, result("n1", EVIL[0], EVIL[6]))
    run = ledger.book.run("r1")
    assert run is not None
    from app.history.report import report

    made = report(run, ledger.book.plan("r1"), ledger.book.entries("r1"), 5.0)
    shown = html(markdown(made))
    ledger.book.close()
    assert set(re.findall("<([a-z0-9]+)", shown)) <= {
        *("h1", "h2", "h3", "p", "ul", "li", "em", "strong", "code", "pre"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    for table in re.findall("<table>(.*?)</table>", shown, re.S):
        head = len(re.findall("<th>", table))
        rows = re.findall("<tr>(.*?)</tr>", table, re.S)[1:]
        assert {len(re.findall("<td>", row)) for row in rows} <= {head}


@pytest.mark.parametrize("value", [None, "", "  ", "\u200b"[:0]])
def test_nothing_is_shown_as_nothing(value: str | None) -> None:
    assert _span(value) == "–"


def test_what_is_unknown_is_called_so() -> None:
    assert _span({"unknown": "not read"}) == "*unknown:* `not read`"
