"""Who is called what, seen from each container: the name server's memory. Pure.

A network has members with names and addresses; a container sees the networks it is on, in its order, and the
links that it alone has.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Addresses = tuple[str, ...]

# Never a question for a server (RFC 6761).
_LOCALHOST = {"localhost": ("127.0.0.1", "::1")}


class _Network:
    """The members of one network, by container."""

    __slots__ = ("addresses", "by_address", "by_name", "name", "names")

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: dict[str, tuple[str, ...]] = {}
        self.addresses: dict[str, Addresses] = {}
        self.by_name: dict[str, list[str]] = {}
        self.by_address: dict[str, str] = {}

    def put(self, container: str, names: tuple[str, ...], addresses: Addresses) -> None:
        self.drop(container)
        self.names[container] = tuple(dict.fromkeys(each.lower() for each in names))
        self.addresses[container] = addresses
        for each in self.names[container]:
            self.by_name.setdefault(each, []).append(container)
        for address in addresses:
            # What others see as this container's name is the first one that it was given.
            self.by_address[address] = names[0] if names else ""

    def drop(self, container: str) -> None:
        for each in self.names.pop(container, ()):
            self.by_name[each].remove(container)
            if not self.by_name[each]:
                del self.by_name[each]
        for address in self.addresses.pop(container, ()):
            self.by_address.pop(address, None)

    def find(self, name: str) -> Addresses:
        return tuple(address for each in self.by_name.get(name, ()) for address in self.addresses[each])


class View:
    """What one container sees.

    `networks` are ids, in the order in which they are searched; `links` are its own names for others, by
    network: alias -> name. `servers` are those of --dns; `outside` says whether questions may leave at all,
    `guarded` whether the engine must be asked first.
    """

    __slots__ = ("guarded", "links", "networks", "outside", "servers")

    def __init__(self, document: dict[str, Any]) -> None:
        self.networks: tuple[str, ...] = tuple(document["networks"])
        self.links: dict[str, dict[str, str]] = document["links"]
        self.servers: tuple[str, ...] = tuple(document["servers"])
        self.outside: bool = document["outside"]
        self.guarded: bool = document["guarded"]


class Zones:
    """All networks of one engine, and its containers' views of them."""

    def __init__(self) -> None:
        self._networks: dict[str, _Network] = {}
        self._views: dict[str, View] = {}

    def put(
        self, network: str, network_name: str, container: str, names: tuple[str, ...], addresses: Addresses
    ) -> None:
        """A container is on a network, under these names (the first is its own) and addresses."""
        zone = self._networks.setdefault(network, _Network(network_name))
        zone.name = network_name
        zone.put(container, names, addresses)

    def drop(self, network: str, container: str) -> None:
        """A container has left a network."""
        zone = self._networks.get(network)
        if zone is not None:
            zone.drop(container)
            if not zone.names:
                del self._networks[network]

    def look(self, container: str, view: View) -> None:
        """What a container sees from now on."""
        self._views[container] = view

    def forget(self, container: str) -> None:
        """A container has ended."""
        self._views.pop(container, None)
        for network in [key for key, zone in self._networks.items() if container in zone.names]:
            self.drop(network, container)

    def clear(self) -> None:
        """Forget everything: the engine is about to tell it anew."""
        self._networks.clear()
        self._views.clear()

    def view(self, container: str) -> View | None:
        return self._views.get(container)

    def find(self, container: str, name: str) -> Addresses | None:
        """The addresses of a name as the container sees it; None where no network of its own knows it.

        "name", or "name.network" (both may have dots). Of several networks that know it, the first counts.
        """
        view = self._views.get(container)
        if view is None:
            return None
        for key in view.networks:
            zone = self._networks.get(key)
            if zone is None:
                continue
            links = view.links.get(key, {})
            found = zone.find(links.get(name, name))
            ending = f".{zone.name.lower()}"
            if not found and name.endswith(ending):
                short = name[: -len(ending)]
                found = zone.find(links.get(short, short))
            if found:
                return found
        return _LOCALHOST.get(name)

    def name_of(self, container: str, address: str) -> str:
        """ "name.network" of an address on one of the container's networks; "" for strangers."""
        view = self._views.get(container)
        for key in view.networks if view else ():
            zone = self._networks.get(key)
            name = zone.by_address.get(address, "") if zone else ""
            if zone and name:
                return f"{name}.{zone.name}"
        return ""
