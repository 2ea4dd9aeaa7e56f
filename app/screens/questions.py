"""The questions that are asked before something changes: what will be, and what is given up."""

from collections.abc import Sequence

from app.screens.dialogs import Asked
from app.state import Run, State
from app.view.words import keyed
from backends.domain.facts import NodeReading
from backends.domain.problem import Problem
from backends.domain.survey import listed, unsigned
from backends.domain.verdict import Verdict
from backends.engine.acts import Preview
from widgets.cells import Line, Tone, line


def roll_back(nodes: Sequence[str], consequences: Sequence[str]) -> Asked:
    """Before a rollback."""
    first, *others = reversed(nodes)
    lines = [line(text) for text in consequences]
    if others:
        lines.append(line(f"{first} goes first; then you are asked about {listed(others)}."))
    return Asked("roll back", tuple(lines), f"Roll back {first}")


def go_on(last: str, rest: Sequence[str], sick: Problem | None) -> Asked:
    """After a node is back, and others are not."""
    lines: tuple[Line, ...] = (
        line((f"{last} is back, proven.", Tone.OK)),
        line(f"Go on with {listed(rest)}?"),
    )
    if sick is not None:
        lines = (
            line((f"{sick.summary}.", Tone.WARN)),
            *(line(text) for text in sick.evidence.splitlines()),
            line(f"Go on with {listed(rest)} all the same? Each is down while it goes back."),
        )
    return Asked("roll back the others", lines, f"Roll back {listed(rest)}", "Stop here")


def accept(node: str, reading: NodeReading | None) -> Asked:
    """Before a person keeps a version that the program did not accept."""
    facts = reading.facts if reading is not None else None
    opened = facts.transaction if facts is not None else None
    version = opened.to_version if opened is not None else "the new version"
    health = f"health: {facts.health} {facts.health_text}".rstrip() if facts is not None else ""
    lines = (
        line(f"{node} keeps {version}; its dead-man timer stops; it stays reversible."),
        line((health, Tone.WARN)),
    )
    return Asked(f"accept {node}", lines, f"Accept {version} on {node}", reason=True)


def finalize(version: str, verdict: Verdict, state: State) -> Asked:
    """Before there is no way back any more."""
    names = [name for name, known in state.known.items() if known.reading.left_out is None]
    not_signed = version in unsigned([known.reading for known in state.known.values()])
    lines = [
        line((f"{state.product} {version}", Tone.STRONG), f" becomes final on {listed(names)}."),
        *(line((f"left out: {name}: {why}", Tone.WARN)) for name, why in verdict.excluded),
        *([line(("NOT SIGNED: nobody vouches for it", Tone.WARN))] if not_signed else []),
        *_beside(state),
        line(f"way back until now: {keyed(verdict.way_back, state.called)}"),
        line(("way back afterwards: none; the backups are given up", Tone.WARN)),
    ]
    words = [(state.cluster, f"the cluster's name: {state.cluster}")]
    if state.environment == "production":
        words.append((version, f"the version: {version}"))
    return Asked(f"finalize {version}", tuple(lines), f"Finalize {version}", words=tuple(words))


def _beside(state: State) -> list[Line]:
    """Configuration that should be looked at before it is final."""
    found = [
        f"{name} {path}"
        for name, known in state.known.items()
        if known.reading.facts is not None and known.reading.facts.transaction is not None
        for path in known.reading.facts.transaction.beside
    ]
    if not found:
        return []
    text = f"yours stays, the new default lies beside it: {listed(found)}; C shows what differs"
    return [line((text, Tone.WARN))]


def stop_run(run: Run) -> Asked:
    """Before a run ends where it waits."""
    version = run.prepared.plan.release_version if run.prepared else ""
    lines = (
        line("What is accepted stays, still reversible; no further node is begun."),
        line(f"Choosing {version} again takes the run up where it is."),
    )
    return Asked("end the run here", lines, "End the run")


def adopt(previews: Sequence[Preview]) -> Asked:
    """Before what runs is recorded as finalized."""
    lines: list[Line] = []
    for preview in previews:
        lines += [
            line((preview.node, Tone.STRONG)),
            *(line(f"  {text}") for text in preview.lines),
        ]
    return Asked("adopt: record this as finalized", tuple(lines), "Record it")


def downgrade(version: str) -> Asked:
    """Before an older version is planned."""
    lines = (
        line(f"{version} is older than what runs. What was written since may not be readable."),
        line("Nothing is changed yet: the plan is made again, and says that it is a downgrade."),
    )
    return Asked(f"downgrade to {version}", lines, f"Plan the downgrade to {version}", reason=True)


def reinstall(version: str, nodes: Sequence[str]) -> Asked:
    """Before what is there already is planned again."""
    lines = (
        line(f"{version} is installed again on {listed(nodes)}, through all checks, and watched."),
        line("What lies there now is kept aside; what differs is in conflicts/ once it is final."),
        line("Nothing is changed yet: the plan is shown first."),
    )
    return Asked(f"install {version} again", lines, f"Plan it on {listed(nodes)}", reason=True)
