"""Choosing subnets and handing out addresses. Pure: the routes in use come as data."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.errors import Conflict, Exhausted, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nakagin.network.model import Subnet

_NAMED_AT_MOST = 12

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Docker's default-address-pools: base, and the prefix length of the subnets cut from it.
DOCKER_POOLS: tuple[tuple[str, int], ...] = (
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
)


#: How long the subnets are that are cut from a /48 where no IPv6 pool is given.
IPV6_LENGTH = 64


class Use(NamedTuple):
    """A subnet that is taken, and by what ("network web", "the route by eth0")."""

    subnet: str
    by: str


def overlaps(subnet: str, others: Iterable[str]) -> bool:
    """Whether a subnet shares an address with one of the others (of its own family)."""
    return next(meeting(subnet, (Use(each, "") for each in others)), None) is not None


def meeting(subnet: str, uses: Iterable[Use]) -> Iterator[Use]:
    """Those of the taken subnets that share an address with this one."""
    mine = ipaddress.ip_network(subnet, strict=False)
    for each in uses:
        other = ipaddress.ip_network(each.subnet, strict=False)
        if other.version == mine.version and mine.overlaps(other):
            yield each


def choose_subnet(pools: Sequence[tuple[str, int]], used: Sequence[Use], *, ipv6: bool = False) -> str:
    """The first subnet of the pools of a family that overlaps no used one ("172.17.0.0/16").

    Raises Exhausted, saying who has what.
    """
    mine = [each for each in pools if (":" in each[0]) == ipv6] or ([] if ipv6 else list(DOCKER_POOLS))
    taken = [ipaddress.ip_network(each.subnet, strict=False) for each in used if (":" in each.subnet) == ipv6]
    for base, size in mine:
        for candidate in _cut(ipaddress.ip_network(base), size, taken):
            return str(candidate)
    raise _exhausted(mine, used)


def _cut(base: IPNetwork, size: int, taken: Sequence[Any]) -> Iterator[IPNetwork]:
    """The free pieces of a pool; what is taken is jumped over as a whole, as an IPv6 pool has many pieces."""
    step = 1 << (base.max_prefixlen - size)
    at, end = int(base.network_address), int(base.broadcast_address)
    busy = sorted((int(each.network_address), int(each.broadcast_address)) for each in taken)
    while at + step - 1 <= end:
        last = next((high for low, high in busy if low < at + step and high >= at), None)
        if last is None:
            yield type(base)((at, size))
            at += step
        else:
            at = max(at + step, (last // step + 1) * step)


def _exhausted(pools: Sequence[tuple[str, int]], used: Sequence[Use]) -> Exhausted:
    bases = [base for base, _ in pools]
    holders = [each for each in used if overlaps(each.subnet, bases)]
    said = ", ".join(f"{each.subnet} has {each.by}" for each in holders[:_NAMED_AT_MOST])
    more = f" and {len(holders) - _NAMED_AT_MOST} more" if len(holders) > _NAMED_AT_MOST else ""
    return Exhausted(
        f"all predefined address pools have been fully subnetted: {said}{more}",
        hint="free some with nakagin network prune or network rm, name one with --subnet, "
        "or give the engine more with --default-address-pool base=CIDR,size=BITS",
    )


def first_host(subnet: str) -> str:
    """The address that a gateway gets where none was chosen."""
    return str(ipaddress.ip_network(subnet, strict=False)[1])


def mac_of(address: str) -> str:
    """The MAC address that belongs to an address, as Docker makes it: 02:42 and the (last) four bytes.

    Being tied to the address, it never leaves a stale entry in a neighbour's table.
    """
    return "02:42:" + ipaddress.ip_interface(address).ip.packed[-4:].hex(":")


class Allocator:
    """The addresses of one subnet: which are taken, which is next. None is reused before a whole round."""

    def __init__(self, pool: Subnet, owner: str) -> None:
        self._network: IPNetwork = ipaddress.ip_network(pool.subnet, strict=False)
        self._owner = owner
        space = ipaddress.ip_network(pool.ip_range or pool.subnet, strict=False)
        edge = 1 if space.num_addresses > 2 else 0
        low, high = int(space.network_address), int(space.broadcast_address)
        # The first and the last address of the subnet itself are nobody's.
        self._low = low + edge if low == int(self._network.network_address) else low
        self._high = high - edge if high == int(self._network.broadcast_address) else high
        self._next = self._low
        self._reserved = {"gateway": pool.gateway, **pool.auxiliary}
        self._taken = {int(ipaddress.ip_address(each)) for each in self._reserved.values() if each}
        self._shunned: set[int] = set()

    def take(self, wanted: str = "") -> str:
        """A free address with prefix length, or the wanted one. Raises Exhausted, Conflict, Invalid."""
        number = self._wanted(wanted) if wanted else self._free()
        self._taken.add(number)
        host = self._network[number - int(self._network.network_address)]
        return f"{host}/{self._network.prefixlen}"

    def release(self, address: str) -> None:
        """Give an address back (with or without prefix length)."""
        self._taken.discard(int(ipaddress.ip_interface(address).ip))

    def reserve(self, address: str, what: str) -> None:
        """An address (without prefix length) that nobody gets, though it is not the network's: `what` it is."""
        self._reserved[what] = address
        self._taken.add(int(ipaddress.ip_address(address)))

    def shun(self, address: str) -> None:
        """Give this free address (without prefix length) to nobody who has no wish, while there are others."""
        self._shunned.add(int(ipaddress.ip_address(address)))

    def counts(self) -> tuple[int, int]:
        """How many addresses of the subnet nobody else can have, and how many may still be given."""
        first = int(self._network.network_address)
        last = int(self._network.broadcast_address)
        inside = sum(self._low <= each <= self._high for each in self._taken)
        ends = {first, last} if self._network.num_addresses > 2 else set()
        return len(self._taken | ends), self._high - self._low + 1 - inside

    def _wanted(self, wanted: str) -> int:
        address = ipaddress.ip_interface(wanted).ip
        if address not in self._network:
            raise Invalid(f"address {address} is not in subnet {self._network} of network {self._owner}")
        if int(address) in self._taken:
            what = next((name for name, each in self._reserved.items() if each == str(address)), "")
            whose = f" (reserved: {what})" if what else ""
            raise Conflict(f"address {address} of network {self._owner} is already in use{whose}")
        return int(address)

    def holds(self, address: str) -> bool:
        """Whether an address (without prefix length) lies in this subnet."""
        return ipaddress.ip_address(address) in self._network

    def _free(self) -> int:
        for number in self._round():
            if number not in self._taken and number not in self._shunned:
                self._next = number + 1
                return number
        if self._shunned - self._taken:
            self._shunned.clear()  # who had them may have gone
            return self._free()
        raise Exhausted(
            f"network {self._owner} has no free address left in {self._network}",
            hint="remove a container from it, or use a network with a larger subnet",
        )

    def _round(self) -> Iterator[int]:
        start = self._next if self._low <= self._next <= self._high else self._low
        yield from range(start, self._high + 1)
        yield from range(self._low, start)
