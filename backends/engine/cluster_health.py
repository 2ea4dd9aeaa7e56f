"""Asks what has to hold of the whole cluster: a command here, or a value on a node."""

import asyncio
import os
from collections.abc import Mapping, Sequence

from backends.domain.clean import line
from backends.domain.cluster_health import ClusterCheck, condition_of
from backends.domain.conditions import Condition, ConditionState
from backends.domain.facts import Unknown
from backends.domain.problem import Problem
from backends.engine.contact import Contact
from backends.engine.valuing import value_of

_LATER = 21
"""The exit code that means: not yet, ask again."""

_MOST_BYTES = 4096


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
        try:
            async with asyncio.timeout(check.timeout_seconds):
                return await (self._run(check) if check.command else self._read(check))
        except TimeoutError:
            return ConditionState.WAIT, f"no answer within {check.timeout_seconds:g} s"

    async def _run(self, check: ClusterCheck) -> tuple[ConditionState, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *check.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        except OSError as error:
            return ConditionState.REFUSED, f"{check.command[0]}: {error.strerror}"
        try:
            said = await _some(process.stdout)
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = line(said.decode("utf-8", "replace"))[-300:] or f"exit {code}"
        if code == 0:
            return ConditionState.OK, text
        state = ConditionState.WAIT if code == _LATER else ConditionState.REFUSED
        return state, f"exit {code}: {text}"

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


async def _some(stream: asyncio.StreamReader | None) -> bytes:
    """The end of what it said: as much as fits into a line."""
    kept = b""
    while stream is not None and (piece := await stream.read(_MOST_BYTES)):
        kept = (kept + piece)[-_MOST_BYTES:]
    return kept
