"""Asking a network whether somebody has an address already: ARP probes (RFC 5227), neighbour solicitations (RFC 4862).

Import-light; works on an interface of the present network namespace that is up and has no address yet.
"""

from __future__ import annotations

import select
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The RFCs wait for a second or more; whoever is on the same switch answers in a millisecond.
PATIENCE = 0.1

_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL, <linux/if_ether.h>
_ARP, _IPV6 = 0x0806, 0x86DD
_SOLICITATION, _ADVERTISEMENT, _ICMPV6 = 135, 136, 58
_ethernet = struct.Struct("!6s6sH")
_arp = struct.Struct("!HHBBH6s4s6s4s")
_ip6 = struct.Struct("!IHBB16s16s")


def arp_probe(mac: bytes, address: bytes) -> bytes:
    """Who has this IPv4 address? From nobody, so that no cache learns of us."""
    body = _arp.pack(1, 0x0800, 6, 4, 1, mac, bytes(4), bytes(6), address)
    return _ethernet.pack(b"\xff" * 6, mac, _ARP) + body


def solicitation(mac: bytes, address: bytes) -> bytes:
    """Who has this IPv6 address? From the unspecified address to its solicited-node group."""
    group = bytes.fromhex("ff0200000000000000000001ff") + address[-3:]
    body = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + address
    pseudo = bytes(16) + group + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    head = _ip6.pack(6 << 28, len(body), _ICMPV6, 255, bytes(16), group)
    return _ethernet.pack(b"\x33\x33" + group[-4:], mac, _IPV6) + head + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def claim(frame: bytes) -> tuple[bytes, bytes]:
    """(address, MAC) of a frame by which somebody says that the address is his; empty for any other."""
    if len(frame) < 14 + 28:
        return b"", b""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return frame[28:32], frame[22:28]
    if kind == b"\x86\xdd" and frame[20] == _ICMPV6 and len(frame) >= 78 and frame[54] == _ADVERTISEMENT:
        return frame[62:78], frame[6:12]
    return b"", b""


def ask(interface: str, addresses: Sequence[str]) -> tuple[str, str] | None:
    """Ask for all addresses at once: (address, MAC) of one that somebody has. Raises OSError."""
    wanted = {
        socket.inet_pton(socket.AF_INET6 if ":" in each else socket.AF_INET, each): each for each in addresses
    }
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL)) as wire:
        wire.bind((interface, _EVERY_PROTOCOL))
        mac: bytes = wire.getsockname()[4]
        for packed in wanted:
            wire.send(arp_probe(mac, packed) if len(packed) == 4 else solicitation(mac, packed))
        deadline = time.monotonic() + PATIENCE
        while wanted and (left := deadline - time.monotonic()) > 0:
            if not select.select([wire], [], [], left)[0]:
                return None
            frame, where = wire.recvfrom(2048)
            address, holder = claim(frame)
            if address in wanted and holder != mac and where[2] != socket.PACKET_OUTGOING:
                return wanted[address], holder.hex(":")
    return None
