"""A plan and its gate, line by line."""

from app.headless.lines import wrapped
from app.history.last_time import LastTime
from backends.domain.gates import Gate
from backends.domain.plan import NodePlan, Plan
from backends.domain.states import Phase


def plan(found: Plan, until: Phase = Phase.FINALIZE, last: LastTime | None = None) -> list[str]:
    """The plan, step by step, as it will be carried out, up to a phase; and how long it took."""
    phases = [*Phase]
    phases = phases[: phases.index(until) + 1]
    lines = [
        f"plan {found.id}: {found.product} to {found.release_version} on {found.cluster}",
        f"  release  {found.release_digest}",
        *wrapped(f"  origin   {found.provenance}", " " * 11),
        f"  updater  {found.updater_digest}",
        f"  pace     batch {found.policy.batch}, pause {found.policy.pause}, accept "
        f"{found.policy.accept}, nobody there: {found.policy.if_operator_vanishes}",
        *(wrapped(f"  earlier  {last.words()}", " " * 11) if last else ()),
        *(f"  note     {note}" for note in found.notes),
    ]
    if found.batches:
        lines += ["", "who goes on serving"]
    for batch in found.batches:
        rest = "; ".join(map(str, batch.left)) or "as before: what is changed does not serve"
        lines += wrapped(f"  while {', '.join(batch.nodes)}: {rest}", "    ")
    for item in found.nodes:
        lines += ["", *wrapped(f"{item.node}  {_what(item)}", "    ")]
        for step in (each for each in item.steps if each.phase in phases):
            lines += wrapped(f"  {step.phase:<9} {step.title}", " " * 12)
            if step.requires:
                limit = step.at_most_seconds
                most = "" if limit is None else f"; at most {limit:g} s"
                lines += wrapped(f"            after {', '.join(step.requires)}{most}", " " * 18)
            for number, act in enumerate(step.actions, 1):
                lines += wrapped(f"            {number}  {act}", " " * 15)
            if step.undo:
                lines.append("            undo:")
            for act in step.undo:
                lines += wrapped(f"               {act}", " " * 17)
    return lines


def gate(found: Gate) -> list[str]:
    """Every condition of a gate: none is silent."""
    rows = [
        (
            f"  {c.state}",
            c.name,
            "; ".join(filter(None, (c.text, f"SKIPPED: {c.skipped}" if c.skipped else c.then))),
        )
        for c in found.conditions
    ]
    width = max(len(row[1]) for row in rows)
    head = f"gate {found.name}: {'open' if found.is_open else 'SHUT'}"
    return [
        head,
        *(
            line
            for state, name, text in rows
            for line in wrapped(f"{state:<10}{name:<{width}}  {text}", " " * (width + 12))
        ),
    ]


def _what(item: NodePlan) -> str:
    """What a plan does with a node; without steps there is no way to promise."""
    reason = f": {item.reason}" if item.reason else ""
    if item.steps:
        return f"{item.treatment}  {item.from_version or 'nothing'} -> {item.to_version}{reason}"
    return f"{item.treatment}{reason}"
