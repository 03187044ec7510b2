"""Forwards connections on a published port that the firewall's address translation does not catch.

The monitor holds the listening sockets for the container's whole life, so that nobody else takes the
port; most connections never reach them. What does (::1, or a host without route_localnet) is accepted
here and carried to the container's address.
"""

from __future__ import annotations

import os
import socket

from nakagin.monitor.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.monitor.loop import Loop

    Address = tuple[Any, ...]

CHUNK = 64 * 1024
# Datagram peers remembered at once; the oldest is forgotten first, as a connection-tracking table would.
PEERS = 256


class TcpProxy:
    """Accepts on a listening socket and connects each client to `target` (address, port)."""

    __slots__ = ("_loop", "_sock", "_target")

    def __init__(self, loop: Loop, fd: int, target: tuple[str, int]) -> None:
        self._loop = loop
        self._target = target
        self._sock = socket.socket(fileno=fd)
        self._sock.setblocking(False)
        loop.watch(fd, READ, self._on_connection)

    def _on_connection(self, _: int) -> None:
        try:
            client, _address = self._sock.accept()
        except OSError:  # the client gave up, or descriptors ran out: the next event tries again
            return
        client.setblocking(False)
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setblocking(False)
        if server.connect_ex(self._target) not in {0, 115}:  # EINPROGRESS
            client.close()
            server.close()
            return
        _Connection(self._loop, client, server)


class _Connection:
    """Two sockets whose bytes flow into each other, each direction closed by itself."""

    __slots__ = ("_flows", "_loop")

    def __init__(self, loop: Loop, client: socket.socket, server: socket.socket) -> None:
        self._loop = loop
        self._flows = (_Flow(client, server), _Flow(server, client))
        for flow in self._flows:
            self._watch(flow)

    def _watch(self, flow: _Flow) -> None:
        back = self._flows[1] if flow is self._flows[0] else self._flows[0]
        events = (0 if flow.pending or flow.ended else READ) | (WRITE if back.pending else 0)
        self._loop.watch(flow.source.fileno(), events, lambda ready: self._on_ready(flow, back, ready))

    def _on_ready(self, flow: _Flow, back: _Flow, ready: int) -> None:
        alive = not ready & GONE or bool(ready & READ)
        if alive and ready & READ and not flow.pending:
            alive = flow.carry()
        if alive and ready & WRITE:
            alive = back.flush()
        if not alive or (flow.finished and back.finished):
            self._close()
            return
        for each in self._flows:
            self._watch(each)

    def _close(self) -> None:
        for flow in self._flows:
            self._loop.forget(flow.source.fileno())
        for flow in self._flows:
            flow.source.close()


class _Flow:
    """One direction: from `source` to `target`."""

    __slots__ = ("ended", "finished", "pending", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.pending = b""
        self.ended = False
        self.finished = False

    def carry(self) -> bool:
        try:
            data = self.source.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self.pending = data
        else:
            self.ended = True
        return self.flush()

    def flush(self) -> bool:
        try:
            if self.pending:
                self.pending = self.pending[self.target.send(self.pending, socket.MSG_NOSIGNAL) :]
            if self.ended and not self.pending and not self.finished:
                self.finished = True
                self.target.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class UdpProxy:
    """Carries datagrams between clients of a bound socket and `target`, one socket for each client."""

    __slots__ = ("_loop", "_peers", "_sock", "_target")

    def __init__(self, loop: Loop, fd: int, target: tuple[str, int]) -> None:
        self._loop = loop
        self._target = target
        self._sock = socket.socket(fileno=fd)
        self._sock.setblocking(False)
        self._peers: dict[Address, socket.socket] = {}
        loop.watch(fd, READ, self._on_datagram)

    def _on_datagram(self, _: int) -> None:
        try:
            data, client = self._sock.recvfrom(CHUNK)
            self._peer(client).send(data)
        except OSError:  # a datagram may be lost; that is its nature
            return

    def _peer(self, client: Address) -> socket.socket:
        found = self._peers.get(client)
        if found is not None:
            return found
        if len(self._peers) >= PEERS:
            oldest = self._peers.pop(next(iter(self._peers)))
            self._loop.forget(oldest.fileno())
            oldest.close()
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.setblocking(False)
        server.connect(self._target)
        self._peers[client] = server
        self._loop.watch(server.fileno(), READ, lambda _: self._answer(server, client))
        return server

    def _answer(self, server: socket.socket, client: Address) -> None:
        try:
            self._sock.sendto(server.recv(CHUNK), client)
        except OSError:
            return


def proxy(loop: Loop, fd: int, protocol: str, target: tuple[str, int]) -> None:
    """Serve `fd` for "tcp" or "udp"; sockets of other protocols are only held open."""
    if protocol == "tcp":
        TcpProxy(loop, fd, target)
    elif protocol == "udp":
        UdpProxy(loop, fd, target)
    else:
        os.set_inheritable(fd, False)
