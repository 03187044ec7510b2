"""Making and removing networks of the user's own: subnets and interfaces chosen, checked against what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict, Denied, Invalid, NakaginError
from nakagin.network import bridges, parents
from nakagin.network.addresses import first_host, meeting
from nakagin.network.definition import define, families
from nakagin.spec.labels import has_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.network.ground import Ground
    from nakagin.network.model import Network, Settings, Subnet
    from nakagin.network.register import Register
    from nakagin.spec.networking import NetworkCreate


class Making:
    """What may become a network, and what may go."""

    def __init__(self, register: Register, ground: Ground, settings: Settings) -> None:
        self._register = register
        self._ground = ground
        self._settings = settings

    def create(self, body: NetworkCreate) -> tuple[Network, str]:
        """Make a network as a whole or not at all, and what to warn of. Raises as `Networks.create` does."""
        template = None
        if body.config_from is not None and body.config_from.network:
            template = self._register.get(body.config_from.network)
        network = define(body, self._settings, template)
        if self._register.named(network.name) is not None:
            raise Conflict(f"network with name {network.name} already exists")
        warning = ""
        if not network.config_only:
            ipv4, ipv6 = families(body, network.options)
            network, warning = self._settled(network, ipv4=ipv4, ipv6=bool(ipv6))
        self._register.keep(network)
        try:
            self._ground.egress.add(network)
            self._ground.ensure(network)
        except NakaginError:
            self._ground.remove(network)
            self._register.drop(network)
            raise
        return network, warning

    def _settled(self, network: Network, *, ipv4: bool, ipv6: bool) -> tuple[Network, str]:
        """The network with its subnets and interface chosen, and what to warn of."""
        subnets = list(network.subnets)
        if network.ipam_driver == "default":
            ipv6 = ipv6 or (network.config_from != "" and any(each.is_ipv6 for each in subnets))
            for wanted, is_ipv6 in ((ipv4, False), (ipv6, True)):
                if wanted and not any(each.is_ipv6 == is_ipv6 for each in subnets):
                    subnets.append(self._ground.choose(network, ipv6=is_ipv6))
            if not ipv4:
                subnets = [each for each in subnets if each.is_ipv6]
            if not subnets:
                raise Invalid("IPv4 or IPv6 must be enabled", hint="--ipv4 or --ipv6")
        subnets = [
            self._with_gateway(network, each) for each in sorted(subnets, key=lambda each: each.is_ipv6)
        ]
        network = msgspec.structs.replace(network, subnets=tuple(subnets))
        warning = self._check_subnets(network)
        return self._with_interface(network), warning

    def _with_gateway(self, network: Network, pool: Subnet) -> Subnet:
        if pool.gateway or network.gateway_mode(ipv6=pool.is_ipv6) == "isolated":
            return pool
        if network.driver == "ipvlan" and network.mode != "l2":
            return pool
        return msgspec.structs.replace(pool, gateway=first_host(pool.subnet))

    def _check_subnets(self, network: Network) -> str:
        """Conflict for a subnet of another network of ours; a warning for one that a route of the host uses."""
        warnings = []
        for pool in network.subnets:
            for use in meeting(pool.subnet, self._ground.uses(but=network)):
                if use.by.startswith("network "):
                    raise Conflict(
                        f"invalid pool request: Pool overlaps with other one on this address space: "
                        f"{pool.subnet} with {use.subnet} of {use.by}",
                        hint="choose another --subnet, or remove that network",
                    )
                if network.driver == "bridge":
                    warnings.append(f"subnet {pool.subnet} overlaps with {use.by} ({use.subnet})")
        return "; ".join(warnings)

    def _with_interface(self, network: Network) -> Network:
        if network.driver in {"macvlan", "ipvlan"}:
            parent = parents.name_of(network)
            self._check_parent(network, parent)
            return msgspec.structs.replace(network, parent=parent, found=bool(bridges.index(parent)))
        if network.driver != "bridge":
            return network
        name = network.bridge or self._settings.bridge_of(network.id)
        other = next((each for each in self._register.all() if each.bridge == name), None)
        if other is not None:
            raise Conflict(
                f"bridge {name} is already used by network {other.name}", hint="choose another name for it"
            )
        found = bridges.check_found(name)
        return msgspec.structs.replace(network, bridge=name, found=found)

    def _check_parent(self, network: Network, parent: str) -> None:
        for each in self._register.all():
            if each.parent == parent and (
                each.driver != network.driver or "passthru" in {each.mode, network.mode}
            ):
                raise Conflict(
                    f"network {each.name} is already using parent interface {parent} ({each.driver}, {each.mode})",
                    hint=f"a VLAN of it will do: -o parent={parent}.TAG",
                )

    def remove(self, network: Network) -> None:
        """Take a network out of the kernel and the records. Raises Denied for one that is predefined or in use."""
        if network.predefined:
            raise Denied(f"{network.name} is a pre-defined network and cannot be removed")
        self._check_unused(network)
        self._ground.remove(network)
        self._register.drop(network)

    def _check_unused(self, network: Network) -> None:
        if members := self._register.members(network.id):
            who = ", ".join(f'name:"{each.container_name}" id:"{each.container_id[:12]}"' for each in members)
            raise Denied(
                f"error while removing network: network {network.name} has active endpoints ({who})",
                hint="disconnect or stop them first",
            )
        if users := [
            each.name
            for each in self._register.all()
            if network.config_only and each.config_from == network.name
        ]:
            raise Denied(f'configuration network "{network.name}" is in use by {", ".join(users)}')

    def unused(self, filters: Mapping[str, Sequence[str]], until: str) -> list[Network]:
        """What a prune may take: filters label and label!, `until` (RFC 3339) for those made before it."""
        return [
            network
            for network in self._register.all()
            if not (network.predefined or network.config_only or self._register.members(network.id))
            and (not until or network.created < until)
            and has_labels(network.labels, filters.get("label", ()))
            and not any(has_labels(network.labels, [each]) for each in filters.get("label!", ()))
        ]
