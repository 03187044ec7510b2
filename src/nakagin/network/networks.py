"""The networks of this engine: what exists, who is on it, and keeping the kernel as the records say.

Called by the engine and by containers/, from one thread. Every call takes at most a few milliseconds.
It starts no process; the container's own side is `links`, in the monitor.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from nakagin.errors import (
    Conflict,
    Denied,
    Exhausted,
    Invalid,
    NotFound,
    StepFailed,
    Unsupported,
)
from nakagin.network import bridges, documents, names, watch
from nakagin.network.addresses import Allocator, choose_subnet, first_host, overlaps
from nakagin.network.endpoints import Attachment, attachment_plan, make_endpoint, predefined, published
from nakagin.network.firewall import Firewall, Ruleset, plan
from nakagin.network.model import DEFAULT_BRIDGE, PREDEFINED, Endpoint, Network, PortRequest, Settings, Subnet
from nakagin.network.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_log = logging.getLogger(__name__)

_NETWORK, _ENDPOINT = "network", "endpoint"


class RecordStore(Protocol):
    """What is needed of storage.records.Records."""

    def put(self, kind: str, key: str, data: bytes, /) -> None: ...
    def delete(self, kind: str, key: str, /) -> None: ...
    def all(self, kind: str, /) -> Iterable[tuple[str, bytes]]: ...


class Networks:
    """The networks `bridge`, `host` and `none`, and who is attached."""

    def __init__(self, records: RecordStore, settings: Settings) -> None:
        self._records = records
        self._settings = settings
        self._networks: dict[str, Network] = {}
        self._endpoints: dict[str, list[Endpoint]] = {}  # by container
        self._allocators: dict[tuple[str, str], Allocator] = {}  # by network and subnet
        self._ports = Ports()
        self._firewall = Firewall(settings.table) if settings.firewall else None
        self._bridges: dict[str, int] = {}  # network -> interface index of its bridge, once it stands
        self._forwarder_wanted = asyncio.Event()
        self._gone: asyncio.Queue[str] = asyncio.Queue()  # addresses whose datagram flows are to be forgotten

    def start(self, living: Iterable[str] = ()) -> None:
        """Load the records (make those of the three predefined networks at first).

        `living` are the ids of the containers that run: their endpoints are restored (bridge, addresses,
        firewall, ports), those of all others are released. The bridge is made when first needed.
        """
        for _, data in self._records.all(_NETWORK):
            self._remember(msgspec.json.decode(data, type=Network))
        for name in PREDEFINED:
            if not self._named(name):
                self._keep(predefined(name, self._settings))
        alive = set(living)
        for key, data in list(self._records.all(_ENDPOINT)):
            endpoint = msgspec.json.decode(data, type=Endpoint)
            if endpoint.container_id in alive and endpoint.network_id in self._networks:
                self._endpoints.setdefault(endpoint.container_id, []).append(endpoint)
            else:
                self._records.delete(_ENDPOINT, key)
        self._settle_default_bridge()
        for endpoint in self._all_endpoints():
            for address in endpoint.addresses:
                self._allocator(self._networks[endpoint.network_id], address).take(address)
            self._ports.adopt(endpoint.container_id, endpoint.container_name, endpoint.ports)
        for network in self._networks.values():
            if self._members(network) or (network.bridge and bridges.index(network.bridge)):
                self._restore(network)

    def restore_firewall(self) -> None:
        """Put our table right after somebody else changed the machine's firewall."""
        if self._firewall is not None and self._bridges and self._firewall.restore(self._ruleset()):
            _log.warning("firewall table %s was changed by another process: restored", self._firewall.table)

    async def watch(self) -> None:
        """Restore our firewall table when somebody changes it, and answer DNS where containers need us to.

        Runs until cancelled; the engine keeps it as a task.
        """
        async with asyncio.TaskGroup() as tasks:
            if self._firewall is not None:
                tasks.create_task(watch.keep_firewall(self._settings.table, self.restore_firewall))
            tasks.create_task(watch.answer_names(self._forwarder_wanted, lambda: self.host_gateway))
            tasks.create_task(watch.forget_flows(self._gone))

    # --- looking ---------------------------------------------------------------------------------------

    def all(self) -> tuple[Network, ...]:
        """Every network, oldest first."""
        return tuple(sorted(self._networks.values(), key=lambda each: each.created))

    def get(self, reference: str) -> Network:
        """By name ("default" is bridge), id, or unique id prefix. Raises NotFound, Invalid (ambiguous)."""
        name = DEFAULT_BRIDGE if reference == "default" else reference
        found = self._named(name) or self._networks.get(reference)
        if found is not None:
            return found
        similar = [each for key, each in self._networks.items() if reference and key.startswith(reference)]
        if len(similar) > 1:
            raise Invalid(f"network {reference} is ambiguous ({len(similar)} matches found on name)")
        if not similar:
            raise NotFound(f"network {reference} not found")
        return similar[0]

    def inspect(self, reference: str, *, verbose: bool = False, scope: str = "") -> dict[str, Any]:
        """The network as the Docker API shows it (GET /networks/{id}), with its Containers."""
        network = self.get(reference)
        if scope not in {"", "local"}:
            raise NotFound(f"network {reference} not found")
        return documents.network_document(network, self._members(network))

    def endpoints(self, container_id: str) -> tuple[Endpoint, ...]:
        """Where a running container is attached (empty for host, none and container:ID)."""
        return tuple(self._endpoints.get(container_id, ()))

    def settings_document(
        self, container_id: str, reference: str, exposed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """NetworkSettings of a container's inspection, as the Docker API shows them.

        `reference` is the network it was made for, `exposed` its ports ("80/tcp").
        """
        members: list[tuple[Network, Endpoint | None]] = [
            (self._networks[each.network_id], each) for each in self.endpoints(container_id)
        ]
        return documents.settings_document(members or [(self.get(reference), None)], exposed)

    @property
    def host_gateway(self) -> str:
        """What `--add-host name:host-gateway` means: the host's address on the default bridge."""
        return self._default_bridge().subnets[0].gateway

    def resolv_file(
        self,
        reference: str,
        servers: Sequence[str] = (),
        search: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> str:
        """The text of /etc/resolv.conf for a container on this network (see `names.resolv_file`).

        Starts our forwarder where the host's servers are all on its loopback.
        """
        network = self.get(reference)
        host = names.read_host_resolver()
        forwarder = ""
        given = names.parse_resolver(host)
        if network.bridge and not servers and given.servers and not names.reachable_servers(given):
            self._ensure_bridge(network)
            network = self._networks[network.id]
            forwarder = network.subnets[0].gateway
            self._forwarder_wanted.set()
        return names.resolv_file(
            host,
            servers=servers,
            search=search,
            options=options,
            forwarder=forwarder,
            ipv6=network.enable_ipv6,
            host_network=network.driver == "host",
        )

    # --- attaching -------------------------------------------------------------------------------------

    def allocate(
        self,
        reference: str,
        container_id: str,
        container_name: str,
        requests: Sequence[PortRequest] = (),
        *,
        mac: str = "",
        address: str = "",
    ) -> Attachment:
        """Give a container an address and its host ports on a bridge network; record and firewall them.

        Afterwards the ports lead to the container as soon as the monitor has attached it. All or nothing.
        Raises as `Ports.reserve` does, Exhausted (no address left), StepFailed (the kernel refused).
        """
        network = self.get(reference)
        if network.driver != "bridge":
            raise Invalid(f"network {network.name} gives no addresses")
        if any(each.network_id == network.id for each in self.endpoints(container_id)):
            raise Conflict(f"container {container_name} is already attached to network {network.name}")
        self._ensure_bridge(network)
        network = self._networks[network.id]
        with contextlib.ExitStack() as undo:
            addresses = []
            for pool in network.subnets:
                allocator = self._allocators[network.id, pool.subnet]
                wanted = address if address and pool.is_ipv6 == (":" in address) else ""
                addresses.append(allocator.take(wanted))
                undo.callback(allocator.release, addresses[-1])
            publications = self._ports.reserve(container_id, container_name, requests, network.host_binding)
            undo.callback(self._ports.release, container_id)
            for each in publications:
                undo.callback(each.close)
            endpoint = make_endpoint(network, container_id, container_name, addresses, publications, mac)
            self._records.put(_ENDPOINT, endpoint.id, msgspec.json.encode(endpoint))
            undo.callback(self._records.delete, _ENDPOINT, endpoint.id)
            if self._firewall is not None and endpoint.ports:
                self._firewall.publish(published(endpoint))
            undo.pop_all()
        self._endpoints.setdefault(container_id, []).append(endpoint)
        return Attachment(
            endpoint,
            attachment_plan(network, endpoint, filtered=bridges.frames_are_filtered()),
            publications,
        )

    def release(self, container_id: str) -> None:
        """Take back what `allocate` gave; does nothing for a container without a network.

        The interface is the kernel's to remove, with the container's network namespace.
        """
        for endpoint in self._endpoints.pop(container_id, ()):
            if self._firewall is not None and endpoint.ports:
                self._firewall.withdraw(published(endpoint))
            for address in endpoint.addresses:
                self._allocator(self._networks[endpoint.network_id], address).release(address)
                if any(each.protocol == "udp" for each in endpoint.ports):
                    self._gone.put_nowait(address.partition("/")[0])
            self._records.delete(_ENDPOINT, endpoint.id)
        self._ports.release(container_id)

    def rename(self, container_id: str, container_name: str) -> None:
        """A container has a new name: show it in inspections and in the error for a taken port."""
        renamed = [
            msgspec.structs.replace(each, container_name=container_name)
            for each in self.endpoints(container_id)
        ]
        if not renamed:
            return
        self._endpoints[container_id] = renamed
        self._ports.release(container_id)
        for each in renamed:
            self._records.put(_ENDPOINT, each.id, msgspec.json.encode(each))
            self._ports.adopt(container_id, container_name, each.ports)

    # --- networks of the user's own ----------------------------------------------------------------------

    def create(self, body: object) -> tuple[str, str]:
        """Networks of the user's own are not there yet: raises Unsupported."""
        raise Unsupported(
            "creating networks is not possible yet", hint="use bridge, host, none or container:ID"
        )

    def remove(self, reference: str) -> None:
        """Delete a network. Raises Denied for the predefined ones."""
        name = self.get(reference).name
        raise Denied(f"{name} is a pre-defined network and cannot be removed")

    def prune(self, filters: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        """Delete the user's networks that nobody uses: there are none yet."""
        return {"NetworksDeleted": None}

    # --- the kernel's side -------------------------------------------------------------------------------

    def cleanup(self) -> None:
        """Remove everything of ours from the kernel: firewall table, bridges with their interfaces.

        The bridges go last: where this is cut short, the next `start` knows by them that there is more.
        """
        if self._firewall is not None and self._bridges:
            self._firewall.remove()
        for key in list(self._bridges):
            bridges.remove(self._networks[key].bridge)
            del self._bridges[key]

    def _ensure_bridge(self, network: Network) -> None:
        """Make the bridge where it is not there; the usual case costs one ioctl."""
        known = self._bridges.get(network.id)
        if known and known == bridges.index(network.bridge):
            return
        self._restore(network)

    def _restore(self, network: Network) -> None:
        number = self._make_bridge(network)
        network = self._networks[network.id]
        self._bridges[network.id] = number
        kept = [each.host_interface for each in self._members(network)]
        bridges.sweep(network.bridge, kept)
        if kept:
            bridges.plug_in(network.bridge, kept)
        if self._firewall is None:
            return
        try:
            self._firewall.restore(self._ruleset())
            bridges.open_loopback(network.bridge)
            for each in self._firewall.obstacles():
                _log.warning("%s drops forwarded packets: let those of %s pass there", each, network.bridge)
        except StepFailed as error:
            if error.errno != errno.ENOSYS:
                raise
            # Published ports still answer, by the monitors' proxies; the way out does not.
            _log.warning("containers cannot reach outside networks: %s", error)
            self._firewall = None

    def _make_bridge(self, network: Network) -> int:
        """Of two engines that chose the same subnet at the same time, the later bridge gives way."""
        for _ in range(10):
            number = bridges.ensure(network, ip_forward=self._settings.ip_forward)
            older = [subnet for subnet, other in bridges.subnets_in_use(number) if other < number]
            if not self._may_move(network) or not any(
                overlaps(each.subnet, older) for each in network.subnets
            ):
                return number
            bridges.remove(network.bridge)
            network = self._move(network)
        raise Exhausted(f"no free subnet found for network {network.name}", hint="set --bip")

    def _settle_default_bridge(self) -> None:
        """Choose the default bridge's subnet: --bip, else the recorded one while it is free, else another."""
        network = self._default_bridge()
        if self._members(network):
            return
        fresh = predefined(DEFAULT_BRIDGE, self._settings)
        kept = tuple(each for each in network.subnets if not each.is_ipv6)
        given = fresh.subnets if fresh.enable_ipv4 else (*kept, *fresh.subnets)
        fresh = msgspec.structs.replace(fresh, id=network.id, created=network.created, subnets=given)
        if fresh != network:
            self._keep(fresh)
        used = [subnet for subnet, _ in bridges.subnets_in_use(bridges.index(fresh.bridge))]
        if not fresh.enable_ipv4 or (
            self._may_move(fresh) and any(overlaps(each.subnet, used) for each in fresh.subnets)
        ):
            if bridges.index(fresh.bridge):
                bridges.remove(fresh.bridge)
            self._move(fresh)

    def _may_move(self, network: Network) -> bool:
        chosen_by_us = network.is_default_bridge and not self._settings.bridge_address
        return chosen_by_us and not self._members(network)

    def _move(self, network: Network) -> Network:
        """Give a network another subnet, one that no route of this host uses."""
        used = [subnet for subnet, _ in bridges.subnets_in_use(bridges.index(network.bridge))]
        subnet = choose_subnet(self._settings.pools, used)
        pool = Subnet(subnet, first_host(subnet), ip_range=self._settings.fixed_cidr)
        others = tuple(each for each in network.subnets if each.is_ipv6)
        return self._keep(msgspec.structs.replace(network, subnets=(pool, *others)))

    # --- small things --------------------------------------------------------------------------------------

    def _keep(self, network: Network) -> Network:
        self._records.put(_NETWORK, network.id, msgspec.json.encode(network))
        return self._remember(network)

    def _remember(self, network: Network) -> Network:
        self._networks[network.id] = network
        for pool in network.subnets:
            self._allocators.setdefault((network.id, pool.subnet), Allocator(pool, network.name))
        return network

    def _named(self, name: str) -> Network | None:
        return next((each for each in self._networks.values() if each.name == name), None)

    def _default_bridge(self) -> Network:
        return self.get(DEFAULT_BRIDGE)

    def _allocator(self, network: Network, address: str) -> Allocator:
        pool = next(each for each in network.subnets if each.is_ipv6 == (":" in address))
        return self._allocators[network.id, pool.subnet]

    def _all_endpoints(self) -> list[Endpoint]:
        return [endpoint for several in self._endpoints.values() for endpoint in several]

    def _members(self, network: Network) -> list[Endpoint]:
        return [each for each in self._all_endpoints() if each.network_id == network.id]

    def _ruleset(self) -> Ruleset:
        standing = [self._networks[key] for key in self._bridges]
        ports = [one for each in self._all_endpoints() for one in published(each)]
        return plan(self._settings.table, standing, ports)

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """GET /networks: documents without Containers, newest last."""
        return [
            documents.network_document(each)
            for each in self.all()
            if documents.matches(each, filters or {}, used=bool(self._members(each)))
        ]
