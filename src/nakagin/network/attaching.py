"""Giving containers their places on networks and taking them back: records, addresses, ports, default routes.

All that is planned and recorded here; interfaces are made by `links`, in the monitor or a thread of the engine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.errors import Conflict, Invalid
from nakagin.network import bridges
from nakagin.network.endpoints import (
    Attachment,
    attachment_plan,
    elect,
    gateways,
    interface_name,
    interface_sysctls,
    make_endpoint,
)
from nakagin.network.model import PortMapping
from nakagin.network.ports import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nakagin.network.ground import Ground
    from nakagin.network.model import Endpoint, EndpointPlan, Network, PortRequest, Wish
    from nakagin.network.ports import Ports
    from nakagin.network.register import Register


_ANYWHERE = {False: "0.0.0.0", True: "::"}  # noqa: S104  publishing everywhere is Docker's default


class Rerouting(NamedTuple):
    """A default route that has to change in a running container: by this interface, these gateways."""

    interface: str
    gateways: tuple[str, str]


class Attaching:
    """Who gets which place."""

    def __init__(self, register: Register, ground: Ground, ports: Ports) -> None:
        self._register = register
        self._ground = ground
        self._ports = ports

    def attach(
        self,
        container_id: str,
        container_name: str,
        wishes: Sequence[Wish],
        requests: Sequence[PortRequest] = (),
    ) -> Attachment:
        """Places on all these networks and the container's host ports: all or nothing.

        Raises as `Register.take_address` and `Ports.reserve` do, NotFound (network), StepFailed (the kernel refused).
        """
        with contextlib.ExitStack() as undo:
            made: list[Endpoint] = []
            for wish in wishes:
                made.append(self._place(container_id, container_name, wish, made, undo))
            made = self._elected(made)
            publications = []
            if requests and (holder := port_holder(made)) is not None:
                undo.callback(self._ports.release, container_id)
                publications = self.reserve(holder, requests)
                for one in publications:
                    undo.callback(one.close)
                mappings = tuple(one.mapping for one in publications)
                made = [
                    msgspec.structs.replace(each, ports=mappings) if each.id == holder.id else each
                    for each in made
                ]
            for endpoint in made:
                self._register.put(endpoint)
            if publications:
                self._ground.lead((), self._ground.published(container_id))
            undo.pop_all()
        return Attachment(made, self._plans(made), publications)

    def give_way(self, wishes: Iterable[Wish], address: str) -> bool:
        """A stranger has an address that one of these wishes was given: whether it is worth another attempt.

        It is not where the user asked for just that one.
        """
        several = list(wishes)
        if any(address in {each.ipv4, each.ipv6} for each in several):
            return False
        return any(self._register.shun(self._register.get(each.network), address) for each in several)

    def _place(
        self, container_id: str, name: str, wish: Wish, others: Sequence[Endpoint], undo: contextlib.ExitStack
    ) -> Endpoint:
        network = self._attachable(wish.network, name)
        if any(each.network_id == network.id for each in (*self._register.of(container_id), *others)):
            raise Conflict(f"endpoint with name {name} already exists in network {network.name}")
        self._check_mac(network, wish)
        network = self._ground.ensure(network)
        addresses = []
        for ipv6, wanted in ((False, wish.ipv4), (True, wish.ipv6)):
            if wanted or any(each.is_ipv6 == ipv6 for each in network.subnets):
                addresses.append(self._register.take_address(network, ipv6=ipv6, wanted=wanted))
                undo.callback(self._register.give_back, network, addresses[-1])
        taken = {each.interface for each in (*self._register.of(container_id), *others)}
        interface = interface_name(network, wish, taken)
        endpoint = make_endpoint(network, container_id, name, wish, addresses, interface)
        interface_sysctls(endpoint)
        undo.callback(self._register.remove, endpoint)
        return endpoint

    def reserve(self, holder: Endpoint, requests: Sequence[PortRequest]) -> list[Publication]:
        """Host ports for a container; a family that is routed needs none: its own ports are opened instead."""
        network = self._register.get(holder.network_id)
        id, name, binding = holder.container_id, holder.container_name, network.host_binding
        routed = [
            ipv6
            for ipv6 in (False, True)
            if holder.address(ipv6=ipv6) and network.gateway_mode(ipv6=ipv6) == "routed"
        ]
        if not routed:
            return self._ports.reserve(id, name, requests, binding)
        opened = [
            Publication(
                PortMapping(each.protocol, _ANYWHERE[ipv6], each.container_port, each.container_port), ()
            )
            for each in requests
            for ipv6 in routed
        ]
        if False in routed:
            return opened
        return [*self._ports.reserve(id, name, requests, binding or _ANYWHERE[False]), *opened]

    def _attachable(self, reference: str, name: str) -> Network:
        network = self._register.get(reference)
        if network.driver in {"host", "null"}:
            raise Invalid(f"container {name} cannot be connected to the {network.name} network with others")
        if network.config_only:
            raise Invalid(
                f"network {network.name} is a configuration-only network: nothing can be attached to it"
            )
        return network

    def _check_mac(self, network: Network, wish: Wish) -> None:
        holder = self._register.holder(network, wish.mac.lower()) if wish.mac else None
        if holder is not None:
            raise Conflict(
                f"MAC address {wish.mac} of network {network.name} is already in use "
                f"by container {holder.container_name}",
                hint="leave --mac-address out, or choose another one",
            )

    def _networks_of(self, endpoints: Iterable[Endpoint]) -> dict[str, Network]:
        return {each.network_id: self._register.get(each.network_id) for each in endpoints}

    def _elected(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """The endpoints, knowing which of them have the default routes."""
        chosen = elect(endpoints, self._networks_of(endpoints))
        return [
            msgspec.structs.replace(
                each, gateway=tuple(digit for digit, id in chosen.items() if id == each.id)
            )
            for each in endpoints
        ]

    def _plans(self, endpoints: Iterable[Endpoint]) -> list[EndpointPlan]:
        filtered = bridges.frames_are_filtered()
        return [
            attachment_plan(self._register.get(each.network_id), each, filtered=filtered)
            for each in endpoints
        ]

    # --- while it runs -----------------------------------------------------------------------------------

    def connect(self, container_id: str, container_name: str, wish: Wish) -> EndpointPlan:
        """One more place for a running container: what `links.attach` has to do. Its ports may move there."""
        with contextlib.ExitStack() as undo:
            endpoint = self._place(container_id, container_name, wish, (), undo)
            with self._moved_ports(container_id):
                self._register.put(endpoint)
                self._settle(container_id)
            undo.pop_all()
        endpoint = next(each for each in self._register.of(container_id) if each.id == endpoint.id)
        return self._plans([endpoint])[0]

    def disconnect(self, container_id: str, network: Network) -> tuple[EndpointPlan, list[Rerouting]]:
        """Take one place back: what `links.detach` has to do, and the default routes that must be set after it."""
        endpoint = next(each for each in self._register.of(container_id) if each.network_id == network.id)
        plan = self._plans([endpoint])[0]
        before = {each.id: each.gateway for each in self._register.of(container_id)}
        with self._moved_ports(container_id):
            heir = [each for each in self._register.of(container_id) if each.id != endpoint.id]
            if endpoint.ports and heir:
                self._register.put(msgspec.structs.replace(heir[0], ports=endpoint.ports))
            elif endpoint.ports:
                self._ports.release(container_id)
            self._register.remove(endpoint)
            self._settle(container_id)
        return plan, [
            Rerouting(each.interface, gateways(self._register.get(each.network_id), each))
            for each in self._register.of(container_id)
            if each.gateway != before[each.id]
        ]

    def _settle(self, container_id: str) -> None:
        """Elect the default routes anew and let the ports go with them."""
        old = self._register.of(container_id)
        new = self._elected(old)
        ports = next((each.ports for each in old if each.ports), ())
        holder = port_holder(new) if ports else None
        for before, each in zip(old, new, strict=True):
            after = msgspec.structs.replace(each, ports=ports if holder and each.id == holder.id else ())
            if after != before:
                self._register.put(after)

    @contextlib.contextmanager
    def _moved_ports(self, container_id: str) -> Iterator[None]:
        before = self._ground.published(container_id)
        yield
        self._ground.lead(before, self._ground.published(container_id))

    def release(self, container_id: str, forget: Callable[[str], None]) -> tuple[Endpoint, ...]:
        """Take back all that a container has; `forget` hears the addresses with datagram flows to them."""
        endpoints = self._register.of(container_id)
        self._ground.lead(self._ground.published(container_id), ())
        datagrams = any(port.protocol == "udp" for each in endpoints for port in each.ports)
        for endpoint in endpoints:
            if datagrams:
                for address in endpoint.addresses:
                    forget(address.partition("/")[0])
            self._register.remove(endpoint)
        self._ports.release(container_id)
        return endpoints

    def rename(self, container_id: str, container_name: str) -> None:
        """A container has a new name: show it in inspections and in the error for a taken port."""
        endpoints = self._register.of(container_id)
        if not endpoints:
            return
        self._ports.release(container_id)
        for each in endpoints:
            names = tuple(container_name if one == each.container_name else one for one in each.dns_names)
            self._register.put(msgspec.structs.replace(each, container_name=container_name, dns_names=names))
            self._ports.adopt(container_id, container_name, self.held(each))

    def held(self, endpoint: Endpoint) -> list[PortMapping]:
        """The endpoint's mappings that take a port of this host."""
        network = self._register.get(endpoint.network_id)
        return [each for each in endpoint.ports if network.gateway_mode(ipv6=each.is_ipv6) != "routed"]


def port_holder(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that carries a container's ports: the one with the default route, of IPv4 where there is one."""
    for digit in ("4", "6"):
        for each in endpoints:
            if digit in each.gateway:
                return each
    return endpoints[0] if endpoints else None
