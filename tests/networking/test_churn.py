"""200 containers that attach and detach in random order, eight at a time: nothing may be left of any of them."""

from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from docker.errors import APIError

from tests.engine_fixture import await_until
from tests.network_fixture import NetworkedEngine

pytestmark = [pytest.mark.root, pytest.mark.alone]

CONTAINERS, AT_ONCE, NETWORKS = 200, 8, 4


def test_attach_and_detach_in_random_order() -> None:
    engine = NetworkedEngine(log_level="info")
    try:
        engine.start()
        engine.bootstrap_busybox()
        names = [f"net{number}" for number in range(NETWORKS)]
        for number, name in enumerate(names):
            engine.docker("network", "create", *(["--ipv6"] if number % 2 else []), name)
        before = _facts(engine)
        api = engine.client()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: _life(api, names, number), range(CONTAINERS)))
        api.close()
        # The kernel takes down a namespace in its own time.
        await_until(lambda: set(engine.links()) == before[0], "the last interfaces to go")
        assert _facts(engine) == before, "links, rules and addresses are as before"
        assert engine.docker("ps", "-aq").stdout == ""
        assert _names_known(engine, names[0]) == ["witness"]
        for name in names:
            assert (
                engine.docker("network", "inspect", "-f", "{{len .Containers}}", name).stdout.strip() == "0"
            )
            engine.nakagin("explain", name)
        engine.docker("network", "rm", *names)
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)


def _life(api: object, networks: list[str], number: int) -> None:
    """One container: some networks at its start, some later, some taken away, and its end at a random moment."""
    chance = random.Random(number)
    first = chance.choice(networks)
    container = api.containers.run(  # type: ignore[attr-defined]
        "busybox", ["sleep", "600"], name=f"churn{number}", detach=True, network=first, stop_signal="KILL",
        ports={"80/tcp": None} if number % 3 == 0 else None,
    )  # fmt: skip
    on = {first}
    for _ in range(chance.randrange(5)):
        name = chance.choice(networks)
        network = api.networks.get(name)  # type: ignore[attr-defined]
        if name in on:
            network.disconnect(container)
            on.remove(name)
        else:
            network.connect(container, aliases=[f"alias{number}"])
            on.add(name)
    with contextlib.suppress(APIError):  # it may have ended
        container.kill() if number % 2 else container.stop(timeout=1)
    container.remove(force=True)


def _names_known(engine: NetworkedEngine, network: str) -> list[str]:
    """Of every name that there ever was, those that a container on the network still gets an answer for."""
    asked = ["witness", *(f"{kind}{number}" for kind in ("churn", "alias") for number in range(CONTAINERS))]
    script = f"for name in {' '.join(asked)}; do nslookup -type=a $name. >/dev/null && echo $name; done; true"
    flags = ("--rm", "--name", "witness", "--network", network, "--dns", "127.0.0.9")
    return engine.docker("run", *flags, "busybox", "sh", "-c", script, timeout=120).stdout.split()


def _facts(engine: NetworkedEngine) -> tuple[set[str], list[str], str]:
    rules = engine.rules().replace(",", " ").split()
    skipped = {place + 1 for place, word in enumerate(rules) if word in {"packets", "bytes"}}
    plain = sorted(word for place, word in enumerate(rules) if place not in skipped)
    return set(engine.links()), plain, engine.on_host("ip", "-o", "address", "show", "scope", "global")
