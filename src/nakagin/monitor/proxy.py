"""Forwards connections on a published port that the firewall's address translation does not catch.

The monitor holds the listening sockets for the container's whole life, so that nobody else takes the
port; most connections never reach them. What does (::1, or a host without route_localnet) is accepted
here and carried to the container's address; on request with a header that says who the client is (PROXY
protocol, version 2: haproxy.org, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import socket
import sys

from nakagin.kernel.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.kernel.loop import Loop

    Address = tuple[Any, ...]

CHUNK = 64 * 1024
# Datagram peers remembered at once; the oldest is forgotten first, as a connection-tracking table would.
PEERS = 256
_IP_PKTINFO = 8  # <linux/in.h>; the socket module has no name for it
_AT_ONCE = (1).to_bytes(4, sys.byteorder) + bytes(4)  # struct linger: on, 0 seconds
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY_2, _TCP_OVER_4, _TCP_OVER_6 = 0x21, 0x11, 0x21
_ABOUT = 64  # bytes of ancillary data: one packet information


def header(client: Address, own: Address) -> bytes:
    """What tells a server behind a proxy of a TCP connection from `client` to `own`."""
    ipv6 = ":" in client[0]
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    ends = b"".join(socket.inet_pton(family, each[0].partition("%")[0]) for each in (client, own))
    ends += b"".join(each[1].to_bytes(2, "big") for each in (client, own))
    kind = _TCP_OVER_6 if ipv6 else _TCP_OVER_4
    return _SIGNATURE + bytes([_PROXY_2, kind]) + len(ends).to_bytes(2, "big") + ends


class TcpProxy:
    """Accepts on a listening socket and connects each client to `target` (address, port), perhaps with a header."""

    __slots__ = ("_announce", "_loop", "_sock", "_target")

    def __init__(self, loop: Loop, sock: socket.socket, target: tuple[str, int], *, announce: bool) -> None:
        self._loop = loop
        self._announce = announce
        self._target = target
        self._sock = sock
        loop.watch(sock.fileno(), READ, self._on_connection)

    def _on_connection(self, _: int) -> None:
        try:
            client, address = self._sock.accept()
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
        first = header(address, client.getsockname()) if self._announce else b""
        _Connection(self._loop, client, server, first)

    def aim(self, address: str) -> None:
        """Carry new connections to another address."""
        self._target = (address, self._target[1])

    def close(self) -> None:
        """Let go of the port; connections that were accepted live on."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()


class _Connection:
    """Two sockets whose bytes flow into each other, each direction closed by itself."""

    __slots__ = ("_flows", "_loop")

    def __init__(self, loop: Loop, client: socket.socket, server: socket.socket, first: bytes) -> None:
        self._loop = loop
        self._flows = (_Flow(client, server), _Flow(server, client))
        self._flows[0].pending = first
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
    """Carries datagrams between clients of a bound socket and `target`, one socket for each client.

    Answers leave from the address that the client wrote to: it would not know them from another.
    """

    __slots__ = ("_level", "_loop", "_option", "_peers", "_sock", "_target")

    def __init__(self, loop: Loop, sock: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._target = target
        self._sock = sock
        self._peers: dict[tuple[Address, bytes], socket.socket] = {}
        ipv6 = sock.family == socket.AF_INET6
        self._level = socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP
        self._option = socket.IPV6_PKTINFO if ipv6 else _IP_PKTINFO
        sock.setsockopt(self._level, socket.IPV6_RECVPKTINFO if ipv6 else _IP_PKTINFO, 1)
        loop.watch(sock.fileno(), READ, self._on_datagram)

    def _on_datagram(self, _: int) -> None:
        try:
            data, about, _flags, client = self._sock.recvmsg(CHUNK, _ABOUT)
            self._peer(client, self._own_address(about)).send(data)
        except OSError:  # a datagram may be lost; that is its nature
            return

    def _own_address(self, about: list[tuple[int, int, bytes]]) -> bytes:
        """The packet information for answers: our address of the question, any interface."""
        for level, kind, data in about:
            if (level, kind) == (self._level, self._option):
                # struct in6_pktinfo: address, interface; struct in_pktinfo: interface, own address, destination.
                return (
                    data[:16] + bytes(4) if level == socket.IPPROTO_IPV6 else bytes(4) + data[4:8] + bytes(4)
                )
        return b""

    def _peer(self, client: Address, own: bytes) -> socket.socket:
        found = self._peers.get((client, own))
        if found is not None:
            return found
        if len(self._peers) >= PEERS:
            self._forget(next(iter(self._peers)))
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.setblocking(False)
        server.connect(self._target)
        self._peers[client, own] = server
        self._loop.watch(server.fileno(), READ, lambda _: self._answer(server, client, own))
        return server

    def _forget(self, key: tuple[Address, bytes]) -> None:
        oldest = self._peers.pop(key)
        self._loop.forget(oldest.fileno())
        oldest.close()

    def _answer(self, server: socket.socket, client: Address, own: bytes) -> None:
        about = [(self._level, self._option, own)] if own else []
        try:
            self._sock.sendmsg([server.recv(CHUNK)], about, 0, client)
        except OSError:
            return

    def aim(self, address: str) -> None:
        """Carry datagrams to another address."""
        self._target = (address, self._target[1])
        for each in list(self._peers):
            self._forget(each)

    def close(self) -> None:
        """Let go of the port and of every client."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        for each in list(self._peers):
            self._forget(each)


class Held:
    """A socket that only keeps others from taking the port."""

    __slots__ = ("_loop", "_sock")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        if sock.type == socket.SOCK_STREAM:
            loop.watch(sock.fileno(), READ, self._on_connection)

    def _on_connection(self, _: int) -> None:
        """Reset it: one that only waited would look like a slow server. Not listening would free the port."""
        try:
            client, _address = self._sock.accept()
        except OSError:
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        client.close()

    def close(self) -> None:
        """Let go of the port."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()


class Proxies:
    """The published ports of one container that have sockets, by protocol, address and port of the host."""

    __slots__ = ("_held", "_loop")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held: dict[tuple[str, str, int], TcpProxy | UdpProxy | Held] = {}

    def add(
        self, fd: int, protocol: str, target: tuple[()] | tuple[str, int], *, announce: bool = False
    ) -> None:
        """Serve `fd` for "tcp" or "udp"; other protocols, and sockets without a target, are only held open.

        `announce`: each TCP connection begins with a header that names the client.
        """
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        address, port = sock.getsockname()[:2]
        made: TcpProxy | UdpProxy | Held
        if not target:
            made = Held(self._loop, sock)
        elif protocol == "tcp":
            made = TcpProxy(self._loop, sock, target, announce=announce)
        elif protocol == "udp":
            made = UdpProxy(self._loop, sock, target)
        else:
            made = Held(self._loop, sock)
        self._held[protocol, address, port] = made

    def aim(self, address: str) -> None:
        """From now on the container answers at another address; what is under way goes on."""
        for each in self._held.values():
            if not isinstance(each, Held):
                each.aim(address)

    def remove(self, protocol: str, address: str, port: int) -> None:
        """Let go of a port; connections that were accepted live on. Fine where it has no socket."""
        found = self._held.pop((protocol, address, port), None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Let go of all ports; connections that were accepted live on."""
        while self._held:
            self._held.popitem()[1].close()
