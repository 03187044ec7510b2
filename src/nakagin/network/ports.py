"""Published ports: choosing, binding and naming who holds one that is taken.

The sockets are bound here, in the engine, and passed to the monitor, which keeps them for the life of
its container and proxies what the firewall does not redirect (`::1`, and everything without nftables).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.errors import Conflict, Denied, Exhausted, Invalid, Unavailable
from nakagin.network import listeners
from nakagin.network.model import PortMapping, PortRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nakagin.network.model import Protocol

# Ranges above this size are guarded by the records and a look at /proc/net, not by sockets.
SOCKETS_AT_MOST = 256

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (publishing everywhere is Docker's default, and documented)
_BACKLOG = 4096
_EPHEMERAL = "/proc/sys/net/ipv4/ip_local_port_range"


class Publication:
    """One published mapping and the sockets that hold it (mapping.count of them, or none for a large range).

    The sockets do not block; TCP ones listen. The creator closes it once the sockets have been passed on.
    """

    __slots__ = ("mapping", "sockets")

    def __init__(self, mapping: PortMapping, sockets: Sequence[socket.socket]) -> None:
        self.mapping = mapping
        self.sockets = tuple(sockets)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class _Held(NamedTuple):
    mapping: PortMapping
    container_id: str
    container_name: str


class _Taken(Exception):
    """A host port is not to be had: which, and who has it as far as is known."""

    def __init__(self, host_ip: str, port: int, holder: str = "", last: int = 0) -> None:
        super().__init__(port)
        self.last = last or port  # of the holder's ports
        self.host_ip = host_ip
        self.port = port
        self.holder = holder


def fold(requests: Iterable[PortRequest]) -> list[PortMapping | PortRequest]:
    """Join neighbouring fixed ports into mappings; other requests stay as they are.

    The docker CLI sends `-p 8000-17999:8000-17999` as ten thousand single ports.
    """
    folded: list[PortMapping | PortRequest] = []
    for each in sorted(
        requests, key=lambda one: (one.protocol, one.host_ip, one.host_first, one.container_port)
    ):
        if not each.host_first or each.host_first != each.host_last:
            folded.append(each)
            continue
        last = folded[-1] if folded else None
        if (
            isinstance(last, PortMapping)
            and (last.protocol, last.host_ip, last.announced) == (each.protocol, each.host_ip, each.announced)
            and last.host_port + last.count == each.host_first
            and last.container_port + last.count == each.container_port
        ):
            folded[-1] = msgspec.structs.replace(last, count=last.count + 1)
        else:
            folded.append(
                PortMapping(
                    each.protocol,
                    each.host_ip,
                    each.host_first,
                    each.container_port,
                    announced=each.announced,
                )
            )
    return folded


def _meet(one: PortMapping, other: PortMapping) -> bool:
    """Whether two mappings want a common host port on a common address."""
    return (
        one.protocol == other.protocol
        and one.host_port < other.host_port + other.count
        and other.host_port < one.host_port + one.count
        and one.is_ipv6 == other.is_ipv6
        and (one.host_ip == other.host_ip or one.host_ip in _ANYWHERE or other.host_ip in _ANYWHERE)
    )


class Ports:
    """Which host ports the containers of this engine hold."""

    def __init__(self) -> None:
        self._single: dict[tuple[str, int], list[_Held]] = {}
        self._ranges: list[_Held] = []
        self._of: dict[str, list[PortMapping]] = {}
        self._ephemeral: Iterator[int] | None = None

    def reserve(
        self, container_id: str, container_name: str, requests: Iterable[PortRequest], default_host: str = ""
    ) -> list[Publication]:
        """Take a host port for each request: all of them or none.

        `default_host` is the address for requests that name none; empty: all, IPv4 and IPv6.
        Raises Conflict (port taken: names the holder and the next free port), Invalid (no interface has
        the address), Denied (privileged port), Exhausted (no free port in the range).
        """
        taken: list[Publication] = []
        try:
            for wish in fold(requests):
                new = self._satisfy(wish, default_host)
                taken += new
                self.adopt(container_id, container_name, [each.mapping for each in new])
        except BaseException:
            for each in taken:
                each.close()
            self.release(container_id, [each.mapping for each in taken])
            raise
        return taken

    def adopt(self, container_id: str, container_name: str, mappings: Iterable[PortMapping]) -> None:
        """Take over the mappings of a container that outlived the engine (its monitor has the sockets)."""
        for each in mappings:
            held = _Held(each, container_id, container_name)
            self._of.setdefault(container_id, []).append(each)
            if each.count == 1:
                self._single.setdefault((each.protocol, each.host_port), []).append(held)
            else:
                self._ranges.append(held)

    def release(self, container_id: str, mappings: Collection[PortMapping] | None = None) -> None:
        """Forget these mappings of a container, or all of them; the sockets are the monitor's."""
        held = self._of.get(container_id, [])
        gone = list(held) if mappings is None else [each for each in held if each in mappings]
        for each in gone:
            held.remove(each)
            if each.count > 1:
                self._ranges = [
                    one for one in self._ranges if (one.container_id, one.mapping) != (container_id, each)
                ]
                continue
            key = (each.protocol, each.host_port)
            rest = [
                one for one in self._single[key] if (one.container_id, one.mapping) != (container_id, each)
            ]
            if rest:
                self._single[key] = rest
            else:
                del self._single[key]
        if not held:
            self._of.pop(container_id, None)

    def _satisfy(self, wish: PortMapping | PortRequest, default_host: str) -> list[Publication]:
        host = wish.host_ip or default_host
        if isinstance(wish, PortMapping):
            if wish.announced and wish.count > SOCKETS_AT_MOST:
                raise Invalid(
                    f"a range of {wish.count} ports cannot have PROXY protocol",
                    hint=f"at most {SOCKETS_AT_MOST}",
                )
            try:
                return self._take(msgspec.structs.replace(wish, host_ip=host))
            except _Taken as taken:
                raise self._conflict(wish.protocol, taken) from None
        candidates = (
            range(wish.host_first, wish.host_last + 1) if wish.host_first else self._ephemeral_ports()
        )
        for port in candidates:
            try:
                return self._take(
                    PortMapping(wish.protocol, host, port, wish.container_port, announced=wish.announced)
                )
            except _Taken:
                continue
        where = f"{wish.host_first}-{wish.host_last}" if wish.host_first else "the ephemeral range"
        raise Exhausted(f"all {wish.protocol} host ports of {where} are allocated")

    def _take(self, wanted: PortMapping) -> list[Publication]:
        """A mapping for each address family where it names no address; the same ports in both, or _Taken."""
        publications: list[Publication] = []
        host = wanted.host_ip
        try:
            for each in (host,) if host else _ANYWHERE:
                mapping = msgspec.structs.replace(wanted, host_ip=each)
                try:
                    publications.append(Publication(mapping, self._bind(mapping)))
                except OSError as error:
                    if not (host or each != "::"):
                        continue  # a host without IPv6
                    raise self._explained(error, mapping) from error
        except BaseException:
            for one in publications:
                one.close()
            raise
        return publications

    def _bind(self, mapping: PortMapping) -> list[socket.socket]:
        self._check_held(mapping)
        if mapping.protocol == "sctp" and not _has_sctp(mapping.host_ip):
            return []  # on a kernel without it nobody else can take the port either
        if mapping.count > SOCKETS_AT_MOST:
            _check_listeners(mapping)
            return []
        with contextlib.ExitStack() as undo:
            ports = range(mapping.host_port, mapping.host_port + mapping.count)
            sockets = [
                undo.enter_context(_open_socket(mapping.protocol, mapping.host_ip, port)) for port in ports
            ]
            undo.pop_all()
        return sockets

    def _check_held(self, mapping: PortMapping) -> None:
        if mapping.count == 1:
            singles: Iterable[_Held] = self._single.get((mapping.protocol, mapping.host_port), ())
        else:
            singles = itertools.chain.from_iterable(self._single.values())
        for each in itertools.chain(singles, self._ranges):
            if _meet(each.mapping, mapping):
                port = max(each.mapping.host_port, mapping.host_port)
                last = each.mapping.host_port + each.mapping.count - 1
                raise _Taken(mapping.host_ip, port, f"container {each.container_name}", last)

    def _conflict(self, protocol: Protocol, taken: _Taken) -> Conflict:
        holder = taken.holder or listeners.holder(protocol, taken.port) or "another process"
        free = self._next_free(protocol, taken.host_ip, taken.port)
        return Conflict(
            f"Bind for {_joined(taken.host_ip, taken.port)} failed: port is already allocated by {holder}",
            hint=f"the next free port is {free}" if free else None,
        )

    def _next_free(self, protocol: Protocol, host: str, port: int) -> int:
        candidate = port + 1
        for _ in range(1000):
            if candidate > 65535:
                break
            try:
                for each in self._take(PortMapping(protocol, host, candidate, candidate)):
                    each.close()
            except _Taken as taken:
                candidate = max(candidate, taken.last) + 1
            except (Invalid, Denied, Unavailable):
                candidate += 1
            else:
                return candidate
        return 0

    def _explained(self, error: OSError, mapping: PortMapping) -> Invalid | Denied | Unavailable:
        what = f"cannot publish {mapping.protocol} port {_joined(mapping.host_ip, mapping.host_port)}"
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} or isinstance(error, socket.gaierror):
            return Invalid(f"{what}: no interface of this host has the address")
        if error.errno in {errno.EACCES, errno.EPERM}:
            return Denied(
                f"{what}: permission denied",
                hint="use a port above 1023, or lower net.ipv4.ip_unprivileged_port_start",
            )
        return Unavailable(f"{what}: {error.strerror or error}")

    def _ephemeral_ports(self) -> Iterator[int]:
        """All ports of the host's ephemeral range once, going on where the last search ended."""
        low, high = _ephemeral_range()
        if self._ephemeral is None:
            self._ephemeral = itertools.cycle(range(low, high + 1))
        return itertools.islice(self._ephemeral, high - low + 1)


def _open_socket(protocol: str, host: str, port: int) -> socket.socket:
    """A bound socket (listening for TCP) that does not block; IPv6 ones take no IPv4."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    number = socket.IPPROTO_SCTP if protocol == "sctp" else 0
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, number)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        if protocol == "tcp":
            opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise _Taken(host, port) from None
        raise
    return opened


def _has_sctp(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def _check_listeners(mapping: PortMapping) -> None:
    used = listeners.ports(mapping.protocol, mapping.host_ip)
    for port in range(mapping.host_port, mapping.host_port + mapping.count):
        if port in used:
            raise _Taken(mapping.host_ip, port)


def _ephemeral_range() -> tuple[int, int]:
    try:
        with open(_EPHEMERAL, encoding="ascii") as file:
            low, high = map(int, file.read().split())
    except OSError:
        low, high = 32768, 60999
    return low, high


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
