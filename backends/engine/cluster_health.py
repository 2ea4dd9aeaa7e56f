"""Asks what has to hold of the whole cluster: a command here, or a value on a node."""

import asyncio
from collections.abc import Mapping, Sequence

from backends.domain.cluster_health import ClusterCheck, condition_of
from backends.domain.conditions import Condition, ConditionState
from backends.domain.facts import Unknown
from backends.domain.problem import Problem
from backends.engine.contact import Contact
from backends.engine.here import run_here
from backends.engine.valuing import value_of

_LATER = 21
"""The exit code that means: not yet, ask again."""


class ClusterHealth:
    """The questions of one profile about one cluster."""

    def __init__(
        self,
        checks: Sequence[ClusterCheck],
        contacts: Mapping[str, Contact],
        environment: Mapping[str, str],
        patience_seconds: float,
    ) -> None:
        """`environment` is what commands find besides ours: the cluster, the run, versions."""
        self._checks = checks
        self._contacts = contacts
        self._environment = environment
        self._patience = patience_seconds

    async def conditions(self) -> tuple[Condition, ...]:
        """One for each question, all asked at once; what is not known is refused."""
        answers = await asyncio.gather(*map(self._ask, self._checks))
        return tuple(
            condition_of(check, state, said, self._patience)
            for check, (state, said) in zip(self._checks, answers, strict=True)
        )

    async def _ask(self, check: ClusterCheck) -> tuple[ConditionState, str]:
        if check.command:
            return await self._run(check)
        try:
            async with asyncio.timeout(check.timeout_seconds):
                return await self._read(check)
        except TimeoutError:
            return ConditionState.WAIT, f"no answer within {check.timeout_seconds:g} s"

    async def _run(self, check: ClusterCheck) -> tuple[ConditionState, str]:
        ran = await run_here(check.command, self._environment, check.timeout_seconds)
        if ran.code is None:
            return ConditionState.REFUSED, ran.said
        if ran.code == 0:
            return ConditionState.OK, ran.said or "exit 0"
        state = ConditionState.WAIT if ran.code == _LATER else ConditionState.REFUSED
        return state, f"exit {ran.code}: {ran.said}"

    async def _read(self, check: ClusterCheck) -> tuple[ConditionState, str]:
        """What a node says; one that says something else may still come right."""
        names = [check.node] if check.node else list(self._contacts)
        said = "no node to ask"
        for name in names:
            if name not in self._contacts:
                return ConditionState.REFUSED, f"there is no node {name} to ask"
            found = await value_of(self._contacts[name], check.value)
            if isinstance(found, Problem | Unknown):
                why = found.code if isinstance(found, Problem) else found.reason
                said = f"unknown on {name}: {why}"
                continue
            text = "none" if found is None else str(found)
            is_it = text == check.equals
            state = ConditionState.OK if is_it else ConditionState.WAIT
            wanted = "" if is_it else f", wanted {check.equals}"
            return state, f"{name} says {text}{wanted}"
        return ConditionState.WAIT, said
