"""The kernel's side of all networks: their bridges and parents stand, and the firewall is as planned.

What is recorded is in `register`; what a container gets in `attaching`.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Exhausted, StepFailed, Unsupported
from nakagin.network import bridges, parents
from nakagin.network.addresses import Use, choose_subnet, first_host, overlaps
from nakagin.network.egress import Egress
from nakagin.network.endpoints import predefined, published
from nakagin.network.firewall import Firewall
from nakagin.network.model import DEFAULT_BRIDGE, Network, Settings, Subnet
from nakagin.network.ruleset import Ruleset, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.network.portmaps import Published
    from nakagin.network.register import Register

_log = logging.getLogger(__name__)


class Ground:
    """Bridges, parents and the firewall table of one engine."""

    def __init__(self, register: Register, settings: Settings) -> None:
        self._register = register
        self._settings = settings
        self._firewall = Firewall(settings.table) if settings.firewall else None
        self._standing: dict[str, int] = {}  # network -> interface index of its bridge
        self._warned = False
        self.egress = Egress(register.records)

    @property
    def standing(self) -> bool:
        """Whether anything of ours is in the kernel."""
        return bool(self._standing)

    def start(self) -> None:
        """Put right what a restart found: bridges with living containers, and those that were left."""
        self.settle_default_bridge()
        self.egress.load()
        for network in self._register.all():
            self.egress.add(network)
            members = self._register.members(network.id)
            if network.bridge and (members or bridges.index(network.bridge)):
                self._raise(network)
        if self._standing:
            self.refresh(look=True)

    # --- links -------------------------------------------------------------------------------------------

    def ensure(self, network: Network) -> Network:
        """Let the network's bridge or parent stand; the usual case costs one ioctl. The network as it is then."""
        if network.parent:
            made = parents.ensure(network)
            # Nobody would answer for these: an interface on top of another does not reach it.
            for address in parents.addresses_of_this_host():
                self._register.reserve(network, address, f"{address} of this host")
            return (
                self._register.keep(msgspec.structs.replace(network, found=False))
                if made and network.found
                else network
            )
        if network.is_default_bridge and self._settings.existing_bridge == "none":
            raise Unsupported("the default bridge is switched off (--bridge none)", hint="--network NAME")
        if network.bridge:
            known = self._standing.get(network.id)
            if not known or known != bridges.index(network.bridge):
                network = self._raise(network)
                self.refresh(look=True)
        return network

    def _raise(self, network: Network) -> Network:
        """Make a bridge stand, with the interfaces of those who live on it."""
        number = self._make_bridge(network)
        network = self._register.get(network.id)
        self._standing[network.id] = number
        kept = [each.host_interface for each in self._register.members(network.id)]
        bridges.sweep(network.bridge, kept)
        if kept:
            bridges.plug_in(network.bridge, kept)
        return network

    def _make_bridge(self, network: Network) -> int:
        """Of two engines that chose the same subnet at the same time, the later bridge gives way."""
        for _ in range(10):
            number = bridges.ensure(network, ip_forward=self._settings.ip_forward)
            older = [use.subnet for use, other in bridges.subnets_in_use(number) if other < number]
            if not self._may_move(network) or not any(
                overlaps(each.subnet, older) for each in network.subnets
            ):
                return number
            bridges.remove(network.bridge)
            network = self._move(network)
        raise Exhausted(f"no free subnet found for network {network.name}", hint="set --bip")

    def remove(self, network: Network) -> None:
        """Take a network's bridge or parent, and its rules, out of the kernel. Raises StepFailed."""
        self.egress.drop(network.id)
        self._standing.pop(network.id, None)
        if network.bridge and not network.found:
            bridges.remove(network.bridge)
        elif network.parent and not any(
            each.parent == network.parent and each.id != network.id for each in self._register.all()
        ):
            parents.remove(network)
        if self._standing:
            self.refresh()
        elif network.bridge and self._firewall is not None:
            self._firewall.remove()

    def cleanup(self) -> None:
        """Remove everything of ours: firewall table, bridges with their interfaces, parents that we made.

        The bridges go last: where this is cut short, the next `start` knows by them that there is more.
        """
        if self._firewall is not None and self._standing:
            self._firewall.remove()
        for network in self._register.all():
            if network.parent:
                parents.remove(network)
            elif network.bridge and not network.found and self._standing.pop(network.id, 0):
                bridges.remove(network.bridge, wholly=True)
        self._standing.clear()

    # --- firewall ----------------------------------------------------------------------------------------

    def refresh(self, *, look: bool = False) -> bool:
        """Bring the firewall up to date; with `look` compare with the kernel first. True if it differed from that."""
        if self._firewall is None:
            return False
        differed = False
        try:
            if look:
                differed = self._firewall.restore(self.ruleset())
            else:
                self._firewall.apply(self.ruleset())
            for key in self._standing:
                network = self._register.find(key)
                if network is not None and network.enable_ipv4:
                    bridges.open_loopback(network.bridge)
            self._warn_of_obstacles()
        except StepFailed as error:
            if error.errno != errno.ENOSYS:
                raise
            # Published ports still answer, by the monitors' proxies; the way out does not.
            _log.warning("containers cannot reach outside networks: %s", error)
            self._firewall = None
        return differed

    def restore(self) -> None:
        """Put our table right after somebody else changed the machine's firewall."""
        if self._standing and self.refresh(look=True):
            _log.warning("firewall table %s was changed by another process: restored", self._settings.table)

    def _warn_of_obstacles(self) -> None:
        if self._warned or self._firewall is None:
            return
        self._warned = True
        for each in self._firewall.obstacles():
            _log.warning("%s drops forwarded packets: let those of our bridges pass there", each)

    def ruleset(self) -> Ruleset:
        """The table as planned now."""
        networks = [each for key in self._standing if (each := self._register.find(key)) is not None]
        ports = [one for key in self._register.containers() for one in self.published(key)]
        return plan(
            self._settings.table, networks, ports, self.egress.allowed(),
            direct=self._settings.direct_routing, ipv6=self._settings.firewall6,
        )  # fmt: skip

    def published(self, container_id: str) -> list[Published]:
        """A container's ports, with where they lead."""
        endpoints = self._register.of(container_id)
        if not any(each.ports for each in endpoints):
            return []
        networks = {each.network_id: self._register.get(each.network_id) for each in endpoints}
        return published(endpoints, networks, direct=self._settings.direct_routing)

    def lead(self, before: Sequence[Published], after: Sequence[Published]) -> None:
        """A container's ports change, in one transaction: all that it had, and all that it has now."""
        if self._firewall is not None and (before or after):
            self._firewall.lead(before, after)

    # --- subnets -----------------------------------------------------------------------------------------

    def uses(self, *, but: Network | None = None) -> list[Use]:
        """Every subnet that is taken on this host, by networks of ours (those of others first) and by routes."""
        mine = {each.bridge for each in self._register.all() if each.bridge}
        own = {bridges.index(name) for name in mine}
        ours = [
            Use(pool.subnet, f"network {each.name}")
            for each in self._register.all()
            if (but is None or each.id != but.id) and not each.config_only
            for pool in each.subnets
        ]
        return ours + [use for use, number in bridges.subnets_in_use() if number not in own]

    def choose(self, network: Network, *, ipv6: bool) -> Subnet:
        """A free subnet for a network. Raises Exhausted, saying who has what."""
        pools = list(self._settings.pools)
        if ipv6 and not any(":" in base for base, _ in pools):
            pools.append((self._settings.ula or "fd00:6e6b::/48", 64))
        subnet = choose_subnet(pools, self.uses(but=network), ipv6=ipv6)
        return Subnet(subnet, first_host(subnet))

    def settle_default_bridge(self) -> None:
        """Choose the default bridge's subnet: --bip, else the recorded one while it is free, else another."""
        network = self._register.get(DEFAULT_BRIDGE)
        if self._register.members(network.id):
            return
        fresh = predefined(DEFAULT_BRIDGE, self._settings)
        digits = {pool.is_ipv6 for pool in fresh.subnets}
        wanted = {False} | ({True} if self._settings.ipv6 else set())
        kept = tuple(each for each in network.subnets if each.is_ipv6 in wanted - digits)
        fresh = msgspec.structs.replace(
            fresh, id=network.id, created=network.created, subnets=(*kept, *fresh.subnets)
        )
        used = [use.subnet for use in self.uses(but=fresh)]
        missing = [ipv6 for ipv6 in sorted(wanted) if not any(each.is_ipv6 == ipv6 for each in fresh.subnets)]
        if missing or (self._may_move(fresh) and any(overlaps(each.subnet, used) for each in kept)):
            if bridges.index(fresh.bridge) and not fresh.found:
                bridges.remove(fresh.bridge)
            self._move(fresh)
        elif fresh != network:
            self._register.keep(fresh)

    def _may_move(self, network: Network) -> bool:
        chosen_by_us = network.is_default_bridge and not self._settings.bridge_address
        return chosen_by_us and not self._register.members(network.id) and not network.found

    def _move(self, network: Network) -> Network:
        """Give the default bridge other subnets, such as no route of this host uses."""
        given = predefined(DEFAULT_BRIDGE, self._settings).subnets
        families = (False, True) if self._settings.ipv6 else (False,)
        missing = [ipv6 for ipv6 in families if not any(each.is_ipv6 == ipv6 for each in given)]
        pools = [*given, *(self.choose(network, ipv6=ipv6) for ipv6 in missing)]
        pools.sort(key=lambda each: each.is_ipv6)
        return self._register.keep(msgspec.structs.replace(network, subnets=tuple(pools)))
