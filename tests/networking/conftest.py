"""An engine on a LAN of its own for each worker, and networks and containers that go with their test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from nakagin.kernel import netlink
from tests.network_fixture import HOST, HOST6, Guest, NetworkedEngine


@pytest.fixture(scope="session")
def net() -> Iterator[NetworkedEngine]:
    """The worker's engine on the LAN, with a busybox image; the client there greets on ports 80 and 81."""
    engine = NetworkedEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        # Where containers' addresses are not translated, the LAN must know the way back.
        for host in (engine.lan.client, engine.lan.far):
            with host.inside():
                _route("10.77.0.0/16", HOST)
                _route("fd77::/16", HOST6)
        engine.greet(engine.lan.client, "client", 80, 81)
        yield engine
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)


def _route(destination: str, gateway: str) -> None:
    with netlink.Socket() as kernel:
        link = kernel.link("eth0")
        assert link is not None
        kernel.send([netlink.add_route(link.index, "eth0", destination, gateway)])


Make = Callable[..., str]


@pytest.fixture
def network(net: NetworkedEngine) -> Iterator[Make]:
    """`network(*flags)` makes one and returns its name; gone afterwards, with what is on it."""
    made: list[str] = []

    def make(*flags: str, cli: str = "docker") -> str:
        name = f"n{secrets.token_hex(3)}"
        getattr(net, cli)("network", "create", *flags, name)
        made.append(name)
        return name

    yield make
    for name in reversed(made):
        net.nakagin("network", "rm", "-f", name)


Run = Callable[..., Guest]


@pytest.fixture
def run(net: NetworkedEngine) -> Iterator[Run]:
    """`run(*flags, name=…)` starts a container that greets on ports 80 and 81; removed afterwards."""
    made: list[Guest] = []

    def start(*flags: str, name: str = "") -> Guest:
        guest = net.run(name or f"c{secrets.token_hex(3)}", *flags)
        made.append(guest)
        net.greet(guest, guest.name, 80, 81)
        return guest

    yield start
    if made:
        net.part(*made)
        net.docker("rm", "-f", *(each.name for each in made), check=None)
