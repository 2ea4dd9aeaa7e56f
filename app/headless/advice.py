"""A row of `doctor`, and what to do about each that is not well."""

from dataclasses import dataclass

from backends.domain.clean import line


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at."""

    where: str
    """`here`, or a node."""

    what: str
    result: str
    """`ok | warn | refused | unknown`"""

    evidence: str
    advice: str = ""
    """What to do; empty where nothing has to be done."""

    def as_json(self) -> dict[str, str]:
        """One line of `--json`."""
        return {
            "schema": "liftlock.doctor/1",
            "where": self.where,
            "what": self.what,
            "result": self.result,
            "evidence": self.evidence,
            "advice": self.advice,
        }


def advised(where: str, what: str, result: str, evidence: str) -> Row:
    """A row, with advice unless it is ok; what a node or a file said in it is made fit to show."""
    where, what, result, evidence = map(line, (where, what, result, evidence))
    if result == "ok":
        return Row(where, what, result, evidence)
    return Row(where, what, result, evidence, _ADVICE.get(what, _OTHERWISE))


_OTHERWISE = "Look at what is named there; the README says what this row is about."

_ADVICE = {
    # here
    "program": "Install it into an environment of its own: pipx install .",
    "run history": "Give yourself the right to write there, or set LIFTLOCK_STATE_DIR.",
    "room": "Make room: what is not written down is not done.",
    "ssh config": "Correct it: ssh itself would stumble over it, too.",
    "client keys": "Make one (ssh-keygen -t ed25519), or name it in ssh config: IdentityFile.",
    "agent": "Start one (eval $(ssh-agent); ssh-add), or unset SSH_AUTH_SOCK.",
    "known_hosts": "Correct or remove these lines; liftlock trust records keys anew.",
    "ssh-keygen": "Install OpenSSH's client tools where releases are signed or verified.",
    "signers": "Write the file, see the README, or name another one: allowed_signers.",
    # a node
    "known": "Correct the name, or add the node to the cluster file.",
    "excluded": "Remove exclude from its line when the reason is over.",
    "sudo": "Allow the user sudo without a terminal, or correct become in the cluster file.",
    "python": "Install Python 3.6 or newer, or name one: python = ... in its line.",
    "needed commands": "Install them on the node.",
    "needed libraries": "Install them on the node.",
    "architecture": "Take a release for this machine.",
    "sequence": "Take a newer release, or say why an older one: --downgrade REASON.",
    "state directory": "Make it writable for who the updater runs as: become, state_dir.",
    "product directory": "Make it writable for who the updater runs as: become, directory.",
    "space": "Make room there: liftlock clean gives back what is staged.",
    "disk": "Make room soon: liftlock clean gives back what is staged.",
    "inodes": "Remove files there: an upgrade needs one for each of its files.",
    "data": "Make room beside the data, or correct [data] directories.",
    "lock": "Wait for the run that is named, or see who drives it: liftlock status.",
    "open upgrade": "Finish it first: the same upgrade again, accept, or liftlock rollback.",
    "not disabled": "Remove the file `disabled` in its state directory when the reason is over.",
    "last upgrade finalized": "liftlock finalize, liftlock rollback, or liftlock adopt.",
    "clock": "Set the node's clock, or yours: NTP.",
    "baseline": "Mend the service first; or install again what is there: --reinstall REASON.",
    "second layer": "Use root (become), and systemd or cron; without, look after a power cut.",
    "service tools": "Correct [service] in the profile, or install what it names.",
    "profile commands": "Install them there, or correct the profile.",
    "boot hook": "liftlock status says what is open; the next acting command puts it right.",
}
