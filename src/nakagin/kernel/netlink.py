"""NETLINK_ROUTE: links, addresses and routes, several changes in one send (rtnetlink(7)).

Requests are plain values made by pure functions; `Socket.send` performs a batch of them. A socket belongs
to the network namespace in which it was opened. Import-light: the monitor attaches containers with it.
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

# <linux/netlink.h>
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_EXCL, _CREATE, _REPLACE = 0x200, 0x400, 0x100
_ERROR, _DONE = 2, 3
_ACK_TLVS = 0x200
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_NESTED = 0x8000

# <linux/rtnetlink.h>
_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26

# <linux/if_link.h>, <linux/if_addr.h>, <linux/rtnetlink.h>
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_NET_NS_FD = 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_BRPORT_MODE, _BRPORT_ISOLATED = 4, 33
_VETH_PEER = 1
_VLAN_ID, _MACVLAN_MODE, _IPVLAN_MODE, _IPVLAN_FLAGS = 1, 1, 1, 2
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_IPVLAN_FLAG = {"": 0, "bridge": 0, "private": 1, "vepa": 2}
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 3, 0, 253, 1

IFF_UP = 0x1

_header = struct.Struct("=IHHII")
_ifinfo = struct.Struct("=BxHiII")
_ifaddr = struct.Struct("=BBBBI")
_rtmsg = struct.Struct("=BBBBBBBBI")
_attribute = struct.Struct("=HH")
_u32 = struct.Struct("=I")


class Request:
    """One change: what it is in words, and its netlink message without the header."""

    __slots__ = ("body", "flags", "kind", "what")

    def __init__(self, what: str, kind: int, flags: int, body: bytes) -> None:
        self.what = what
        self.kind = kind
        self.flags = flags
        self.body = body


class Link:
    """A network interface as the kernel reports it; `master` is 0 without a bridge, `kind` "" if physical."""

    __slots__ = ("flags", "index", "kind", "mac", "master", "mtu", "name")

    def __init__(self, index: int, name: str, kind: str, flags: int, mac: str, mtu: int, master: int) -> None:
        self.index = index
        self.name = name
        self.kind = kind
        self.flags = flags
        self.mac = mac
        self.mtu = mtu
        self.master = master


def attribute(kind: int, value: bytes) -> bytes:
    """One encoded attribute, padded to four bytes."""
    return _attribute.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _u32.pack(value))


def _mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _packed(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def add_bridge(name: str, *, mac: str, mtu: int) -> Request:
    """Make a bridge; it is down. A fixed `mac` keeps it from changing with its ports."""
    body = (
        _ifinfo.pack(0, 0, 0, 0, 0)
        + _text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, _mac(mac))
        + _number(_IFLA_MTU, mtu)
        + attribute(_IFLA_LINKINFO | _NESTED, _text(_INFO_KIND, "bridge"))
    )
    return Request(f"add bridge {name}", _NEWLINK, _CREATE | _EXCL, body)


def add_veth(name: str, *, peer: str, peer_netns: int, peer_mac: str, master: int, mtu: int) -> Request:
    """Make a veth pair: `name` here, up, on the bridge with index `master`; `peer`, down, elsewhere.

    `peer_netns` is a file descriptor of the peer's network namespace.
    """
    peer_message = (
        _ifinfo.pack(0, 0, 0, 0, 0)
        + _text(_IFLA_IFNAME, peer)
        + attribute(_IFLA_ADDRESS, _mac(peer_mac))
        + _number(_IFLA_MTU, mtu)
        + _number(_IFLA_NET_NS_FD, peer_netns)
    )
    information = _text(_INFO_KIND, "veth") + attribute(
        _INFO_DATA | _NESTED, attribute(_VETH_PEER | _NESTED, peer_message)
    )
    body = (
        _ifinfo.pack(0, 0, 0, IFF_UP, IFF_UP)
        + _text(_IFLA_IFNAME, name)
        + _number(_IFLA_MTU, mtu)
        + _number(_IFLA_MASTER, master)
        + attribute(_IFLA_LINKINFO | _NESTED, information)
    )
    return Request(f"add veth {name} with peer {peer}", _NEWLINK, _CREATE | _EXCL, body)


def _sub_interface(
    name: str, kind: str, data: bytes, *, parent: int, netns: int = -1, mac: str = "", mtu: int = 0
) -> Request:
    """An interface on top of `parent` (an index here), made in the namespace `netns` (-1: here)."""
    body = _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + _number(_IFLA_LINK, parent)
    if mac:
        body += attribute(_IFLA_ADDRESS, _mac(mac))
    if mtu:
        body += _number(_IFLA_MTU, mtu)
    if netns >= 0:
        body += _number(_IFLA_NET_NS_FD, netns)
    information = _text(_INFO_KIND, kind) + attribute(_INFO_DATA | _NESTED, data)
    body += attribute(_IFLA_LINKINFO | _NESTED, information)
    return Request(f"add {kind} {name}", _NEWLINK, _CREATE | _EXCL, body)


def add_macvlan(name: str, *, parent: int, netns: int, mode: str, mac: str, mtu: int) -> Request:
    """Make a macvlan interface in another namespace, down; `mode` is bridge, private, vepa or passthru."""
    data = _number(_MACVLAN_MODE, _MACVLAN_MODES[mode])
    return _sub_interface(name, "macvlan", data, parent=parent, netns=netns, mac=mac, mtu=mtu)


def add_ipvlan(name: str, *, parent: int, netns: int, mode: str, flag: str, mtu: int) -> Request:
    """Make an ipvlan interface in another namespace, down; `mode` is l2, l3 or l3s. It has its parent's MAC."""
    data = attribute(_IPVLAN_MODE, struct.pack("=H", _IPVLAN_MODES[mode]))
    data += attribute(_IPVLAN_FLAGS, struct.pack("=H", _IPVLAN_FLAG[flag]))
    return _sub_interface(name, "ipvlan", data, parent=parent, netns=netns, mtu=mtu)


def add_vlan(name: str, *, parent: int, tag: int) -> Request:
    """Make the 802.1Q interface for the frames with this tag on `parent`, down."""
    return _sub_interface(name, "vlan", attribute(_VLAN_ID, struct.pack("=H", tag)), parent=parent)


def add_pair(name: str, other: str) -> Request:
    """Make a veth pair here, both ends down."""
    peer = _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, other)
    information = _text(_INFO_KIND, "veth") + attribute(
        _INFO_DATA | _NESTED, attribute(_VETH_PEER | _NESTED, peer)
    )
    body = _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
    body += attribute(_IFLA_LINKINFO | _NESTED, information)
    return Request(f"add veth {name} with peer {other}", _NEWLINK, _CREATE | _EXCL, body)


def set_up(index: int, name: str) -> Request:
    """Bring an interface up."""
    return Request(f"set {name} up", _NEWLINK, 0, _ifinfo.pack(0, 0, index, IFF_UP, IFF_UP))


def set_master(index: int, name: str, master: int) -> Request:
    """Put an interface on the bridge with index `master`."""
    body = _ifinfo.pack(0, 0, index, 0, 0) + _number(_IFLA_MASTER, master)
    return Request(f"put {name} on a bridge", _NEWLINK, 0, body)


def rename(index: int, name: str, wanted: str) -> Request:
    """Give an interface that is down another name."""
    body = _ifinfo.pack(0, 0, index, 0, 0) + _text(_IFLA_IFNAME, wanted)
    return Request(f"rename {name} to {wanted}", _NEWLINK, 0, body)


def move(index: int, name: str, netns: int) -> Request:
    """Put an interface into another network namespace (a file descriptor of it); it is down there."""
    body = _ifinfo.pack(0, 0, index, 0, 0) + _number(_IFLA_NET_NS_FD, netns)
    return Request(f"move {name}", _NEWLINK, 0, body)


def set_port(name: str, *, hairpin: bool, isolated: bool) -> Request:
    """How a bridge treats its port `name`: may frames go out where they came in; is it cut off from other
    isolated ports.
    """
    port = attribute(_BRPORT_MODE, bytes([hairpin])) + attribute(_BRPORT_ISOLATED, bytes([isolated]))
    slave = _text(_INFO_SLAVE_KIND, "bridge") + attribute(_INFO_SLAVE_DATA | _NESTED, port)
    body = (
        _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + attribute(_IFLA_LINKINFO | _NESTED, slave)
    )
    return Request(f"set bridge port {name}", _NEWLINK, 0, body)


def delete_link(name: str) -> Request:
    """Delete an interface by name; a veth goes with its peer."""
    body = _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
    return Request(f"delete {name}", _DELLINK, 0, body)


def add_address(index: int, name: str, address: str) -> Request:
    """Give an interface an address with prefix length ("172.17.0.2/16"), no error where it has it already.

    IPv6 addresses skip duplicate detection: the engine hands each out once.
    """
    host, _, length = address.partition("/")
    family, packed = _packed(host)
    flags = _IFA_F_NODAD if family == socket.AF_INET6 else 0
    body = _ifaddr.pack(family, int(length), flags, 0, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    if family == socket.AF_INET and int(length) < 31:
        hosts = (1 << (32 - int(length))) - 1
        body += attribute(_IFA_BROADCAST, struct.pack("!I", struct.unpack("!I", packed)[0] | hosts))
    return Request(f"add address {address} to {name}", _NEWADDR, _CREATE | _REPLACE, body)


def add_route(index: int, name: str, destination: str, gateway: str) -> Request:
    """Route a destination ("default", "::/0", "10.0.0.0/8") through an interface, by a gateway or "".

    A default route takes the place of the one that is there; any other must be new.
    """
    if destination == "default":
        destination = "::/0" if ":" in gateway else "0.0.0.0/0"
    network, _, length = destination.partition("/")
    family, packed = _packed(network)
    scope = _SCOPE_UNIVERSE if gateway or family == socket.AF_INET6 else _SCOPE_LINK
    body = _rtmsg.pack(family, int(length), 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, scope, _UNICAST, 0)
    if int(length):
        body += attribute(_RTA_DST, packed)
    if gateway:
        body += attribute(_RTA_GATEWAY, _packed(gateway)[1])
    body += _number(_RTA_OIF, index)
    what = f"add route {destination} by {gateway or 'link'} on {name}"
    return Request(what, _NEWROUTE, _CREATE | (_EXCL if int(length) else _REPLACE), body)


def encode(requests: Sequence[Request], sequence: int) -> bytes:
    """The batch as one datagram, numbered from `sequence`; the last is acknowledged, errors always."""
    encoded = []
    last = len(requests) - 1
    for number, each in enumerate(requests):
        flags = _REQUEST | each.flags | (_ACK if number == last else 0)
        encoded.append(_header.pack(16 + len(each.body), each.kind, flags, sequence + number, 0) + each.body)
    return b"".join(encoded)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes in a message body from `offset` on, by type without its flag bits."""
    found = {}
    while offset + 4 <= len(data):
        length, kind = _attribute.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The netlink messages of a datagram: (type, flags, sequence, body)."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _header.unpack_from(data, offset)
        if length < 16:
            break
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _error_text(number: int, flags: int, body: bytes) -> str:
    if flags & _ACK_TLVS:
        message = attributes(body, 20).get(1, b"")
        if message:
            return f"{message.rstrip(bytes(1)).decode(errors='replace')} ({os.strerror(number)})"
    return os.strerror(number)


class Socket:
    """A NETLINK_ROUTE socket of the network namespace in which it was opened; a context manager."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._sequence = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, requests: Sequence[Request]) -> None:
        """Perform a batch. Raises OSError for the first that failed; the kernel tries those after it all the
        same, so the caller undoes the whole.
        """
        first = self._sequence
        final = first + len(requests) - 1
        self._sequence = final + 1
        self._socket.send(encode(requests, first))
        failure: OSError | None = None
        while True:
            for kind, flags, sequence, body in messages(self._socket.recv(65536)):
                if kind != _ERROR:
                    continue
                number = -struct.unpack_from("=i", body)[0]
                if number and failure is None:
                    what = requests[sequence - first].what
                    failure = OSError(number, f"{what}: {_error_text(number, flags, body)}")
                if sequence == final:
                    if failure is not None:
                        raise failure
                    return

    def _query(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        sequence = self._sequence
        self._sequence += 1
        self._socket.send(_header.pack(16 + len(body), kind, _REQUEST | flags, sequence, 0) + body)
        found: list[bytes] = []
        while True:
            for reply, reply_flags, _, answer in messages(self._socket.recv(1 << 18)):
                if reply == _DONE:
                    return found
                if reply == _ERROR:
                    number = -struct.unpack_from("=i", answer)[0]
                    raise OSError(number, f"netlink query: {_error_text(number, reply_flags, answer)}")
                found.append(answer)
            if not flags & _DUMP:
                return found

    def link(self, name: str) -> Link | None:
        """The interface of that name, or None."""
        try:
            found = self._query(_GETLINK, 0, _ifinfo.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name))
        except OSError as error:
            if error.errno == 19:  # ENODEV
                return None
            raise
        return _parse_link(found[0])

    def links(self) -> list[Link]:
        """All interfaces."""
        return [_parse_link(each) for each in self._query(_GETLINK, _DUMP, _ifinfo.pack(0, 0, 0, 0, 0))]

    def addresses(self) -> list[tuple[int, str]]:
        """All addresses as (interface index, "address/length")."""
        found = []
        for each in self._query(_GETADDR, _DUMP, _ifaddr.pack(0, 0, 0, 0, 0)):
            family, length, _, _, index = _ifaddr.unpack_from(each)
            attrs = attributes(each, _ifaddr.size)
            packed = attrs.get(_IFA_LOCAL) or attrs.get(_IFA_ADDRESS)
            if packed:
                found.append((index, f"{socket.inet_ntop(family, packed)}/{length}"))
        return found

    def routes(self) -> list[tuple[str, int]]:
        """All unicast routes of all tables but default ones, as ("network/length", interface index)."""
        found = []
        for each in self._query(_GETROUTE, _DUMP, _rtmsg.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
            family, length, _, _, _, _, _, kind, _ = _rtmsg.unpack_from(each)
            attrs = attributes(each, _rtmsg.size)
            if kind == _UNICAST and length and _RTA_DST in attrs:
                index = _u32.unpack(attrs[_RTA_OIF])[0] if _RTA_OIF in attrs else 0
                found.append((f"{socket.inet_ntop(family, attrs[_RTA_DST])}/{length}", index))
        return found


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _ifinfo.unpack_from(body)
    attrs = attributes(body, _ifinfo.size)
    information = attributes(attrs.get(_IFLA_LINKINFO, b""))
    return Link(
        index,
        attrs[_IFLA_IFNAME].rstrip(b"\0").decode(),
        information.get(_INFO_KIND, b"").rstrip(b"\0").decode(),
        flags,
        attrs.get(_IFLA_ADDRESS, b"").hex(":"),
        _u32.unpack(attrs[_IFLA_MTU])[0],
        _u32.unpack(attrs[_IFLA_MASTER])[0] if _IFLA_MASTER in attrs else 0,
    )
