"""A LAN of four machines in network namespaces: the engine's own host, an outside client, a DNS upstream, another.

    host (engine) 10.99.0.1 ──┐
    client        10.99.0.2 ──┼── a switch in a namespace of its own, fd00:99::/64 beside 10.99.0.0/24
    upstream      10.99.0.3 ──┤
    far           10.99.0.4 ──┘

Nothing of it is visible outside, so tests that run side by side use the same addresses and never meet.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from nakagin.kernel import netlink
from nakagin.network.probe import checksum
from tests.engine_fixture import ScratchEngine
from tests.network.sandbox import Host

HOST, CLIENT, UPSTREAM, FAR = (f"10.99.0.{number}" for number in range(1, 5))
HOST6, CLIENT6, UPSTREAM6, FAR6 = (f"fd00:99::{number}" for number in range(1, 5))


class Lan:
    """Four machines with `eth0` on one switch; `close` ends them."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self._switch = _switch(undo)
            self.host, self.client, self.upstream, self.far = (
                self._machine(number, undo) for number in range(1, 5)
            )
            self._undo = undo.pop_all()

    def close(self) -> None:
        self._undo.close()

    def _machine(self, number: int, undo: contextlib.ExitStack) -> Host:
        made = Host()
        undo.callback(made.close)
        with self._switch.inside(), netlink.Socket() as kernel:
            master = kernel.link("lan")
            assert master is not None
            pair = netlink.add_veth(
                f"port{number}", peer="eth0", peer_netns=made.namespace,
                peer_mac=f"02:99:00:00:00:0{number}", master=master.index, mtu=1500,
            )  # fmt: skip
            kernel.send([pair])
        with made.inside(), netlink.Socket() as kernel:
            link = kernel.link("eth0")
            assert link is not None
            kernel.send(
                [
                    netlink.set_up(1, "lo"),
                    netlink.set_up(link.index, "eth0"),
                    netlink.add_address(link.index, "eth0", f"10.99.0.{number}/24"),
                    netlink.add_address(link.index, "eth0", f"fd00:99::{number}/64"),
                ]
            )
        return made


def _switch(undo: contextlib.ExitStack) -> Host:
    switch = Host()
    undo.callback(switch.close)
    with switch.inside(), netlink.Socket() as kernel:
        kernel.send([netlink.set_up(1, "lo"), netlink.add_bridge("lan", mac="02:99:00:00:00:ff", mtu=1500)])
        link = kernel.link("lan")
        assert link is not None
        kernel.send([netlink.set_up(link.index, "lan")])
    return switch


@contextlib.contextmanager
def lan() -> Iterator[Lan]:
    """The four machines, gone afterwards."""
    made = Lan()
    try:
        yield made
    finally:
        made.close()


class Guest(Host):
    """A running container's network namespace: sockets made in it are the container's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.name = ""
        self.namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.namespace)


def echo(host: Host, address: str, seconds: float = 5.0) -> bool:
    """Whether `address` answers an ICMP echo request from `host` (RFC 792, RFC 4443)."""
    ipv6 = ":" in address
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ipv6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with host.inside():
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    with raw:
        key = secrets.token_bytes(4)
        kind, answer, head = (128, 129, 0) if ipv6 else (8, 0, 20)
        message = struct.pack("!BBH", kind, 0, 0) + key
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        deadline = time.monotonic() + seconds
        try:
            raw.sendto(message, (address, 0))
        except OSError:
            return False  # no route
        while (left := deadline - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                data = raw.recv(256)[head:]
            except OSError:
                return False
            if data[0] == answer and data[4:8] == key:
                return True
    return False


class Greeting:
    """TCP and UDP servers on both families in a host: "NAME PORT CLIENT'S ADDRESS". One thread until `close`.

    Open sockets keep a network namespace alive, so a container's must be closed before it can be gone.
    """

    def __init__(self, host: Host, name: str, *ports: int) -> None:
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._wake, self._asleep = socket.socketpair()
        self._selector.register(self._asleep, selectors.EVENT_READ)
        with host.inside():
            for port in ports:
                for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                    self._open(family, address, port)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _open(self, family: int, address: str, port: int) -> None:
        stream = socket.create_server((address, port), family=family)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        datagrams.bind((address, port))
        for each in (stream, datagrams):
            self._selector.register(each, selectors.EVENT_READ)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._asleep:
                    return
                self._greet(key.fileobj)  # type: ignore[arg-type]

    def _greet(self, ready: socket.socket) -> None:
        port = ready.getsockname()[1]
        if ready.type == socket.SOCK_STREAM:
            client, address = ready.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(f"{self._name} {port} {address[0]}".encode())
        else:
            _, address = ready.recvfrom(2048)
            with contextlib.suppress(OSError):
                ready.sendto(f"{self._name} {port} {address[0]}".encode(), address)

    def close(self) -> None:
        if self._wake.fileno() < 0:
            return
        self._wake.send(b"x")
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._wake.close()
        self._selector.close()


def says(host: Host, address: str, port: int, *, datagram: bool = False, seconds: float = 5.0) -> str:
    """What a Greeting there answers to `host` ("NAME PORT CLIENT'S ADDRESS"); "" where nothing comes back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with host.open(socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM, family) as asking:
            asking.settimeout(seconds)
            asking.connect((address, port))
            if datagram:
                asking.send(b"")
                return asking.recv(2048).decode()
            return asking.makefile(encoding="utf-8").read()
    except OSError:
        return ""


class NetworkedEngine(ScratchEngine):
    """A scratch engine on the LAN's first machine: its bridges, rules and listeners live there only."""

    def __init__(self, *arguments: str, parent: str = "/var/tmp", log_level: str = "debug") -> None:
        self.lan = Lan()
        #: Interfaces of the machine that were there before, or are not the engine's to remove.
        self.kept = {"lo", "eth0"}
        self._guests: list[Guest] = []
        self._greetings: list[tuple[Host, Greeting]] = []
        super().__init__(*arguments, parent=parent, log_level=log_level)

    def command(self) -> list[str]:
        return [*self.inside(), *super().command()]

    def guest(self, name: str) -> Guest:
        """The namespace of a running container."""
        made = Guest(int(self.docker("inspect", "-f", "{{.State.Pid}}", name).stdout))
        made.name = name
        self._guests.append(made)
        return made

    def greet(self, host: Host, name: str, *ports: int) -> Greeting:
        """Let a host or guest answer on these ports until the engine, or its container, goes."""
        made = Greeting(host, name, *ports)
        self._greetings.append((host, made))
        return made

    def part(self, *guests: Guest) -> None:
        """Let go of guests whose containers end now."""
        for host, greeting in [each for each in self._greetings if each[0] in guests]:
            greeting.close()
            self._greetings.remove((host, greeting))
        for each in guests:
            if each in self._guests:
                each.close()
                self._guests.remove(each)

    def run(self, name: str, *arguments: str, command: tuple[str, ...] = ("sleep", "600")) -> Guest:
        """Start a container with these flags; its namespace."""
        self.docker("run", "-d", "--stop-signal", "KILL", "--name", name, *arguments, "busybox", *command)
        return self.guest(name)

    def place(self, name: str, network: str) -> dict[str, Any]:
        """The EndpointSettings of a container on a network."""
        shown = json.loads(self.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name).stdout)
        found: dict[str, Any] = shown[network]
        return found

    def inside(self) -> list[str]:
        """What goes before a command so that it runs on the engine's host."""
        return ["nsenter", f"--net=/proc/{self.lan.host.pid}/ns/net", "--"]

    def on_host(self, *command: str, check: bool = True) -> str:
        """Run a command on the engine's host; its output."""
        done = subprocess.run(
            [*self.inside(), *command], capture_output=True, text=True, timeout=30, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def links(self) -> dict[str, netlink.Link]:
        """The interfaces of the engine's host by name."""
        with self.lan.host.inside(), netlink.Socket() as kernel:
            return {each.name: each for each in kernel.links()}

    def rules(self) -> str:
        """What nft shows on the engine's host."""
        return self.on_host("nft", "list", "ruleset")

    def leaks(self) -> list[str]:
        """The same as anywhere, and what is left on the engine's host."""
        return [
            *super().leaks(),
            *(f"interface {name}" for name in self.links() if name not in self.kept),
            *(
                f"nft {line}"
                for line in self.on_host("nft", "list", "tables").splitlines()
                if "nakagin" in line
            ),
        ]

    def close(self) -> list[str]:
        self.part(*list(self._guests))
        for _, greeting in self._greetings:
            greeting.close()
        try:
            return super().close()
        finally:
            self.lan.close()
