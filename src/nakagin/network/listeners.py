"""Who listens on this host: /proc/net and /proc/PID/fd (proc(5)). Read only when a port turned out taken."""

from __future__ import annotations

import os
import socket
import sys
from typing import NamedTuple

_LISTEN = "0A"  # TCP_LISTEN in <net/tcp_states.h>; a bound UDP socket is in state 07
_UNCONNECTED = "07"
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (a comparison)


class Listener(NamedTuple):
    """One listening (UDP: bound) socket."""

    address: str
    port: int
    inode: str


def _entries(protocol: str) -> list[Listener]:
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    found = []
    for name in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                next(file, None)
                rows = [line.split() for line in file]
        except OSError:
            continue  # no IPv6, no sctp
        for row in rows:
            if row[3] == wanted:
                address, _, port = row[1].rpartition(":")
                found.append(Listener(_address(address), int(port, 16), row[9]))
    return found


def _address(text: str) -> str:
    """The kernel writes each four bytes as a number of the machine's own byte order."""
    words = (bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def ports(protocol: str, address: str = "") -> set[int]:
    """All ports that somebody listens on, at `address` or at every address (any address: "")."""
    own = {address, *_ANYWHERE}
    everywhere = not address or address in _ANYWHERE
    return {each.port for each in _entries(protocol) if everywhere or each.address in own}


def holder(protocol: str, port: int) -> str:
    """Who listens on a port, as 'process "nginx" (pid 12)'; empty where it cannot be found out."""
    inodes = {f"socket:[{each.inode}]" for each in _entries(protocol) if each.port == port}
    for pid in filter(str.isdecimal, os.listdir("/proc")) if inodes else ():
        try:
            names = os.listdir(f"/proc/{pid}/fd")
            if any(os.readlink(f"/proc/{pid}/fd/{name}") in inodes for name in names):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    return f'process "{file.read().strip()}" (pid {pid})'
        except OSError:
            continue  # ended meanwhile, or not ours to look into
    return ""
