"""Choosing subnets and handing out addresses. Pure: the routes in use come as data."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nakagin.errors import Conflict, Exhausted, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nakagin.network.model import Subnet

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


def overlaps(subnet: str, others: Iterable[str]) -> bool:
    """Whether a subnet shares an address with one of the others (of its own family)."""
    mine = ipaddress.ip_network(subnet, strict=False)
    for each in others:
        other = ipaddress.ip_network(each, strict=False)
        if other.version == mine.version and mine.overlaps(other):
            return True
    return False


def choose_subnet(pools: Sequence[tuple[str, int]], used: Sequence[str]) -> str:
    """The first subnet of the pools that overlaps no used one ("172.17.0.0/16"). Raises Exhausted."""
    taken = [ipaddress.ip_network(each, strict=False) for each in used]
    for base, size in pools or DOCKER_POOLS:
        for candidate in ipaddress.ip_network(base).subnets(new_prefix=size):
            if not any(each.version == candidate.version and candidate.overlaps(each) for each in taken):
                return str(candidate)
    raise Exhausted(
        f"all predefined address pools have been fully subnetted; in use: {', '.join(sorted(used))}",
        hint="remove a network, or give the engine more with --default-address-pool",
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
        reserved = [pool.gateway, *pool.auxiliary.values()]
        self._taken = {int(ipaddress.ip_address(each)) for each in reserved if each}

    def take(self, wanted: str = "") -> str:
        """A free address with prefix length, or the wanted one. Raises Exhausted, Conflict, Invalid."""
        number = self._wanted(wanted) if wanted else self._free()
        self._taken.add(number)
        host = self._network[number - int(self._network.network_address)]
        return f"{host}/{self._network.prefixlen}"

    def release(self, address: str) -> None:
        """Give an address back (with or without prefix length)."""
        self._taken.discard(int(ipaddress.ip_interface(address).ip))

    def _wanted(self, wanted: str) -> int:
        address = ipaddress.ip_interface(wanted).ip
        if address not in self._network:
            raise Invalid(f"address {address} is not in subnet {self._network} of network {self._owner}")
        if int(address) in self._taken:
            raise Conflict(f"address {address} of network {self._owner} is already in use")
        return int(address)

    def _free(self) -> int:
        for number in self._round():
            if number not in self._taken:
                self._next = number + 1
                return number
        raise Exhausted(
            f"network {self._owner} has no free address left in {self._network}",
            hint="remove a container from it, or use a network with a larger subnet",
        )

    def _round(self) -> Iterator[int]:
        start = self._next if self._low <= self._next <= self._high else self._low
        yield from range(start, self._high + 1)
        yield from range(self._low, start)
