"""The engine's side of the name server: starts it when first needed, tells it who is called what, never waits.

    nothing ── first container on a network with names ──► running ── engine ends ──► runs on
                          ▲                                   │ died
                          └──────── started and told anew ◄───┘

Where it cannot be started, containers run without names, and the log says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.errors import Unavailable
from nakagin.network import control, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nakagin.network.model import Endpoint, Network
    from nakagin.network.networks import Networks

    Message = dict[str, Any]

_log = logging.getLogger(__name__)

_PROCESS = "import sys; sys.path.insert(0, {root!r}); from nakagin.network.nameserver import main; main({fd})"
_BACKLOG = 512
_AGAIN = 0.1  # seconds until a name server that was lost is replaced
_COUNTERS = 2.0  # seconds to wait for its counters


class Resident(NamedTuple):
    """A running container: a process of it, and its --dns servers."""

    id: str
    pid: int
    servers: tuple[str, ...]


class Naming:
    """Keeps the name server of one engine.

    `census()` tells which containers run; it is asked after a restart of either side. `folder` holds the socket.
    """

    def __init__(self, networks: Networks, folder: str, census: Callable[[], Iterable[Resident]]) -> None:
        self._networks = networks
        self._path = os.path.join(folder, control.SOCKET_NAME)
        self._census = census
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._servers: dict[str, tuple[str, ...]] = {}
        self._bridges: dict[str, str] = {}  # device -> address
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._closing = False

    # --- life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find the name server of an earlier engine, if it left one; a new one where its containers need it."""
        self._networks.subscribe(self._on_change)
        for each in self._census():
            self._servers[each.id] = each.servers
        if any(self._members(each) for each in self._servers):
            self._ensure()
        elif os.path.exists(self._path):
            self._adopt()

    def _adopt(self) -> None:
        """Take over a name server that nobody needs now: it will be needed again, or told to leave."""
        try:
            self._begin(control.connect(self._path))
        except OSError:
            os.unlink(self._path)

    def close(self, *, leave: bool) -> None:
        """Let go; with `leave` the name server ends, as no container is left that needs it."""
        self._closing = True
        if self._sock is not None:
            if leave:
                self._send({"do": "leave"})
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            self._hang_up()
        if leave and self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)

    def _ensure(self) -> bool:
        """Whether the name server listens, after doing something for it."""
        if self._sock is not None:
            return True
        try:
            try:
                sock = control.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError):
                self._spawn()
                sock = control.connect(self._path)
        except OSError as error:
            _log.warning("the name server cannot be started: %s", error)
            return False
        self._begin(sock)
        return True

    def _begin(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._on_readable)
        self._tell_everything()

    def _spawn(self) -> None:
        if self._process is not None:
            self._process.poll()
        folder, name = os.path.split(self._path)
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as listener:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
                listener.bind(f"/proc/self/fd/{directory}/{name}")
                os.chmod(self._path, 0o600)
                # Before the process is there: who knocks meanwhile waits in the queue.
                listener.listen(_BACKLOG)
                self._process = _start(listener.fileno())
        finally:
            os.close(directory)

    def _tell_everything(self) -> None:
        self._send({"do": "begin"})
        for container in list(self._servers):
            for endpoint in self._members(container):
                self._put(endpoint)
            self._look(container)
        for device, address in self._bridges.items():
            self._send({"do": "bridge", "device": device, "address": address})
        self._send({"do": "end"})

    def _lost(self) -> None:
        """It died, or does not read any more: another one, soon."""
        self._hang_up()
        if not self._closing:
            _log.warning("the name server was lost: starting another one")
            asyncio.get_running_loop().call_later(_AGAIN, self._again)

    def _again(self) -> None:
        if not self._closing and not self._ensure():
            asyncio.get_running_loop().call_later(10 * _AGAIN, self._again)

    def _hang_up(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        for each in self._replies.values():
            if not each.done():
                each.set_exception(Unavailable("the name server was lost"))
        self._replies.clear()

    # --- words -----------------------------------------------------------------------------------------

    def _send(self, message: Message, fds: Sequence[int] = ()) -> None:
        if self._sock is None:
            return
        try:
            control.send(self._sock, message, fds)
        except OSError as error:
            _log.warning("the name server does not take %s: %s", message["do"], error)
            self._lost()

    def _on_readable(self) -> None:
        while self._sock is not None:
            try:
                received = control.receive(self._sock)
            except BlockingIOError:
                return
            if received is None:
                self._lost()
                return
            self._on_message(received[0])

    def _on_message(self, message: Message) -> None:
        if "doors" in message and "reply" not in message:
            self._open_missing(set(message["doors"]))
        elif "reply" in message:
            future = self._replies.pop(message["reply"], None)
            if future is not None and not future.done():
                future.set_result(message)
        elif message.get("do") == "may":
            allowed = self._networks.may_resolve(message["id"], message["name"])
            self._send({"do": "decided", "question": message["question"], "allowed": allowed})
        elif message.get("do") == "resolved":
            found = [(address, ttl) for address, ttl in message["addresses"]]
            self._networks.resolved(message["id"], message["name"], found)
            self._send({"do": "decided", "question": message["question"], "allowed": True})
        elif "error" in message:
            _log.warning("name server: %s", message["error"])

    def _open_missing(self, there: set[str]) -> None:
        for each in self._census():
            if each.id not in there and self._members(each.id):
                self._open(each.id, each.pid)

    def _open(self, container: str, pid: int) -> None:
        fds: list[int] = []
        try:
            fds.append(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            fds.append(os.pidfd_open(pid))
            self._send({"do": "open", "id": container}, fds)
        except OSError as error:
            _log.debug("no door for container %s: %s", container[:12], error)  # it has ended meanwhile
        finally:
            for fd in fds:
                os.close(fd)

    # --- containers ------------------------------------------------------------------------------------

    def admit(self, container: str, servers: Sequence[str]) -> str:
        """A container is about to start on its networks: where its monitor has to knock, "" for nowhere.

        `servers` are those of --dns; empty: the host's.
        """
        self._servers[container] = tuple(servers)
        if not self._members(container) or not self._ensure():
            return ""
        self._look(container)
        return self._path

    def has_names(self, container: str) -> bool:
        """Whether a container is on a network with names of its own, and so asks 127.0.0.11."""
        return bool(self._members(container))

    def _on_change(self, kind: str, container: str, network: str) -> None:
        if kind == "detached":
            self._send({"do": "drop", "network": network, "id": container})
            if not self._networks.endpoints(container):
                self._servers.pop(container, None)
                self._send({"do": "forget", "id": container})
                return
        endpoints = [each for each in self._members(container) if each.network_id == network]
        if endpoints and kind != "detached" and self._ensure():
            for each in endpoints:
                self._put(each)
        if container in self._servers:
            self._look(container)

    def connected(self, container: str, pid: int) -> None:
        """A running container has joined a network: from now on it may need a door."""
        if self._members(container) and self._ensure():
            self._open(container, pid)

    def _members(self, container: str) -> list[Endpoint]:
        """A container's places on networks that have names: all but the default bridge."""
        found = self._networks.endpoints(container)
        return [each for each in found if not self._network(each).is_default_bridge]

    def _network(self, endpoint: Endpoint) -> Network:
        return self._networks.get(endpoint.network_id)

    def _put(self, endpoint: Endpoint) -> None:
        self._send(
            {
                "do": "put", "network": endpoint.network_id, "name": self._network(endpoint).name,
                "id": endpoint.container_id, "names": endpoint.dns_names,
                "addresses": [each.partition("/")[0] for each in endpoint.addresses],
            }
        )  # fmt: skip

    def _look(self, container: str) -> None:
        endpoints = self._networks.endpoints(container)
        members = self._members(container)
        if not members:
            return
        self._send(
            {
                "do": "look", "id": container, "networks": [each.network_id for each in members],
                "links": {each.network_id: _links(each) for each in members if each.links},
                "servers": self._servers.get(container, ()),
                "outside": any(not self._network(each).internal for each in endpoints),
                "guarded": any(self._network(each).egress is not None for each in endpoints),
            }
        )  # fmt: skip

    # --- files and figures -----------------------------------------------------------------------------

    def resolv_file(
        self,
        container: str,
        reference: str,
        servers: Sequence[str] = (),
        search: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> str:
        """The text of a container's /etc/resolv.conf: our own server's on networks with names, else the host's.

        `reference` is its network. On the default bridge, where all servers of the host are on its loopback, ours
        answers on the bridge's gateway.
        """
        if self._members(container):
            return names.embedded_resolv_file(names.read_host_resolver(), search=search, options=options)
        network = self._networks.get(reference)
        host = names.read_host_resolver()
        given = names.parse_resolver(host)
        forwarder = ""
        if network.bridge and not servers and given.servers and not names.reachable_servers(given):
            forwarder = self._serve_bridge(network)
        return names.resolv_file(
            host, servers=servers, search=search, options=options, forwarder=forwarder,
            ipv6=network.enable_ipv6, host_network=network.driver == "host",
        )  # fmt: skip

    def _serve_bridge(self, network: Network) -> str:
        address = next(pool.gateway for pool in network.subnets if not pool.is_ipv6)
        self._bridges[network.bridge] = address
        if self._ensure():
            self._send({"do": "bridge", "device": network.bridge, "address": address})
        return address

    async def counters(self, reference: str = "") -> Message:
        """What the name server has answered, by container; of one network only where `reference` names it.

        {"Running", "Pid", "Servers": [...], "Containers": {id: {"Name", "Questions", ...}}}
        """
        wanted = self._networks.get(reference).id if reference else ""
        if self._sock is None:
            return {"Running": False, "Pid": 0, "Servers": [], "Containers": {}}
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        self._send({"do": "counters", "reply": number})
        async with asyncio.timeout(_COUNTERS):
            found = await reply
        containers = {}
        for key, figures in found["doors"].items():
            members = self._networks.endpoints(key)
            if not wanted or any(each.network_id == wanted for each in members):
                name = members[0].container_name if members else key
                containers[key] = {"Name": name, **figures}
        return {"Running": True, "Pid": found["pid"], "Servers": found["servers"], "Containers": containers}


def _links(endpoint: Endpoint) -> dict[str, str]:
    """alias -> name of "name:alias" links."""
    pairs = (each.partition(":") for each in endpoint.links)
    return {(alias or name).lower(): name.lower() for name, _, alias in pairs}


def _start(listener: int) -> subprocess.Popen[bytes]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    script = _PROCESS.format(root=root, fd=listener)
    # -I and -S: nothing of the caller's environment, no site packages. A session of its own: it outlives us.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script], pass_fds=[listener], stdin=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
