"""Who listens on this host: /proc/net and /proc/PID/fd (proc(5)). Read only when a port turned out taken."""

from __future__ import annotations

import os

_LISTEN = "0A"  # TCP_LISTEN in <net/tcp_states.h>; a bound UDP socket is in state 07
_UNCONNECTED = "07"


def _entries(protocol: str) -> list[tuple[int, str]]:
    """(port, inode) of every listening or bound socket."""
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    found = []
    for name in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                next(file, None)
                rows = [line.split() for line in file]
        except OSError:
            continue  # no IPv6
        found += [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if row[3] == wanted]
    return found


def ports(protocol: str) -> set[int]:
    """All ports that somebody listens on, on any address."""
    return {port for port, _ in _entries(protocol)}


def holder(protocol: str, port: int) -> str:
    """Who listens on a port, as 'process "nginx" (pid 12)'; empty where it cannot be found out."""
    inodes = {f"socket:[{inode}]" for number, inode in _entries(protocol) if number == port}
    for pid in filter(str.isdecimal, os.listdir("/proc")) if inodes else ():
        try:
            names = os.listdir(f"/proc/{pid}/fd")
            if any(os.readlink(f"/proc/{pid}/fd/{name}") in inodes for name in names):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    return f'process "{file.read().strip()}" (pid {pid})'
        except OSError:
            continue  # ended meanwhile, or not ours to look into
    return ""
