"""Where containers' questions arrive: sockets on 127.0.0.11 in each one's network namespace.

They listen on a high port, and rules inside of the namespace rewrite port 53 to it and back, packet by
packet, without connection tracking: so the container may run a DNS server of its own on port 53. Without
nf_tables the sockets are on port 53 itself.
"""

from __future__ import annotations

import errno
import os
import socket

from nakagin.kernel import nfnetlink
from nakagin.kernel.namespaces import in_network_namespace
from nakagin.network.forwarding import open_socket
from nakagin.network.names import EMBEDDED as ADDRESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.network.forwarding import Inquiry

# Above the ports that the kernel hands out by itself (ip_local_port_range) and that programs like.
_PORTS = range(61053, 61553)
_BACKLOG = 64
_BUFFER = 1 << 20
_SO_BINDTODEVICE = 25
_IP_FREEBIND = 15
_TABLE = "nakagin_names"
_DNS = 53


class Counters:
    """What happened at one door, for `nakagin network names`."""

    __slots__ = ("failed", "forwarded", "last_error", "local", "malformed", "refused")

    def __init__(self) -> None:
        self.local = 0
        self.forwarded = 0
        self.failed = 0
        self.refused = 0
        self.malformed = 0
        self.last_error = ""

    def document(self) -> dict[str, object]:
        """As the API shows it."""
        return {
            "Questions": self.local + self.forwarded + self.refused + self.malformed,
            "Local": self.local,
            "Forwarded": self.forwarded,
            "Failed": self.failed,
            "Refused": self.refused,
            "Malformed": self.malformed,
            "LastError": self.last_error,
        }


class Door:
    """The sockets of one container, and what belongs to them.

    `namespace` is -1 for a door in the host's namespace; `life` is a pidfd: when it ends, so does the door.
    """

    def __init__(
        self, key: str, datagrams: socket.socket, listener: socket.socket, namespace: int, life: int
    ) -> None:
        self.key = key
        self.datagrams = datagrams
        self.listener = listener
        self.namespace = namespace
        self.life = life
        self.counters = Counters()
        # Question without its id -> answers without theirs, to be given in turn.
        self.answers: dict[bytes, list[bytes]] = {}
        self.inquiries: set[Inquiry] = set()
        self.streams: set[socket.socket] = set()

    def open_inside(self, family: int, kind: int) -> socket.socket:
        """A socket in the container's namespace."""
        if self.namespace < 0:
            return open_socket(family, kind)
        with in_network_namespace(self.namespace):
            return open_socket(family, kind)

    def close(self) -> None:
        """Let go of the namespace: nothing of ours must keep it alive."""
        for each in list(self.inquiries):
            each.cancel()
        for sock in (self.datagrams, self.listener, *self.streams):
            sock.close()
        self.streams.clear()
        for fd in (self.namespace, self.life):
            if fd >= 0:
                os.close(fd)
        self.namespace = self.life = -1


def open_door(key: str, namespace: int, life: int) -> Door:
    """A door in the network namespace `namespace`; takes both descriptors over. Raises OSError."""
    try:
        with in_network_namespace(namespace):
            datagrams, listener = _redirected()
    except BaseException:
        os.close(namespace)
        os.close(life)
        raise
    return Door(key, datagrams, listener, namespace, life)


def _redirected() -> tuple[socket.socket, socket.socket]:
    datagrams, listener, port = _bound_together()
    try:
        nfnetlink.replace_table(_TABLE, "output", nfnetlink.OUTPUT, nfnetlink.RAW, _rules(port))
    except OSError:
        datagrams.close()
        listener.close()
        return _bound(ADDRESS, _DNS)
    return datagrams, listener


def _rules(port: int) -> list[nfnetlink.Rule]:
    """What leads port 53 of our address to `port`, and its answers back; as nft writes it:

    ip daddr 127.0.0.11 udp dport 53 notrack udp dport set PORT
    ip saddr 127.0.0.11 udp sport PORT notrack udp sport set 53
    """
    own, listening, asked = socket.inet_aton(ADDRESS), port.to_bytes(2, "big"), _DNS.to_bytes(2, "big")
    return [
        [
            *nfnetlink.packet_has(nfnetlink.NETWORK_HEADER, address_at, own),
            *nfnetlink.protocol_is(protocol),
            *nfnetlink.packet_has(nfnetlink.TRANSPORT_HEADER, port_at, before),
            *nfnetlink.untracked(),
            *nfnetlink.set_transport(port_at, after, checksum),
        ]
        for protocol, checksum in ((socket.IPPROTO_UDP, 6), (socket.IPPROTO_TCP, 16))
        for address_at, port_at, before, after in ((16, 2, asked, listening), (12, 0, listening, asked))
    ]


def _bound_together() -> tuple[socket.socket, socket.socket, int]:
    """A UDP and a listening TCP socket on one port that is free for both."""
    for port in _PORTS:
        try:
            return *_bound(ADDRESS, port), port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port of {_PORTS[0]}-{_PORTS[-1]} is free on {ADDRESS}")


def open_bridge_door(key: str, address: str, device: str) -> Door:
    """A door on a bridge's gateway, in our own namespace: only for those who come by that bridge."""
    return Door(key, *_bound(address, _DNS, device), -1, -1)


def _bound(address: str, port: int, device: str = "") -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = open_socket(family, socket.SOCK_DGRAM)
    listener = open_socket(family, socket.SOCK_STREAM)
    try:
        for each in (datagrams, listener):
            if device:
                each.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode())
                each.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagrams.bind((address, port))
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError:
        datagrams.close()
        listener.close()
        raise
    return datagrams, listener
