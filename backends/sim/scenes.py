"""Named situations of a cluster, for pictures and tests. Each is reached, none is painted.

A scene begins with nodes that run a version, and then everything happens that led to it: staged,
installed, accepted, undone, on the nodes' own journals. The clock stands where the story ends.
"""

from collections.abc import Callable

from backends.domain.problem import Problem
from backends.sim.behaviour import NEVER_HEALTHY, Behaviour
from backends.sim.clock import SimClock
from backends.sim.cluster import Place, SimCluster

OLD = "4.11.0"
NEW = "4.12.0"
"""The good release."""

SICK = "4.13.0"
"""It starts and never becomes healthy."""

RUN = "1017-k7f"

_HOURS = 3600.0


def scene(name: str, clock: SimClock) -> SimCluster:
    """The cluster in a named situation.

    Raises:
        KeyError: No scene has this name; see `SCENES`.
    """
    return SCENES[name](clock)


def harbor(clock: SimClock, count: int = 5) -> SimCluster:
    """Nodes on which nothing is installed: the first the canary, the last the leader."""
    places = []
    for number in range(1, count + 1):
        role = "canary" if number == 1 else "leader" if number == count else "voter"
        high, low = divmod(number + 10, 250)
        address = f"10.0.{high}.{low}"
        places.append(Place(f"n{number}", address, role, canary=number == 1))
    cluster = SimCluster("harbor", clock, places)
    for node in cluster.nodes.values():
        node.behaviours[SICK] = NEVER_HEALTHY
    return cluster


def unmanaged(clock: SimClock, count: int = 5) -> SimCluster:
    """The old version runs everywhere, and nobody has recorded it."""
    cluster = harbor(clock, count)
    cluster.run_by_hand(OLD)
    clock.wind(_HOURS)
    return cluster


def settled(clock: SimClock, count: int = 5) -> SimCluster:
    """The old version runs everywhere, final."""
    cluster = unmanaged(clock, count)
    cluster.adopt()
    clock.wind(_HOURS)
    return cluster


def half_way(clock: SimClock) -> SimCluster:
    """Two nodes accepted on the good release, the third in trial, two staged and checked."""
    cluster = settled(clock)
    cluster.stage(NEW, RUN, *cluster.nodes)
    for name in ("n1", "n2"):
        cluster.install(name, NEW, RUN)
        cluster.accept(name, RUN)
    cluster.install("n3", NEW, RUN)
    clock.wind(18.0)
    return cluster


def ready(clock: SimClock) -> SimCluster:
    """All nodes accepted on the good release, none final."""
    cluster = settled(clock)
    cluster.upgrade(NEW, RUN, *cluster.nodes)
    clock.wind(120.0)
    return cluster


def failed(clock: SimClock) -> SimCluster:
    """Eight nodes: three accepted, the fourth fell back by itself and proved it."""
    cluster = settled(clock, 8)
    cluster.nodes["n4"].behaviours[NEW] = Behaviour(
        healthy_after=None,
        evidence='HTTP 503, wanted 200: {"version": "4.12.0", "healthy": false}',
        log=("store: cannot open index 7: permission denied", "staying unready"),
    )
    cluster.stage(NEW, RUN, *cluster.nodes)
    for name in ("n1", "n2", "n3"):
        cluster.install(name, NEW, RUN)
        cluster.accept(name, RUN)
    cluster.install("n4", NEW, RUN)
    cluster.until_rest("n4")
    clock.wind(30.0)
    return cluster


def inconsistent(clock: SimClock) -> SimCluster:
    """The third node could not put its pointer back: nothing is proven there."""
    cluster = settled(clock)
    why = "[Errno 30] Read-only file system"
    cluster.nodes["n3"].behaviours[NEW] = Behaviour(healthy_after=None, stuck={".version": why})
    cluster.upgrade(NEW, RUN, "n1", "n2")
    cluster.stage(NEW, RUN, "n3")
    cluster.install("n3", NEW, RUN)
    cluster.until_rest("n3")
    clock.wind(30.0)
    return cluster


def held(clock: SimClock) -> SimCluster:
    """The first node failed on the sick release, and its policy is to wait for a person."""
    cluster = settled(clock)
    cluster.stage(SICK, RUN, *cluster.nodes)
    cluster.install("n1", SICK, RUN, on_failure="hold")
    cluster.until_rest("n1")
    clock.wind(30.0)
    return cluster


def mixed(clock: SimClock) -> SimCluster:
    """Somebody put the good release on the third node by hand."""
    cluster = settled(clock)
    cluster.run_by_hand(NEW, "n3")
    clock.wind(60.0)
    return cluster


def no_contact(clock: SimClock) -> SimCluster:
    """Settled, but no node can be reached."""
    cluster = settled(clock)
    for place in cluster.places.values():
        _unreachable(cluster, place.name)
    return cluster


def partly(clock: SimClock) -> SimCluster:
    """Settled; one node cannot be reached, another one's host key is not known."""
    cluster = settled(clock)
    _unreachable(cluster, "n2")
    cluster.nodes["n4"].unreachable = Problem(
        "host-key-unknown",
        "n4 has a key that is not known here.",
        "ED25519 SHA256:9mT4Wl2bQwY1sVtT5x7oJpZ0nCkRr3uE6dHhGgFfEeA",
        "Compare it with the node's own, then: liftlock trust harbor",
    )
    return cluster


def down(clock: SimClock) -> SimCluster:
    """Settled, but one service has stopped."""
    cluster = settled(clock)
    cluster.nodes["n3"].stop_service()
    clock.wind(60.0)
    return cluster


def drifted(clock: SimClock) -> SimCluster:
    """The good release is final everywhere; somebody has changed a file of it on the third."""
    cluster = settled(clock)
    cluster.upgrade(NEW, "1016-qt4", *cluster.nodes)
    for name in cluster.nodes:
        cluster.finalize(name, "1016-qt4")
    clock.wind(_HOURS)
    cluster.nodes["n3"].change_file(NEW, "beacon.bin")
    return cluster


def thousand(clock: SimClock) -> SimCluster:
    """A thousand settled nodes."""
    return settled(clock, 1000)


def _unreachable(cluster: SimCluster, name: str) -> None:
    address = cluster.places[name].address
    cluster.nodes[name].unreachable = Problem(
        "tcp",
        f"{name} ({address}) cannot be reached.",
        "[Errno 113] No route to host",
        "Is it up, and is there a way to it?",
    )


SCENES: dict[str, Callable[[SimClock], SimCluster]] = {
    "settled": settled,
    "half-way": half_way,
    "ready": ready,
    "failed": failed,
    "inconsistent": inconsistent,
    "held": held,
    "mixed": mixed,
    "no-contact": no_contact,
    "partly": partly,
    "unmanaged": unmanaged,
    "down": down,
    "drifted": drifted,
    "thousand": thousand,
}
"""Every scene by its name."""
