"""Network namespaces for tests: the test's body runs in a child process that has its own, gone with it.

Nothing here touches the machine's own interfaces. `@in_namespace` runs a test in a fresh network namespace;
`Host` is one more machine beside it: a process in a namespace of its own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from tests.forked import run_forked

from nakagin.kernel import netlink, nftables
from nakagin.kernel.abi import CLONE_NEWNET
from nakagin.kernel.namespaces import in_network_namespace, unshare
from nakagin.network import links
from nakagin.network.model import EndpointPlan


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the test runner's own threads do not matter to the child
        return os.fork()


def in_namespace(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test in a child process with its own network namespace, loopback up."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_forked(functools.partial(_enter, functools.partial(test, *args, **kwargs)))

    return run


def _enter(body: Callable[[], None]) -> None:
    unshare(CLONE_NEWNET)
    nftables._context = None  # the test runner's own speaks to the machine's namespace
    with netlink.Socket() as kernel:
        kernel.send([netlink.set_up(1, "lo")])
    body()


class Host:
    """A process in a network namespace of its own; for `links.attach(plan, host.pid)`."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        alive, self._end = os.pipe()
        self.pid = _fork()
        if self.pid == 0:
            os.close(self._end)
            unshare(CLONE_NEWNET)
            os.write(writing, b"x")
            os.read(alive, 1)  # until the parent closes, or dies
            os._exit(0)
        os.close(alive)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        self.namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)

    def close(self) -> None:
        os.close(self.namespace)
        os.close(self._end)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets made in this block are the host's."""
        with in_network_namespace(self.namespace):
            yield

    def open(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> socket.socket:
        with self.inside():
            made = socket.socket(family, kind)
        made.settimeout(5)
        return made

    def connect(self, address: str, port: int, timeout: float = 5) -> socket.socket:
        connected = self.open(family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        connected.settimeout(timeout)
        try:
            connected.connect((address, port))
        except OSError:
            connected.close()
            raise
        return connected

    def connect_soon(self, address: str, port: int) -> socket.socket:
        """The same for a way that may not be open yet: try for ten seconds."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.connect(address, port, timeout=0.5)
            except OSError:
                if time.monotonic() > deadline:
                    raise


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    made = [Host() for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


def cable(host: Host, address: str, here: str, *, name: str = "outside", gateway: str = "") -> None:
    """Connect this namespace with a host by a bridge of its own: `here` and `address` are "10.0.0.1/24"."""
    with netlink.Socket() as kernel:
        kernel.send([netlink.add_bridge(name, mac="02:00:00:00:00:01", mtu=1500)])
        index = socket.if_nametoindex(name)
        kernel.send([netlink.add_address(index, name, here), netlink.set_up(index, name)])
    plan: EndpointPlan = {
        "network": name,
        "bridge": name,
        "host_interface": f"v{name}",
        "interface": "eth0",
        "mac": "02:00:00:00:00:02",
        "addresses": [address],
        "gateway": gateway,
        "mtu": 1500,
    }
    links.attach(plan, host.pid)


class Greeter:
    """A TCP and a UDP server inside a host: tells each client who it is and from where the client came."""

    def __init__(self, host: Host, name: str, ports: range, address: str = "0.0.0.0") -> None:
        self.name = name
        self._sockets = []
        with host.inside():
            for port in ports:
                dual = ":" in address
                family = socket.AF_INET6 if dual else socket.AF_INET
                stream = socket.create_server((address, port), family=family, dualstack_ipv6=dual)
                self._sockets.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()
                datagrams = socket.socket(family, socket.SOCK_DGRAM)
                datagrams.bind((address, port))
                self._sockets.append(datagrams)
                threading.Thread(target=self._echo, args=(datagrams,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            client, address = listener.accept()
            with client:
                client.sendall(f"{self.name} {listener.getsockname()[1]} {address[0]}".encode())

    def _echo(self, bound: socket.socket) -> None:
        while True:
            data, address = bound.recvfrom(2048)
            bound.sendto(f"{self.name} {bound.getsockname()[1]} {address[0]}".encode() + data, address)


def greeting(connected: socket.socket) -> str:
    """What a Greeter says to this connection; closes it."""
    with connected:
        return connected.makefile(encoding="utf-8").read()


def ask(bound: socket.socket, address: str, port: int) -> str:
    """What a Greeter answers to a datagram; closes the socket."""
    with bound:
        bound.sendto(b"", (address, port))
        return bound.recv(2048).decode()
