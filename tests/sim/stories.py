"""The stories that a real node and a simulated one tell alike: what is asked, in which order."""

from tests.sim.sides import RUN, Side, assert_offsets
from tests.support.beacon import Beacon

OLD, NEW = Beacon("1.0"), Beacon("2.0")
SICK = Beacon("3.0", sick=True)


def adopted(side: Side, *, in_place: bool = False) -> None:
    """The state before most stories: the old version runs, final."""
    if not in_place:
        side.put_in_place(OLD)
    about = {"run": "1119-one", "version": OLD.version, "digest": OLD.digest}
    assert side.ask("adopt", **about).outcome == "ok"


# --- the stories --------------------------------------------------------------------------------


def there_and_back_and_there(side: Side) -> None:
    """Never managed, adopted, upgraded, accepted, taken back, upgraded again, finalized."""
    side.put_in_place(OLD)
    assert side.look()["finalized"] is None
    shown = side.ask("adopt", "adopt preview", preview=True).all("adopted")[0]
    about = {"run": "1119-one", "version": OLD.version, "digest": shown["digest"]}
    assert side.ask("adopt", **about).outcome == "ok"
    assert side.preflight(NEW).outcome == "ok"
    assert side.install(NEW).code == "not-checked"
    side.stage(NEW)
    assert side.look()["state"] == "staged"
    side.check(NEW)
    assert side.look()["state"] == "checked"
    side.install(NEW)
    side.until_healthy()
    assert side.look()["state"] == "monitoring"
    assert side.install(SICK, run="1120-bbb").code == "upgrade-open"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).code == "not-accepted"
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.look()["state"] == "accepted"
    side.ask("rollback", run=RUN, why="we do not like it")
    followed = side.ask("journal", "journal to the end", run=RUN, offset=0, follow=True, beat=5)
    assert followed.outcome == "undone"
    assert_offsets(followed.messages)
    side.until_closed()
    assert side.look()["state"] == "rolled_back"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.ask("accept", run=RUN, how="auto").code == "no-upgrade-open"
    side.install(NEW)
    side.until_healthy()
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    side.ask("finalize", run=RUN, digest=NEW.digest)
    side.until_closed()
    assert side.look()["finalized"]["version"] == NEW.version
    side.ask("clean", preview=True, everything=False)


def said_twice(side: Side) -> None:
    """What is asked again, or of the wrong run, is answered the same."""
    side.put_in_place(OLD)
    wrong = {"run": "1119-one", "version": OLD.version, "digest": "0" * 64}
    assert side.ask("adopt", **wrong).code == "changed-meanwhile"
    adopted(side, in_place=True)
    assert side.ask("adopt", preview=True).code == "already-managed"
    side.stage(NEW)
    side.stage(NEW)
    side.check(NEW)
    side.install(NEW)
    side.until_healthy()
    side.install(NEW)
    assert side.preflight(NEW).code == "locked"
    assert side.ask("verify").code == "locked"
    assert side.ask("accept", run="1120-bbb", how="auto").code == "other-run"
    side.ask("accept", run=RUN, how="auto", reason="")
    side.ask("accept", run=RUN, how="auto", reason="")
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.ask("extend", run=RUN, seconds=60).code == "not-extendable"
    followed = side.ask("journal", run=None, offset=0, follow=True, beat=5)
    assert followed.outcome == "ok"
    assert_offsets(followed.messages)
    half = followed.all("record")[5]["offset"]
    side.ask("journal", "half a journal", run=None, offset=half)


def with_nothing_open(side: Side) -> None:
    """Everything that needs an open upgrade is refused without one."""
    side.put_in_place(OLD)
    assert side.ask("verify", "verify what nobody knows").code == "nothing-recorded"
    adopted(side, in_place=True)
    assert side.ask("accept", run=RUN, how="auto").code == "no-upgrade-open"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).code == "no-upgrade-open"
    assert side.ask("extend", run=RUN, seconds=60).code == "no-upgrade-open"
    assert side.ask("recover").outcome == "ok"
    assert side.ask("journal", run=None, offset=0, follow=True).messages[-1]["outcome"] == "ok"
    assert side.ask("journal", run="-").all("record")[0]["record"]["t"] == "ADOPT"
    assert side.ask("clean", preview=True, everything=False).outcome == "ok"
    assert side.ask("clean", preview=True, everything=True).outcome == "ok"


def never_healthy(side: Side) -> None:
    """A release that never becomes healthy is undone by the node itself."""
    adopted(side)
    side.document["limits"]["healthy_deadline"] = 0.5
    side.begin(SICK)
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "undone"
    assert_offsets(followed.messages)
    side.until_closed()
    assert side.look()["last"]["outcome"] == "undone"
    side.ask("clean", "clean preview", preview=True, everything=False)
    side.ask("clean", "clean everything preview", preview=True, everything=True)


def to_the_end(side: Side) -> None:
    """Accepted, finalized, and every trace removed."""
    adopted(side)
    side.accept(NEW)
    assert side.ask("clean", preview=True, everything=False).code == "upgrade-open"
    assert side.ask("adopt", preview=True).code == "upgrade-open"
    assert side.stage(NEW).code == "upgrade-open"
    assert side.ask("verify", "verify what is accepted").outcome == "ok"
    assert side.ask("conflicts").outcome == "ok"
    assert side.ask("finalize", run=RUN, digest=OLD.digest).code == "other-version"
    assert side.ask("finalize", run=RUN, digest=NEW.digest).outcome == "ok"
    side.until_closed()
    assert side.look()["finalized"]["version"] == NEW.version
    assert side.ask("finalize", run=RUN, digest=NEW.digest).all("already")
    about = {"version": NEW.version, "digest": NEW.digest}
    assert side.ask("check", "check installed", scope="installed", **about).outcome == "ok"
    assert side.ask("verify").outcome == "ok"
    put_back = side.edit(NEW.version, "VERSION")
    assert side.ask("verify", "verify what was edited").code == "drift"
    put_back()
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("journal", run=RUN, offset=0)
    side.ask("clean", "clean everything", everything=True)
    assert side.look()["installed"] == [OLD.version, NEW.version]


def from_nothing(side: Side) -> None:
    """The first install, and its way back, which is to remove it."""
    assert side.look()["selected"] is None
    assert side.ask("adopt", preview=True).code == "nothing-to-adopt"
    assert side.ask("verify").code == "nothing-to-verify"
    side.accept(NEW)
    assert side.look()["running"] == NEW.version
    side.ask("rollback", run=RUN, why="no")
    side.ask("journal", run=RUN, offset=0, follow=True)
    side.until_closed()
    assert side.look()["selected"] is None


def held_and_extended(side: Side) -> None:
    """The policy is to wait for a person, who then keeps it."""
    adopted(side)
    side.document["limits"]["healthy_deadline"] = 0.4
    side.begin(SICK, on_failure="hold")
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "ok"
    side.until(lambda facts: facts["state"] == "held" and not facts["transaction"]["driver"])
    side.look()
    assert side.ask("accept", run=RUN, how="manual").code == "not-acceptable"
    assert side.ask("extend", run=RUN, seconds=1, reason="short").code == "not-later"
    assert side.ask("extend", run=RUN, seconds=60, reason="lunch").outcome == "ok"
    side.until(lambda facts: facts["state"] == "held" and not facts["transaction"]["driver"])
    assert side.ask("accept", run=RUN, how="manual", reason="it must").outcome == "ok"
    assert side.look()["state"] == "accepted"
    side.ask("journal", run=None, offset=0)


def nobody_came(side: Side) -> None:
    """The accept window ends without a decision: healthy, it is kept, as the policy says."""
    adopted(side)
    side.document["limits"] |= {"accept_window": 1.5, "healthy_deadline": 1.0}
    side.begin(NEW, if_operator_vanishes="keep_if_healthy")
    assert side.ask("journal", run=None, offset=0, follow=True).outcome == "ok"
    side.until(lambda facts: not facts["transaction"]["driver"])
    side.look()


def left_in_the_middle(side: Side) -> None:
    """The driver was killed; the next acting command first brings the node to rest."""
    adopted(side)
    side.begin(NEW)
    side.until_healthy()
    side.kill_driver()
    assert side.look()["state"] == "inconsistent"
    followed = side.ask("journal", "follow nobody", run=None, offset=0, follow=True)
    assert followed.code == "driver-gone"
    assert side.ask("accept", run=RUN, how="auto").code == "driver-gone"
    assert side.ask("rollback", run=RUN, why="").code == "no-upgrade-open"
    assert side.look()["state"] == "rolled_back"
    side.ask("journal", run=RUN, offset=0)
    side.begin(NEW)
    side.until_healthy()
    assert side.look()["transaction"]["txn"] == f"{RUN}.2"


def falls_sick(side: Side) -> None:
    """Healthy, then gone: it goes back."""
    adopted(side)
    side.document["limits"] |= {"healthy_deadline": 1.0}
    side.begin(NEW)
    side.until_healthy()
    side.kill_service()
    followed = side.ask("journal", run=None, offset=0, follow=True)
    assert followed.outcome == "undone"
    assert "UNHEALTHY" in [message["record"]["t"] for message in followed.all("record")]
    side.until_closed()
    side.look()


def edited_meanwhile(side: Side) -> None:
    """Somebody edits the old version in the trial: the way back is not proven until repaired."""
    adopted(side)
    side.begin(NEW)
    side.until_healthy()
    put_back = side.edit(OLD.version, "VERSION")
    assert side.ask("rollback", run=RUN, why="no").outcome == "ok"
    assert side.ask("journal", run=RUN, offset=0, follow=True).outcome == "unproven"
    side.until(lambda facts: facts["state"] == "inconsistent")
    assert side.look()["problem"]["code"] == "undo-unproven"
    put_back()
    assert side.ask("rollback", run=RUN, why="again").code == "no-upgrade-open"
    side.ask("journal", run=RUN, offset=0)
    assert side.look()["state"] == "rolled_back"


def edited_once_accepted(side: Side) -> None:
    """What serves is not stopped for an old version that somebody has edited."""
    adopted(side)
    side.accept(NEW)
    put_back = side.edit(OLD.version, "VERSION")
    assert side.ask("rollback", run=RUN, why="no").code == "old-version-changed"
    assert side.look()["state"] == "accepted"
    put_back()
    assert side.ask("rollback", run=RUN, why="again").outcome == "ok"
    assert side.ask("journal", run=RUN, offset=0, follow=True).outcome == "undone"
    side.until_closed()
    side.look()


def installed_again(side: Side) -> None:
    """What has drifted is put right by installing it again, and taken back as it was before."""
    adopted(side)
    side.accept(NEW)
    side.ask("finalize", run=RUN, digest=NEW.digest)
    side.until_closed()
    side.edit(NEW.version, "VERSION")
    assert side.ask("verify").code == "drift"
    again = "1121-bbb"
    side.begin(NEW, again)
    side.until_healthy()
    side.ask("rollback", run=again, why="not now")
    assert side.ask("journal", run=again, offset=0, follow=True).outcome == "undone"
    side.until_closed()
    assert side.ask("verify", "verify what came back").code == "drift"
    again = "1121-ccc"
    side.accept(NEW, again)
    side.ask("finalize", run=again, digest=NEW.digest)
    side.until_closed()
    assert side.ask("verify", "verify what was repaired").outcome == "ok"
    assert side.look()["previous"]["version"] == OLD.version
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("journal", "journal of the repair", run=again, offset=0)


def adopted_as_released(side: Side) -> None:
    """What runs is held against the release that it came from, and recorded as that."""
    side.put_in_place(OLD)
    about = {"run": "1119-one", "version": OLD.version, "digest": OLD.digest, "released": True}
    nothing = side.ask("adopt", "adopt what was not staged", preview=True, released=True)
    assert nothing.code == "other-release"
    side.edit(OLD.version, "beacon.py")
    side.stage(OLD)
    assert side.ask("adopt", "look", preview=True, released=True).outcome == "ok"
    assert side.ask("adopt", **about).outcome == "ok"
    assert side.ask("verify").code == "drift"
    assert side.look()["finalized"]["digest"] == OLD.digest
    assert side.ask("adopt", "twice", preview=True, released=True).code == "already-managed"
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("clean", preview=True, everything=False)


def softly_sick(side: Side) -> None:
    """A soft check that fails undoes nothing; it is told apart from a hard one."""
    side.document["health"][0]["level"] = "soft"
    adopted(side)
    side.begin(SICK)
    side.until_healthy()
    assert side.look()["health"] == "soft_failing"
    side.ask("rollback", run=RUN, why="we do not like it")
    side.until_closed()
    assert side.look()["health"] == "healthy"


def taken_over(side: Side) -> None:
    """A person ends the updater at work by name; another one watches on."""
    adopted(side)
    about = {"run": RUN, "takeover": True, "reason": "it hangs", "operator": "bob@here"}
    assert side.ask("recover", "nothing to take over", **about).code == "no-upgrade-open"
    side.begin(NEW)
    side.until_healthy()
    assert side.ask("recover", "take over", **about).outcome == "ok"
    side.until_healthy()
    assert side.look()["state"] == "monitoring"
    assert side.ask("accept", run=RUN, how="auto", reason="").outcome == "ok"
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.ask("recover", "too late", **about).code == "nothing-to-take-over"


def no_request(side: Side) -> None:
    """What is no request is answered whole, too."""
    side.ask("dance")
    assert side.said[-1][1][-1]["problem"]["code"] == "protocol-mismatch"
    assert side.ask("clean").code == "updater-defect"
    assert side.ask("check", scope="weather").code == "updater-defect"


def restarted(side: Side) -> None:
    """A service is restarted on what is final and on what is accepted, never in a trial."""
    about = {"run": "1120-rrr", "reason": "it leaks", "second_layer": "none"}
    assert side.ask("restart", "restart nothing", **about).code == "nothing-to-restart"
    adopted(side)
    side.disable("closed for today")
    assert side.ask("restart", "restart what is disabled", **about).code == "disabled"
    side.disable(None)
    assert side.ask("restart", **about).outcome == "ok"
    side.look()
    assert side.ask("restart", "restart once more", **about).all("restarted")
    side.begin(NEW)
    side.until_healthy()
    about["run"] = "1120-sss"
    assert side.ask("restart", "restart in a trial", **about).code == "upgrade-open"
    assert side.ask("finalize", "preview in a trial", preview=True).code == "not-accepted"
    assert side.ask("accept", run=RUN, how="auto", reason="").outcome == "ok"
    side.until(lambda facts: not facts["transaction"]["driver"])
    assert side.ask("finalize", "preview", preview=True).all("finality")[0]["process"] == "same"
    assert side.ask("restart", "restart what is accepted", **about).outcome == "ok"
    assert side.look()["state"] == "accepted"
    shown = side.ask("finalize", "preview again", preview=True).all("finality")[0]
    assert (shown["process"], len(shown["events"])) == ("other", 1)
    side.ask("finalize", run=RUN, digest=NEW.digest)
    side.until_closed()
    assert side.ask("finalize", "preview of what is final", preview=True).all("already")
    side.ask("journal", "own journal", run="-", offset=0)


def valued(side: Side) -> None:
    """Values that the profile names are read where the product is; unknown is an answer."""
    url = side.document["health"][0]["url"]
    side.document["named"] = {"version": {"http": url, "field": "version"}}
    assert side.ask("finalize", "nothing to preview", preview=True).code == "no-upgrade-open"
    assert side.ask("value", "not installed", name="version").outcome == "ok"
    side.put_in_place(OLD)
    assert side.ask("value", name="version").all("value")[0]["value"] == OLD.version
    assert side.ask("value", "of no name", name="zonk").code == "value-unknown"
    side.kill_service()
    assert "unknown" in side.ask("value", "stopped", name="version").all("value")[0]["value"]


def begun_by_another(side: Side) -> None:
    """Whoever takes a run up can read how it was begun, while it is the newest that staged."""
    assert side.ask("begun_as", "of nothing", run=RUN).all("begun_as")[0]["run"] is None
    adopted(side)
    side.begin(NEW)
    side.until_healthy()
    assert side.ask("begun_as", run=RUN).all("begun_as")[0]["run"]["run"] == RUN
    assert side.ask("begun_as", "another", run="x").all("begun_as")[0]["run"] is None


def configured_anew(side: Side) -> None:
    """Other configuration alone: staged beside, installed, taken back, installed, final."""
    first = Beacon("1.0", fetched={"etc/main": b"1\n", "VERSION": b"1.0\n\n"})
    then = Beacon("1.0", fetched={"etc/main": b"2\n", "etc/deep/er": b"new\n"})
    side.accept(first)
    side.ask("finalize", run=RUN, digest=first.digest)
    side.until_closed()
    again = "1121-bbb"
    side.begin(then, again)
    side.until_healthy()
    assert side.look()["staged"] == []
    side.ask("rollback", run=again, why="not now")
    assert side.ask("journal", run=again, offset=0, follow=True).outcome == "undone"
    side.until_closed()
    assert side.look()["staged"] == ["1.0"]
    assert side.ask("verify", "verify what came back").outcome == "ok"
    again = "1121-ccc"
    side.accept(then, again)
    assert side.ask("verify", "verify what was accepted").outcome == "ok"
    side.ask("finalize", run=again, digest=then.digest)
    side.until_closed()
    assert side.look()["finalized"]["digest"] == then.digest
    assert side.ask("verify").outcome == "ok"
    side.ask("journal", "own journal", run="-", offset=0)
    side.ask("journal", "journal of the other", run=again, offset=0)


def configuration_staged(side: Side) -> None:
    """What is staged with other configuration is not what runs, until it is installed."""
    first, then = Beacon("1.0"), Beacon("1.0", fetched={"VERSION": b"1.0\n\n"})
    side.accept(first)
    side.ask("finalize", run=RUN, digest=first.digest)
    side.until_closed()
    assert side.stage(then).outcome == "ok"
    assert side.look()["staged"] == ["1.0"]
    assert side.ask("verify").outcome == "ok"
    assert side.check(first).code == "check-refused"
    assert side.stage(first).outcome == "ok"
    assert side.check(then).code == "check-refused"
    assert side.look()["staged"] == []
    assert side.stage(then).outcome == "ok"
    assert side.ask("clean", everything=False).outcome == "ok"
    assert side.look()["staged"] == []


def configuration_refused(side: Side) -> None:
    """What does not fit, and what is not the release that is final."""
    for fetched in ({"../out": b"x"}, {"VERSION/in": b"x"}):
        assert side.stage(_Unfit("1.0", fetched=fetched)).code == "configuration-unsafe"
    adopted(side)
    over = Beacon("1.0", fetched={"VERSION": b"1.0\n\n"})
    assert side.stage(over).code == "version-taken"


class _Unfit(Beacon):
    """A release with configuration that does not fit: nobody could say its digest."""

    @property
    def digest(self) -> str:
        return "0" * 64
