"""Which networks a container is on: settled at its creation, changed by connect and disconnect, used at a start."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nakagin.containers import namespaces, netfiles
from nakagin.errors import AddressTaken, Denied, Invalid, NakaginError, NotFound
from nakagin.network import links
from nakagin.network.model import DEFAULT_BRIDGE, Network, Wish
from nakagin.spec.docker import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec.docker import ContainerConfig, HostConfig

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_ALONE = {
    "none": "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    "host": "container cannot be disconnected from host network or connected to host network",
    "container": "container sharing network namespace with another container or host "
    "cannot be connected to any other network",
    "path": "a container in a network namespace of another's making cannot be connected to networks",
}

_USER_DEFINED = "user specified IP address is supported on user defined networks only"
# On a LAN full of strangers each attempt costs a few milliseconds: whoever has an address says so at once.
_ATTEMPTS = 32

Endpoints = dict[str, EndpointSettings]
Result = TypeVar("Result")


# --- at its creation -----------------------------------------------------------------------------------


def settle(
    around: Surroundings, config: ContainerConfig, host: HostConfig, given: Mapping[str, EndpointSettings]
) -> Endpoints:
    """What a create request asks for, by the networks' names, that of the network mode first. Raises Invalid.

    A network that is not there (yet) keeps the word it was called by: the start will tell.
    """
    mode = namespaces.network_mode(host.network_mode)
    first = host.network_mode if mode.mode != "private" else _name(around, mode.of)
    # Docker's command line before 25 calls the default bridge "default".
    asked = {
        _name(around, DEFAULT_BRIDGE if name == "default" else name): each for name, each in given.items()
    }
    if mode.mode != "private":
        if set(asked) - {first}:
            raise Invalid(_ALONE[mode.mode])
        if any(
            (ipam := each.ipam_config) and (ipam.ipv4_address or ipam.ipv6_address) for each in asked.values()
        ):
            raise Invalid(_USER_DEFINED)
        return {first: asked.get(first, EndpointSettings())} if mode.mode in {"none", "host"} else {}
    main = asked.pop(first, EndpointSettings())
    if config.mac_address and not main.mac_address:
        main = msgspec.structs.replace(main, mac_address=config.mac_address)
    elif config.mac_address and config.mac_address != main.mac_address:
        raise Invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
            "or be left empty"
        )
    if host.links and not main.links and first != DEFAULT_BRIDGE:
        main = msgspec.structs.replace(main, links=host.links)
    settled = {first: main, **asked}
    for name, settings in settled.items():
        if name in {"none", "host"}:
            raise Invalid(_ALONE[name])
        check(_known(around, name), settings)
    return settled


def is_on_default_bridge(around: Surroundings, host: HostConfig) -> bool:
    """Whether the network mode of a request is the default bridge, where links are hosts entries and variables."""
    mode = namespaces.network_mode(host.network_mode)
    return mode.mode == "private" and _name(around, mode.of) == DEFAULT_BRIDGE


def _name(around: Surroundings, reference: str) -> str:
    network = _known(around, reference)
    return network.name if network else reference


def _known(around: Surroundings, reference: str) -> Network | None:
    try:
        return around.networks.get(reference)
    except NotFound:
        return None


def check(network: Network | None, settings: EndpointSettings) -> None:
    """Raise Invalid for what cannot be had on a network."""
    ipam = settings.ipam_config
    addresses = (ipam.ipv4_address, ipam.ipv6_address) if ipam else ("", "")
    for text, version in zip(addresses, (4, 6), strict=True):
        _check_address(text, version)
    for text in ipam.link_local_ips if ipam else ():
        _check_address(text, 6 if ":" in text else 4)
    if settings.mac_address and not _MAC.fullmatch(settings.mac_address):
        raise Invalid(f"invalid MAC address: {settings.mac_address}")
    if settings.mac_address and int(settings.mac_address[:2], 16) & 1:
        raise Invalid(
            f"invalid MAC address: {settings.mac_address} is a group's", hint="the first byte must be even"
        )
    if network is None:
        return
    if network.name == DEFAULT_BRIDGE and settings.aliases:
        raise Invalid("network-scoped aliases are only supported for user-defined networks")
    if any(addresses) and network.name == DEFAULT_BRIDGE:
        raise Invalid(_USER_DEFINED)
    if any(addresses) and not network.user_subnets:
        raise Invalid(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            hint=f"make {network.name} with --subnet",
        )


def _check_address(text: str, version: int) -> None:
    if not text:
        return
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"invalid IPv{version} address: {text}") from None
    if found.version != version:
        raise Invalid(f"invalid IPv{version} address: {text}")


# --- at a start ----------------------------------------------------------------------------------------


def wishes(record: Container) -> list[Wish]:
    """The networks of a container, as the network room is asked for them."""
    if record.config.network_disabled:
        return []
    return [
        _wish(record, name, settings)
        for name, settings in record.endpoints.items()
        if name not in {"none", "host"}
    ]


def _wish(record: Container, network: str, settings: EndpointSettings) -> Wish:
    ipam = settings.ipam_config
    names = (record.name, *settings.aliases, record.id[:12], record.config.hostname)
    return Wish(
        network=network,
        mac=settings.mac_address.replace("-", ":"),
        ipv4=ipam.ipv4_address if ipam else "",
        ipv6=ipam.ipv6_address if ipam else "",
        link_local=ipam.link_local_ips if ipam else (),
        aliases=settings.aliases,
        dns_names=() if network == DEFAULT_BRIDGE else tuple(dict.fromkeys(filter(None, names))),
        links=settings.links,
        driver_opts=dict(settings.driver_opts),
        gw_priority=settings.gw_priority,
    )


# --- while it lives ------------------------------------------------------------------------------------


async def connect(
    shelf: Shelf, around: Surroundings, capsule: Capsule, reference: str, settings: EndpointSettings | None
) -> None:
    """One more network; at once where it runs. Raises NotFound, Invalid, Denied (it is on it), Conflict, StepFailed."""
    settings = settings or EndpointSettings()
    network = around.networks.get(reference)
    async with capsule.lock:
        record = capsule.record
        _check_open(record, network)
        check(network, settings)
        if record.running:
            if network.name in record.endpoints:
                raise Denied(f"endpoint with name {record.name} already exists in network {network.name}")
            before = netfiles.resolver(around, record), netfiles.addresses_of(around, record)
            wish = _wish(record, network.name, settings)
            await with_other_addresses(around, [wish], lambda: _attach(around, record, wish))
            await _aim(around, capsule)
            netfiles.rejoin(around, record, *before)
        elif network.config_only:
            raise Invalid(
                f"network {network.name} is a configuration-only network: nothing can be attached to it"
            )
        _keep(shelf, capsule, {**record.endpoints, network.name: settings})


def _check_open(record: Container, network: Network) -> None:
    mode = namespaces.network_mode(record.host_config.network_mode).mode
    if mode in {"host", "container", "path"} or network.name in {"host", "none"}:
        raise Invalid(_ALONE[mode if mode in _ALONE and mode != "none" else network.name])
    if "none" in record.endpoints:
        raise Invalid(_ALONE["none"], hint=f"nakagin network disconnect none {record.name} first")


async def with_other_addresses(
    around: Surroundings, wishes: Sequence[Wish], attempt: Callable[[], Awaitable[Result]]
) -> Result:
    """Do `attempt` again while the address that it was given turns out to be a stranger's."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except AddressTaken as error:
            if not around.networks.give_way(wishes, error.address):
                raise
    return await attempt()


async def _attach(around: Surroundings, record: Container, wish: Wish) -> None:
    plan = around.networks.connect(record.id, record.name, wish)
    try:
        await asyncio.to_thread(links.attach, plan, record.facts.pid)
    except NakaginError:
        network = around.networks.get(wish.network)
        if any(each.network_id == network.id for each in around.networks.endpoints(record.id)):
            around.networks.disconnect(record.id, network)
        raise


async def disconnect(shelf: Shelf, around: Surroundings, capsule: Capsule, reference: str) -> None:
    """One network less. Raises NotFound, Invalid (host), Denied (it is not on it), StepFailed."""
    async with capsule.lock:
        record = capsule.record
        network = _known(around, reference)
        name = network.name if network else reference
        if name not in record.endpoints:
            around.networks.get(reference)
            raise Denied(f"container {record.name} is not connected to network {name}")
        if name == "host":
            raise Invalid(_ALONE["host"])
        if network is not None and any(
            each.network_id == network.id for each in around.networks.endpoints(record.id)
        ):
            before = netfiles.resolver(around, record), netfiles.addresses_of(around, record)
            plan, reroutings = around.networks.disconnect(record.id, network)
            await asyncio.to_thread(links.detach, plan, record.facts.pid)
            for each in reroutings:
                await asyncio.to_thread(links.route_by, each.interface, each.gateways, record.facts.pid)
            await _aim(around, capsule)
            netfiles.rejoin(around, record, *before)
        _keep(shelf, capsule, {key: each for key, each in record.endpoints.items() if key != name})


async def _aim(around: Surroundings, capsule: Capsule) -> None:
    """Published ports go with the default route: the monitor's proxies as well."""
    address = around.networks.carried_to(capsule.id)
    if address and capsule.monitor is not None:
        await capsule.monitor.request("aim", address=address)


def _keep(shelf: Shelf, capsule: Capsule, endpoints: Endpoints) -> None:
    # Its end may have been recorded meanwhile: only the endpoints change.
    shelf.save(capsule, msgspec.structs.replace(capsule.record, endpoints=endpoints))
