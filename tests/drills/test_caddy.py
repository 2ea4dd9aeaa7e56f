"""A real product, Caddy, is asked by its own `caddy validate` before it is stopped (R6)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drills.caddy_server import CaddyCluster
from tests.drills.sshd import Operator, Sshd
from tests.support.cluster import Ran
from tests.support.mirror import a_mirror

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

OLD, NEW = "2.10.2", "2.11.1"
BROKEN = "respond /hello {"


@pytest.fixture
def caddy(
    make_sshd: Callable[..., Sshd], operator: Operator, tmp_path: Path
) -> Iterator[CaddyCluster]:
    """The old version, final; somebody has added a line to its configuration."""
    found = CaddyCluster(tmp_path / "harbor", [make_sshd()], operator)
    try:
        found.release(OLD)
        succeeds(found, found.upgrade(OLD))
        succeeds(found, found.run("finalize", str(found.file), "--yes"))
        edit(found, "respond /mine mine")
        yield found
    finally:
        found.close()


def succeeds(caddy: CaddyCluster, ran: Ran) -> None:
    """It ends well; else its journal says why not."""
    assert ran.status == 0, caddy.run("journal", str(caddy.file)).out


def edit(caddy: CaddyCluster, line: str) -> None:
    """Somebody adds a line, and has not told the server yet."""
    path = caddy.configuration("n1", OLD)
    text = path.read_text()
    path.write_text(text.replace("import sites", f"{line}\n\timport sites"))


def untouched(caddy: CaddyCluster) -> tuple[object, ...]:
    node = caddy.status()["nodes"][0]
    return caddy.product("n1"), caddy.pid("n1"), node["running"], node["finalized"]


def is_refused(caddy: CaddyCluster, says: str = "hello") -> str:
    """The upgrade ends with exit 4, and nothing was touched; what Caddy said."""
    before = untouched(caddy)
    ran = caddy.upgrade(NEW, "--json")
    assert ran.status == 4, ran
    (node,) = ran.lines[-1]["nodes"]
    assert node["problem"]["code"] == "check-refused"
    assert node["problem"]["advice"]
    rows = {line["data"]["name"]: line["data"] for line in ran.lines if line.get("kind") == "row"}
    assert rows["parse"]["result"] == "refused"
    assert rows["staged files"]["result"] == "ok"
    assert untouched(caddy) == before
    assert caddy.says("n1", "/hello") == says
    return str(rows["parse"]["evidence"])


def test_it_goes_up_and_back_and_up_with_the_configuration_that_lives_on(
    caddy: CaddyCluster,
) -> None:
    caddy.release(NEW)
    succeeds(caddy, caddy.upgrade(NEW))
    node = caddy.status()["nodes"][0]
    assert (node["running"], node["health"]) == (NEW, "healthy")
    assert caddy.says("n1", "/mine") == "mine"
    succeeds(caddy, caddy.run("rollback", str(caddy.file), "--yes", "--reason", "a drill"))
    assert caddy.status()["nodes"][0]["running"] == OLD
    succeeds(caddy, caddy.upgrade(NEW))
    succeeds(caddy, caddy.run("finalize", str(caddy.file), "--yes"))
    assert caddy.status()["verdict"]["kind"] == "settled"
    succeeds(caddy, caddy.run("verify", str(caddy.file)))


def test_a_release_that_caddy_cannot_read_is_refused_before_the_running_one_is_touched(
    caddy: CaddyCluster,
) -> None:
    caddy.release(NEW, site=BROKEN)
    assert "hello.caddy" in is_refused(caddy)


def test_a_configuration_that_was_broken_by_hand_is_refused_before_the_running_one_is_touched(
    caddy: CaddyCluster,
) -> None:
    """What lives on is what the new version would read: it is asked about just that."""
    caddy.release(NEW)
    edit(caddy, "responnd /oops 200")
    assert "responnd" in is_refused(caddy)
    ran = caddy.run("verify", str(caddy.file))
    assert ran.status == 4, "the next start of the old version would be refused, too"
    assert "responnd" in ran.out + ran.err


def test_a_site_from_elsewhere_wins_alone_is_an_upgrade_and_is_asked_about(
    caddy: CaddyCluster,
) -> None:
    with a_mirror() as mirror:
        url = f'"{mirror.url}/hello.caddy"'
        caddy.write_profile(f'\n[[configuration]]\npath = "sites/hello.caddy"\nurl = {url}\n')
        mirror.files["/hello.caddy"] = b'respond /hello "from elsewhere"\n'
        caddy.release(NEW)
        succeeds(caddy, caddy.upgrade(NEW))
        succeeds(caddy, caddy.run("finalize", str(caddy.file), "--yes"))
        assert caddy.says("n1", "/hello") == "from elsewhere"

        mirror.files["/hello.caddy"] = BROKEN.encode()
        assert "hello.caddy" in is_refused(caddy, says="from elsewhere")

        mirror.files["/hello.caddy"] = b'respond /hello "changed"\n'
        before = caddy.pid("n1")
        succeeds(caddy, caddy.upgrade(NEW))
        assert caddy.says("n1", "/hello") == "changed"
        assert caddy.says("n1", "/mine") == "mine", "what lives on lives on"
        assert caddy.pid("n1") != before
        back = caddy.run("rollback", str(caddy.file), "--yes", "--reason", "a drill")
        succeeds(caddy, back)
        assert caddy.says("n1", "/hello") == "from elsewhere"
        succeeds(caddy, caddy.upgrade(NEW))
        succeeds(caddy, caddy.run("finalize", str(caddy.file), "--yes"))
        assert caddy.says("n1", "/hello") == "changed"
        succeeds(caddy, caddy.run("verify", str(caddy.file)))
