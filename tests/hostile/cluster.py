"""Three settled nodes behind real servers, of which the last says what it is told to say."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.drills.sshd import PATH, Operator, SshCluster, Sshd, privilege_separation
from tests.hostile import talker


@contextmanager
def talking_cluster(top: Path) -> Iterator[SshCluster]:
    """What the last node says is in the file `mode`; `talker` has the modes."""
    top.mkdir(parents=True)
    tools = top / "tools"
    tools.mkdir()
    python = tools / "python3"
    here = shlex.quote(str(Path(talker.__file__).parents[2]))
    words = [sys.executable, "-m", talker.__name__, str(top / "cluster" / "mode"), sys.executable]
    python.write_text(f'#!/bin/sh\nPYTHONPATH={here} exec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    operator = Operator(top / "operator")
    servers = [Sshd(top / f"sshd{number}", f"127.0.0.{number}") for number in (2, 3, 4)]
    servers[-1].path = f"{tools}:{PATH}"
    with ExitStack() as stack:
        stack.enter_context(privilege_separation())
        for server in servers:
            stack.callback(server.stop)
            server.lets_in(operator)
            server.start()
        operator.knows(*servers)
        cluster = SshCluster(top / "cluster", servers, operator)
        stack.callback(cluster.close)
        (cluster.top / "mode").write_text("quiet")
        cluster.settle("4.11.0")
        yield cluster
