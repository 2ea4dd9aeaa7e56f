"""The vocabulary that the updater and the operator's side share.

This file is read by both, and the node's Python is the older one, so it obeys the node's rules:
standard library only, Python 3.6. The enums of `backends.domain` repeat these words; a test
compares the two sets.
"""

from typing import Any, Dict, Tuple

from backends.node.canonical import StrictError, canonical, parse

PROTOCOL = 1
"""Raised when a message changes its meaning. Another number on the node gets no commands."""

RELEASE_NAMESPACE = "liftlock-release@v1"
"""What an OpenSSH signature has to have been made for, to be one over a release."""

SCHEMA = "liftlock.node/1"

COMMANDS = (
    "status",
    "watch",
    "stage",
    "check",
    "install",
    "accept",
    "extend",
    "rollback",
    "finalize",
    "adopt",
    "recover",
    "restart",
    "verify",
    "value",
    "begun_as",
    "conflicts",
    "journal",
    "clean",
)

READ_ONLY = frozenset(["status", "watch", "value", "begun_as", "journal", "conflicts"])
"""Commands that write nothing, recover nothing and leave no file behind."""

STAYING = frozenset(["status", "journal", "check", "conflicts"])
"""Commands whose request may say `"stay": true`: the updater then waits for another request.

Asked twice they are asked once: whoever got no answer may ask again.
"""

STAY_SECONDS = 60.0
"""How long an updater that stays waits for the next request."""

STATES = (
    "unknown",
    "idle",
    "inspecting",
    "staging",
    "staged",
    "checking",
    "checked",
    "installing",
    "monitoring",
    "held",
    "accepted",
    "finalizing",
    "rolling_back",
    "rolled_back",
    "failed",
    "inconsistent",
    "excluded",
    "disabled",
)

OUTCOMES = ("ok", "refused", "failed", "timed_out", "unreachable", "undone", "unproven")

SERVICE = ("started", "stopped", "unknown")

HEALTH = ("healthy", "soft_failing", "failing", "none", "unknown")

RECORDS = (
    "BEGIN",  # the transaction exists; nothing is changed yet
    "HOOK",  # which second layer would resume us after a power cut
    "CONFIG",  # which edited configuration files stay, and where a new default is put beside
    "BASELINE",  # which soft checks fail with the old version
    "INTENTS",  # every before-image is durable
    "BACKUPS",  # every backup is durable
    "QUIET",  # the service is gone: what lives on was looked at, and is kept next
    "DATA",  # the product's data was copied while nobody wrote it
    "CALL",  # a hook of the profile is run, or was undone
    "SVC",  # a service verb and what came of it
    "EFFECT",  # one step is in place
    "TARGET",  # the new tree was read again and equals the release
    "TRIAL",  # the new version serves; the dead-man timer runs
    "CHECK",  # a health check changed its answer
    "HEALTHY",  # all hard checks passed for `min_healthy` seconds
    "UNHEALTHY",  # and then one did not
    "TAKEOVER",  # a driver that hung was ended, and another one goes on
    "RESTART",  # the process was replaced by another one
    "TICK",  # time that passed in the trial, so that a reboot cannot extend it
    "EXTEND",  # a person moved the end of the accept window
    "HELD",  # the policy is to wait for a person
    "ACCEPT",  # decision: stays, still reversible
    "ROLLBACK",  # decision: goes back
    "CHOICE",  # a person changed whether newer data is kept
    "FINALIZE",  # decision: stays, no longer reversible
    "EVIDENCE",  # what the service said before it was undone
    "UNDO",  # one step was taken back
    "PROOF",  # one thing was compared with its before-image
    "CONFLICT",  # something foreign or edited was moved aside, never away
    "RESTORED",  # every path equals its before-image
    "UNPROVEN",  # some do not, or the old version does not answer
    "END",  # the transaction is over
    # The product's own journal, outside transactions:
    "STAGE",
    "ROW",
    "ADOPT",
    "VERIFY",
    "RESTARTING",  # the service is stopped and started next, by a person's word
    "RESTARTED",  # what came of that
    "CLEAN",
)

DECISIONS = frozenset(["ACCEPT", "ROLLBACK", "FINALIZE"])

ROW_RESULTS = ("ok", "warn", "refused", "unknown")

MAX_LINE = 1 << 20
"""Bytes of the longest line in either direction."""

MAX_CONFIGURATION = 4 << 20
"""Bytes of all configuration together that comes with a release, from elsewhere."""

MAX_REQUEST = 32
"""Letters of a request's id."""

CHUNK = 65536
"""Bytes sent or read at once while staging."""

END_OF_FRAMES = b"END\n"


class WireError(ValueError):
    """A line that is no message."""


def encode(message: Dict[str, Any]) -> bytes:
    """One message as one line.

    Raises:
        WireError: The message would be longer than `MAX_LINE`.
    """
    line = canonical(message) + b"\n"
    if len(line) > MAX_LINE:
        raise WireError("message of %d bytes, at most %d" % (len(line), MAX_LINE))
    return line


def decode(line: bytes) -> Dict[str, Any]:
    """The message in one line, read strictly.

    Raises:
        WireError: Too long, or not the strict JSON object that `canonical.parse` reads.
    """
    try:
        message = parse(line, MAX_LINE)
    except StrictError as error:
        raise WireError(str(error)) from error
    if not isinstance(message, dict):
        raise WireError("no JSON object")
    return message


def request_of(args: Any) -> Dict[str, Any]:
    """`{"request": id}`, as a request's arguments name it; empty where they name none.

    It stands in each record that a request leads to, and in `updater.log`, so that a line of the
    operator's journal is found here. Programs from before it do not name one, and updaters from
    before it pass over it.
    """
    said = args.get("request") if isinstance(args, dict) else None
    if not isinstance(said, str) or not said.isalnum() or len(said) > MAX_REQUEST:
        return {}
    return {"request": said} if all(ord(each) < 128 for each in said) else {}


def frame_header(sha256: str, offset: int, length: int) -> bytes:
    """The line before a piece of a blob on the way to `stage`."""
    return ("%s %d %d\n" % (sha256, offset, length)).encode("ascii")


def parse_frame_header(line: bytes) -> Tuple[str, int, int]:
    """The `sha256, offset, length` of a frame.

    Raises:
        WireError: The line is no frame header.
    """
    words = line.decode("ascii", "replace").split()
    if len(words) != 3 or len(words[0]) != 64 or set(words[0]) - set("0123456789abcdef"):
        raise WireError("no frame header: %r" % line[:100])
    if not (words[1].isdigit() and words[2].isdigit()) or len(words[1] + words[2]) > 30:
        raise WireError("no frame header: %r" % line[:100])
    return words[0], int(words[1]), int(words[2])


def problem(code: str, summary: str, evidence: str = "", advice: str = "") -> Dict[str, str]:
    """A problem as it travels; `backends.domain.problem.Problem` on the other side."""
    return {"code": code, "summary": summary, "evidence": evidence, "advice": advice}
