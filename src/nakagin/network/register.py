"""What networks there are and who is on them: in memory and in the records, with the addresses they hand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from nakagin.errors import Conflict, Exhausted, Invalid, NotFound, nearest
from nakagin.network.addresses import Allocator
from nakagin.network.model import DEFAULT_BRIDGE, Endpoint, Network

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from nakagin.network.model import Subnet

_NETWORK, _ENDPOINT = "network", "endpoint"


class RecordStore(Protocol):
    """What is needed of storage.records.Records."""

    def put(self, kind: str, key: str, data: bytes, /) -> None: ...
    def delete(self, kind: str, key: str, /) -> None: ...
    def all(self, kind: str, /) -> Iterable[tuple[str, bytes]]: ...


class Register:
    """All networks and endpoints of one engine. Every change is written before it is seen."""

    def __init__(self, records: RecordStore) -> None:
        self.records = records
        self._networks: dict[str, Network] = {}
        self._names: dict[str, str] = {}
        self._of: dict[str, list[Endpoint]] = {}  # by container
        self._on: dict[str, dict[str, Endpoint]] = {}  # by network, then by endpoint
        self._allocators: dict[tuple[str, str], Allocator] = {}  # by network and subnet

    def load(self, living: Collection[str]) -> None:
        """Read the records; the endpoints of containers that do not live are dropped."""
        for _, data in self.records.all(_NETWORK):
            self._remember(msgspec.json.decode(data, type=Network))
        for key, data in list(self.records.all(_ENDPOINT)):
            endpoint = msgspec.json.decode(data, type=Endpoint)
            if endpoint.container_id in living and endpoint.network_id in self._networks:
                self._of.setdefault(endpoint.container_id, []).append(endpoint)
                self._on[endpoint.network_id][endpoint.id] = endpoint
                for address in endpoint.addresses:
                    self._pool_of(endpoint, address).take(address)
            else:
                self.records.delete(_ENDPOINT, key)
        for several in self._of.values():
            several.sort(key=lambda each: each.interface)

    # --- networks ----------------------------------------------------------------------------------------

    def all(self) -> tuple[Network, ...]:
        """Every network, oldest first."""
        return tuple(sorted(self._networks.values(), key=lambda each: each.created))

    def get(self, reference: str) -> Network:
        """By name ("default" is bridge), id, or unique id prefix. Raises NotFound, Invalid (ambiguous)."""
        found = self.named(DEFAULT_BRIDGE if reference == "default" else reference)
        found = found or self._networks.get(reference)
        if found is not None:
            return found
        similar = [each for key, each in self._networks.items() if reference and key.startswith(reference)]
        if len(similar) > 1:
            names = ", ".join(sorted(each.name for each in similar))
            raise Invalid(
                f"network {reference} is ambiguous ({len(similar)} matches found based on ID prefix)",
                hint=f"it begins the ids of {names}",
            )
        if not similar:
            raise NotFound(f"network {reference} not found", hint=nearest(reference, self._names))
        return similar[0]

    def named(self, name: str) -> Network | None:
        return self._networks.get(self._names.get(name, ""))

    def find(self, network_id: str) -> Network | None:
        """By full id."""
        return self._networks.get(network_id)

    def keep(self, network: Network) -> Network:
        """Record a network, new or changed."""
        self.records.put(_NETWORK, network.id, msgspec.json.encode(network))
        return self._remember(network)

    def drop(self, network: Network) -> None:
        """Forget a network on which nobody is."""
        self.records.delete(_NETWORK, network.id)
        self._networks.pop(network.id, None)
        self._names.pop(network.name, None)
        self._on.pop(network.id, None)
        for key in [each for each in self._allocators if each[0] == network.id]:
            del self._allocators[key]

    def _remember(self, network: Network) -> Network:
        old = self._networks.get(network.id)
        self._networks[network.id] = network
        self._names[network.name] = network.id
        self._on.setdefault(network.id, {})
        for pool in network.subnets:
            # Whoever is on the network has taken its addresses from the pools as they were.
            if old is None or pool not in old.subnets:
                self._allocators[network.id, pool.subnet] = Allocator(pool, network.name)
        return network

    # --- endpoints ---------------------------------------------------------------------------------------

    def members(self, network_id: str) -> list[Endpoint]:
        """Who is on a network."""
        return list(self._on.get(network_id, {}).values())

    def of(self, container_id: str) -> tuple[Endpoint, ...]:
        """Where a container is, in the order of its interfaces' making."""
        return tuple(self._of.get(container_id, ()))

    def endpoints(self) -> Iterator[Endpoint]:
        """All of them."""
        return (each for several in self._of.values() for each in several)

    def containers(self) -> tuple[str, ...]:
        """The ids of the containers that are on a network."""
        return tuple(self._of)

    def put(self, endpoint: Endpoint) -> None:
        """Record an endpoint, new or changed."""
        self.records.put(_ENDPOINT, endpoint.id, msgspec.json.encode(endpoint))
        several = self._of.setdefault(endpoint.container_id, [])
        for number, each in enumerate(several):
            if each.id == endpoint.id:
                several[number] = endpoint
                break
        else:
            several.append(endpoint)
        self._on[endpoint.network_id][endpoint.id] = endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint and take its addresses back."""
        self.records.delete(_ENDPOINT, endpoint.id)
        rest = [each for each in self._of.get(endpoint.container_id, ()) if each.id != endpoint.id]
        if rest:
            self._of[endpoint.container_id] = rest
        else:
            self._of.pop(endpoint.container_id, None)
        self._on[endpoint.network_id].pop(endpoint.id, None)
        for address in endpoint.addresses:
            self._pool_of(endpoint, address).release(address)

    # --- addresses ---------------------------------------------------------------------------------------

    def take_address(self, network: Network, *, ipv6: bool, wanted: str = "") -> str:
        """An address with prefix length from the network's pools of a family; the wanted one, if any.

        Raises Conflict (names who has it), Invalid (in none of the subnets), Exhausted.
        """
        pools = [each for each in network.subnets if each.is_ipv6 == ipv6]
        if wanted:
            return self._take_wanted(network, pools, wanted)
        for number, pool in enumerate(pools, 1):
            try:
                return self._allocators[network.id, pool.subnet].take()
            except Exhausted:
                if number == len(pools):
                    raise
        raise Invalid(f"network {network.name} has no IPv{6 if ipv6 else 4} subnet")

    def _take_wanted(self, network: Network, pools: Iterable[Subnet], wanted: str) -> str:
        for pool in pools:
            allocator = self._allocators[network.id, pool.subnet]
            if not allocator.holds(wanted):
                continue
            try:
                return allocator.take(wanted)
            except Conflict:
                holder = self.holder(network, wanted)
                if holder is None:
                    raise
                raise Conflict(
                    f"address {wanted} of network {network.name} is already in use "
                    f"by container {holder.container_name}",
                    hint="choose another one, or disconnect that container",
                ) from None
        subnets = ", ".join(each.subnet for each in network.subnets) or "none"
        raise Invalid(
            f"no configured subnet or ip-range contain the IP address {wanted}",
            hint=f"network {network.name} has the subnets: {subnets}",
        )

    def holder(self, network: Network, address: str) -> Endpoint | None:
        """Who has an address (without prefix length) or a MAC address on a network."""
        return next(
            (
                each
                for each in self._on[network.id].values()
                if each.mac == address or any(one.partition("/")[0] == address for one in each.addresses)
            ),
            None,
        )

    def give_back(self, network: Network, address: str) -> None:
        """Release an address that no endpoint has."""
        allocator = self._holding(network, address.partition("/")[0])
        if allocator is not None:
            allocator.release(address)

    def shun(self, network: Network, address: str) -> bool:
        """Give an address (without prefix length) of this network last; False where it is none of its."""
        allocator = self._holding(network, address)
        if allocator is not None:
            allocator.shun(address)
        return allocator is not None

    def reserve(self, network: Network, address: str, what: str) -> None:
        """Never give an address, where it is one of this network's at all."""
        allocator = self._holding(network, address)
        if allocator is not None:
            allocator.reserve(address, what)

    def counts(self, network: Network) -> dict[str, tuple[int, int]]:
        """Of each subnet of a network: how many addresses are taken, and how many may still be given."""
        return {each.subnet: self._allocators[network.id, each.subnet].counts() for each in network.subnets}

    def _holding(self, network: Network, address: str) -> Allocator | None:
        """Who hands out an address (without prefix length) of a network."""
        several = (self._allocators[network.id, pool.subnet] for pool in network.subnets)
        return next((each for each in several if each.holds(address)), None)

    def _pool_of(self, endpoint: Endpoint, address: str) -> Allocator:
        network = self._networks[endpoint.network_id]
        # None: the network has changed since, there is nothing to hold.
        allocator = self._holding(network, address.partition("/")[0])
        return allocator or Allocator(network.subnets[0], network.name)
