"""The first lines of every screen: what the cluster is and why; what is next; the way back."""

from app.state import Stage, State
from app.view.contact import beginning, link_is_gone
from app.view.next_step import NextStep, way_back
from app.view.words import Moment, span
from backends.domain.survey import are, listed
from backends.domain.verdict import Verdict, VerdictKind
from widgets.bar import Split
from widgets.cells import Cell, Line, Tone, line

_TONES = {
    VerdictKind.SETTLED: Tone.OK,
    VerdictKind.READY_TO_FINALIZE: Tone.OK,
    VerdictKind.UPGRADING: Tone.BUSY,
    VerdictKind.ROLLING_BACK: Tone.WARN,
    VerdictKind.DETERMINING: Tone.BUSY,
    VerdictKind.UNKNOWN: Tone.WARN,
    VerdictKind.UNMANAGED: Tone.WARN,
    VerdictKind.ABSENT: Tone.WARN,
    VerdictKind.INCONSISTENT: Tone.BAD,
    VerdictKind.FAILED: Tone.BAD,
    VerdictKind.MIXED: Tone.BAD,
}


def banner(
    state: State, verdict: Verdict, step: NextStep, moment: Moment, *, narrow: bool = False
) -> list[Split | Line]:
    """Three lines; where there is little room, nothing is said about services that all serve."""
    counts = _counts(state, verdict)
    if narrow and all(cell.tone is Tone.PLAIN for cell in counts):
        counts = ()
    return [
        Split((*_place(state), *_what(state, verdict, moment)), counts),
        step.words,
        way_back(state, verdict),
    ]


def _place(state: State) -> Line:
    environment = state.environment.upper()
    badge = Tone.BAD if state.environment == "production" else Tone.QUIET
    return line((state.cluster, Tone.STRONG), "  ", (environment, badge), f"  {state.product}  ")


def _what(state: State, verdict: Verdict, moment: Moment) -> Line:
    lost = link_is_gone(state)
    if lost is not None:
        lasts = span(moment.monotonic - lost)
        return line(("NO CONTACT", Tone.BAD), f" for {lasts}: your link, not the nodes")
    parts: list[Cell] = []
    if verdict.down:
        parts += [Cell(f"DOWN {listed(verdict.down)}", Tone.BAD), Cell("; ")]
    stopped = _stopped(state)
    if stopped:
        parts += [Cell("STOPPED", Tone.BAD), Cell(f": {stopped}; now ")]
    if verdict.drifted:
        parts += [Cell(f"DRIFT {listed(verdict.drifted)}", Tone.BAD), Cell("; ")]
    bad = [each for each in _not_verified(state) if each not in verdict.drifted]
    if bad:
        parts += [Cell(f"NOT VERIFIED {listed(bad)}", Tone.BAD), Cell("; ")]
    tone = Tone.BAD if bad or verdict.down or verdict.drifted else _TONES[verdict.kind]
    parts.append(Cell(verdict.title(), tone))
    cause = _begins(state) or ("" if stopped else _cause(verdict))
    return (*parts, Cell(f": {cause}")) if cause else tuple(parts)


def _cause(verdict: Verdict) -> str:
    """Why; of a settled cluster only what the title does not say."""
    if verdict.kind is VerdictKind.SETTLED:
        said = verdict.cause.partition("; ")[2]
        alone = len(verdict.drifted) == 1
        return said.replace(f"{verdict.drifted[0]} has drifted: ", "", 1) if alone else said
    return verdict.cause


def _not_verified(state: State) -> list[str]:
    """The nodes that the newest verification did not find as recorded, or could not ask."""
    run = state.verification
    return [each.node for each in run.bad] if run is not None and run.stage is Stage.OVER else []


def _stopped(state: State) -> str:
    """How the run of this screen ended, while nothing else began."""
    run = state.run
    if run is None or not run.failed or run.outcome is None:
        return ""
    words = ", ".join(f"{each.node} {each.result.replace('_', ' ')}" for each in run.bad)
    return words or run.outcome.text


def _begins(state: State) -> str:
    """What has just begun, as long as no reading of the node shows it."""
    nodes = beginning(state)
    return f"{are(nodes, 'begins', 'begin')} to change" if nodes else ""


def _counts(state: State, verdict: Verdict) -> Line:
    if not verdict.nodes_read:
        return line((f"0 of {verdict.nodes_total} read", Tone.WARN))
    counted = [reading for reading in state.as_read if not reading.left_out]
    serving = sum(1 for each in counted if each.read and each.facts and each.facts.serves)
    total, read = verdict.nodes_total, verdict.nodes_read
    found = line((f"serving {serving}/{total}", Tone.PLAIN if serving == total else Tone.WARN))
    if read == total:
        return found
    return (*found, Cell(" · "), Cell(f"{read} of {total} read", Tone.WARN))
