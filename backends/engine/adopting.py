"""`adopt` with the release that a cluster came from: it is brought to the nodes first.

Nothing that runs is touched: the node holds what lies there against what was staged.
"""

import asyncio
from collections.abc import Mapping

from backends.domain.staging import Staging
from backends.domain.states import Phase
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.rate import Rate
from backends.engine.results import NodeResult, not_done
from backends.engine.scribe import Scribe
from backends.engine.spool import spool
from backends.releases.read import Release


async def bring(
    contacts: Mapping[str, Contact],
    release: Release,
    run: str,
    scribe: Scribe,
    staging: Staging,
    uploads: int,
) -> dict[str, NodeResult]:
    """Stage the release on every node, at most `uploads` at once; those where that failed."""
    at_once, rate = asyncio.Semaphore(uploads), Rate(staging.bytes_per_second)
    about = {
        "schema": "liftlock.run/1",
        "run": run,
        "version": release.manifest.version,
        "digest": release.digest,
        "nodes": [*contacts],
    }

    async with spool(release) as source:

        async def one(contact: Contact) -> NodeResult | None:
            node = contact.node

            def progress(sent: int, of: int) -> None:
                data = {"sent": sent, "of": of}
                text = f"{sent} of {of} bytes"
                scribe.say(Kind.PROGRESS, text, node=node, phase=Phase.STAGE, data=data)

            scribe.say(Kind.PHASE, "begins", node=node, phase=Phase.STAGE)
            async with at_once:
                answer = await contact.stage(
                    release, run, about, source, progress, staging=staging, rate=rate
                )
            if answer.is_ok:
                scribe.say(Kind.RESULT, "ok", node=node, phase=Phase.STAGE)
                return None
            found = not_done(node, answer, Phase.STAGE)
            if found.problem is not None:
                scribe.problem(found.problem, node=node, phase=Phase.STAGE)
            return found

        found = await asyncio.gather(*(one(contact) for contact in contacts.values()))
    return {result.node: result for result in found if result is not None}
