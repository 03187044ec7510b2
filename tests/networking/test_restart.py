"""The engine killed under traffic: what is established lives on, and no way is lost afterwards."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.network.sandbox import Host
from tests.network_fixture import CLIENT, HOST, HOST6, NetworkedEngine, says

pytestmark = pytest.mark.root


class Stream:
    """A connection on which something is said and answered all the time."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self._ended = threading.Event()
        self.answers = 0
        self.broken: OSError | None = None
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        with self._connected:
            self._connected.settimeout(30)
            while not self._ended.is_set():
                try:
                    self._connected.sendall(b"x")
                    assert self._connected.recv(1) == b"x"
                except (OSError, AssertionError) as error:
                    self.broken = OSError(str(error))
                    return
                self.answers += 1

    def goes_on(self) -> None:
        """Assert that something is said and answered from now on."""
        before, deadline = self.answers, time.monotonic() + 30
        while self.answers < before + 2:
            assert self.broken is None, self.broken
            assert time.monotonic() < deadline, "no answer any more"
            time.sleep(0.005)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(35)


@contextlib.contextmanager
def echoing(host: Host, port: int) -> Iterator[None]:
    """A TCP server in a host that sends back what it hears."""
    with host.inside():
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def serve(client: socket.socket) -> None:
        with client:
            while data := client.recv(4096):
                client.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def test_kill_9_under_traffic() -> None:
    engine = NetworkedEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.client, "client", 80)
        engine.docker("network", "create", "--ipv6", "one")
        engine.docker("network", "create", "--internal", "two")
        web = engine.run("web", "--network", "one", "--network", "two", "-p", "8080:80", "-p", "7:7")
        api = engine.run("api", "--network", "two")
        inner = engine.place("web", "two")["IPAddress"]
        places = {name: engine.place("web", name) for name in ("one", "two")}
        engine.greet(web, "web", 80)
        with echoing(web, 7), echoing(engine.lan.client, 7):
            streams = [
                Stream(engine.lan.client.connect(HOST, 7)),
                Stream(engine.lan.client.connect(HOST6, 7)),
                Stream(api.connect(inner, 7)),
                Stream(web.connect(CLIENT, 7)),
                Stream(engine.lan.host.connect("127.0.0.1", 7)),
            ]
            for _ in range(2):
                engine.kill9()
                assert says(engine.lan.client, HOST, 8080) == f"web 80 {CLIENT}", (
                    "no engine is needed for packets"
                )
                for each in streams:
                    each.goes_on()
                engine.restart()
                assert says(engine.lan.client, HOST, 8080) == f"web 80 {CLIENT}"
                assert says(web, CLIENT, 80) == f"client 80 {HOST}"
                assert says(api, inner, 80).startswith("web 80")
            for each in streams:
                each.goes_on()
                each.close()
        assert {name: engine.place("web", name) for name in ("one", "two")} == places
        # networks can be changed as before
        engine.docker("network", "disconnect", "two", "web")
        engine.docker("network", "connect", "two", "web")
        assert says(api, engine.place("web", "two")["IPAddress"], 80).startswith("web 80")
        refused = engine.docker("run", "--rm", "-p", "8080:80", "busybox", "true", check=125)
        assert "port is already allocated by container web" in refused.stderr
        engine.part(web, api)
        engine.docker("rm", "-f", "web", "api")
        engine.docker("network", "rm", "one", "two")
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)


def test_networks_of_every_kind_outlive_the_engine() -> None:
    engine = NetworkedEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.client, "client", 80)
        engine.docker("network", "create", "plain")
        engine.docker("network", "create", "-d", "macvlan", "stub")
        engine.nakagin("network", "create", "--egress", f"allow={CLIENT}", "limited")
        listed = engine.docker("network", "inspect", "plain", "stub", "limited").stdout
        assert engine.terminate() == 0
        assert set(engine.links()) == {"lo", "eth0"}, "an engine that ends leaves nothing in the kernel"
        engine.restart()
        assert engine.docker("network", "inspect", "plain", "stub", "limited").stdout == listed
        for name in ("plain", "stub", "limited"):
            guests = [engine.run(f"{name}{number}", "--network", name) for number in (1, 2)]
            engine.greet(guests[1], name, 80)
            assert says(guests[0], engine.place(f"{name}2", name)["IPAddress"], 80).startswith(name)
            assert bool(says(guests[0], CLIENT, 80, seconds=0.5 if name == "stub" else 5)) == (name != "stub")
            engine.part(*guests)
        engine.remove_containers()
        engine.docker("network", "prune", "-f")
    finally:
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)
