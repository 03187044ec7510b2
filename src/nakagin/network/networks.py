"""The networks of this engine, as the API and containers/ call them.

One thread, and every call takes at most a few milliseconds. What is recorded lives in `register`, who gets which
place in `attaching`, what stands in the kernel in `ground`; the container's own side is `links`, in the monitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from nakagin.errors import NotFound
from nakagin.kernel import conntrack
from nakagin.network import bridges, documents, explain, exposure, watch
from nakagin.network.attaching import Attaching
from nakagin.network.endpoints import carried_to, predefined
from nakagin.network.ground import Ground
from nakagin.network.making import Making
from nakagin.network.model import DEFAULT_BRIDGE, PREDEFINED
from nakagin.network.ports import Ports
from nakagin.network.register import Register
from nakagin.network.republish import Republishing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nakagin.events import EventBus
    from nakagin.network.attaching import Rerouting
    from nakagin.network.endpoints import Attachment
    from nakagin.network.model import (
        Endpoint,
        EndpointPlan,
        Network,
        PortMapping,
        PortRequest,
        Settings,
        Wish,
    )
    from nakagin.network.register import RecordStore
    from nakagin.spec.networking import NetworkCreate

    # The class has a method called list.
    Exposure = list[dict[str, Any]]
    Mappings = list[PortMapping]

# Each costs a walk through the kernel's table: of large ranges only the end of their container is heard.
_FORGOTTEN_SINGLY = 16

#: kind ("attached", "detached", "renamed"), container id, network id
Listener = Callable[[str, str, str], None]


class Networks:
    """All networks, and who is attached."""

    def __init__(self, records: RecordStore, settings: Settings, events: EventBus | None = None) -> None:
        settings = bridges.adopt(settings)
        self._settings = settings
        self._events = events
        self._register = Register(records)
        self._ground = Ground(self._register, settings)
        self._ports = Ports()
        self._attaching = Attaching(self._register, self._ground, self._ports)
        self._making = Making(self._register, self._ground, settings)
        self._listeners: list[Listener] = []
        self._republishing = Republishing(self._register, self._ground, self._ports, self._attaching)
        self._gone: asyncio.Queue[Callable[[], None]] = (
            asyncio.Queue()
        )  # datagram flows that are to be forgotten

    def start(self, living: Iterable[str] = ()) -> None:
        """Load the records (make those of the three predefined networks at first).

        `living` are the ids of the containers that run: their endpoints are restored (bridge, addresses,
        firewall, ports), those of all others are released. Bridges without them are made when needed.
        """
        self._register.load(set(living))
        for name in PREDEFINED:
            if self._register.named(name) is None:
                self._register.keep(predefined(name, self._settings))
        for endpoint in self._register.endpoints():
            self._ports.adopt(endpoint.container_id, endpoint.container_name, self._attaching.held(endpoint))
        self._ground.start()

    def restore_firewall(self) -> None:
        """Put our table right after somebody else changed the machine's firewall."""
        self._ground.restore()

    async def watch(self) -> None:
        """Restore our firewall table when somebody changes it, and forget flows to what has gone.

        Runs until cancelled; the engine keeps it as a task.
        """
        async with asyncio.TaskGroup() as tasks:
            if self._settings.firewall:
                tasks.create_task(watch.keep_firewall(self._settings.table, self.restore_firewall))
            tasks.create_task(watch.forget_flows(self._gone))
            tasks.create_task(watch.expire_answers(self._expire))

    def subscribe(self, listener: Listener) -> None:
        """Have `listener` called after a container got or lost a place, or its name: see `Listener`."""
        self._listeners.append(listener)

    def _tell(self, kind: str, container_id: str, network_id: str) -> None:
        for each in self._listeners:
            each(kind, container_id, network_id)

    def _publish(self, action: str, network: Network, **more: str) -> None:
        if self._events is not None:
            self._events.publish(
                "network", action, network.id, {"name": network.name, "type": network.driver, **more}
            )

    # --- looking ---------------------------------------------------------------------------------------

    def all(self) -> tuple[Network, ...]:
        """Every network, oldest first."""
        return self._register.all()

    def get(self, reference: str) -> Network:
        """By name ("default" is bridge), id, or unique id prefix. Raises NotFound, Invalid (ambiguous)."""
        return self._register.get(reference)

    def members(self, network_id: str) -> list[Endpoint]:
        """Who is on a network."""
        return self._register.members(network_id)

    def inspect(self, reference: str, *, verbose: bool = False, scope: str = "") -> dict[str, Any]:
        """The network as the Docker API shows it (GET /networks/{id}), with its Containers and Status.

        `verbose` adds a swarm's services, and so nothing.
        """
        network = self.get(reference)
        if scope not in {"", "local"}:
            raise NotFound(f"network {reference} not found")
        document = documents.network_document(network, self._register.members(network.id))
        return {**document, "Status": documents.status(self._register.counts(network))}

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """GET /networks: documents without Containers, oldest first. Raises Invalid (unknown filter)."""
        documents.check_filters(filters or {})
        return [
            documents.network_document(each)
            for each in self.all()
            if documents.matches(each, filters or {}, used=bool(self._register.members(each.id)))
        ]

    async def explain(self, reference: str) -> dict[str, Any]:
        """The way of a packet on this network, from the living kernel (see `explain`)."""
        network = self.get(reference)
        members = self.members(network.id)
        ports = {each.container_id: self._ground.published(each.container_id) for each in members}
        return await asyncio.to_thread(explain.facts, network, members, ports, self._settings.table)

    def carried_to(self, container_id: str) -> str:
        """The address that the proxies of a container's ports have to carry to; "" without published ports."""
        holder = next((each for each in self.endpoints(container_id) if each.ports), None)
        return carried_to(holder) if holder else ""

    def endpoints(self, container_id: str) -> tuple[Endpoint, ...]:
        """Where a running container is attached (empty for host, none and container:ID)."""
        return self._register.of(container_id)

    def settings_document(
        self, container_id: str, names: Iterable[str], exposed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """NetworkSettings of a container's inspection, as the Docker API shows them.

        `names` are the networks it was made for or connected to, `exposed` its ports ("80/tcp").
        """
        places = {each.network_id: each for each in self.endpoints(container_id)}
        networks = {name: self._register.named(name) for name in names}
        members = {name: (each, places.get(each.id) if each else None) for name, each in networks.items()}
        return documents.settings_document(members, exposed)

    def host_gateway(self, container_id: str) -> str:
        """What `--add-host name:host-gateway` means for a container that has its places: the host's address on a bridge
        of its, best that of its default route. The default bridge's, which need not be up, where it is on none."""
        for place in sorted(self.endpoints(container_id), key=lambda each: not each.gateway):
            network = self.get(place.network_id)
            if network.bridge and (found := bridges.addresses(network)):
                return found[0].partition("/")[0]
        return next((each.gateway for each in self.get(DEFAULT_BRIDGE).subnets), "")

    # --- attaching -------------------------------------------------------------------------------------

    def attach(
        self,
        container_id: str,
        container_name: str,
        wishes: Sequence[Wish],
        requests: Sequence[PortRequest] = (),
    ) -> Attachment:
        """Places on all these networks, and host ports, for a container that starts (see `Attaching.attach`).

        Afterwards the ports lead to the container as soon as the monitor has attached it.
        """
        attachment = self._attaching.attach(container_id, container_name, wishes, requests)
        self._forget_datagrams([each.mapping for each in attachment.publications])
        for each in attachment.endpoints:
            self._joined(each)
        return attachment

    def _joined(self, endpoint: Endpoint) -> None:
        self._publish("connect", self._register.get(endpoint.network_id), container=endpoint.container_id)
        self._tell("attached", endpoint.container_id, endpoint.network_id)

    def give_way(self, wishes: Iterable[Wish], address: str) -> bool:
        """`links.attach` found an address taken by a stranger: whether to attach anew, with another."""
        return self._attaching.give_way(wishes, address)

    def connect(self, container_id: str, container_name: str, wish: Wish) -> EndpointPlan:
        """One more place for a running container: the caller does the plan by `links.attach`, or disconnects."""
        plan = self._attaching.connect(container_id, container_name, wish)
        network = self.get(wish.network)
        self._joined(next(each for each in self.endpoints(container_id) if each.network_id == network.id))
        return plan

    def disconnect(self, container_id: str, network: Network) -> tuple[EndpointPlan, Sequence[Rerouting]]:
        """Take a running container's place back: the caller does `links.detach`, then `links.route_by`."""
        plan, rerouting = self._attaching.disconnect(container_id, network)
        self._left(container_id, network)
        return plan, rerouting

    def _left(self, container_id: str, network: Network) -> None:
        self._publish("disconnect", network, container=container_id)
        self._tell("detached", container_id, network.id)

    def release(self, container_id: str) -> None:
        """Take back what `attach` gave; does nothing for a container without a network.

        The interface is the kernel's to remove, with the container's network namespace.
        """

        def forget(address: str) -> None:
            self._gone.put_nowait(partial(conntrack.forget, address))

        for endpoint in self._attaching.release(container_id, forget):
            self._left(container_id, self._register.get(endpoint.network_id))

    def rename(self, container_id: str, container_name: str) -> None:
        """A container has a new name: show it in inspections and in the error for a taken port."""
        self._attaching.rename(container_id, container_name)
        for each in self.endpoints(container_id):
            self._tell("renamed", container_id, each.network_id)

    # --- limited egress ----------------------------------------------------------------------------------

    def may_resolve(self, container_id: str, name: str) -> bool:
        """Whether our DNS may ask outside for a name on behalf of a container."""
        return self._ground.egress.may_resolve(
            (each.network_id for each in self.endpoints(container_id)), name
        )

    def resolved(self, container_id: str, name: str, answers: Iterable[tuple[str, float]]) -> None:
        """Outside answered: a name has these (address, seconds). Called before the container hears it."""
        ids = [each.network_id for each in self.endpoints(container_id)]
        if self._ground.egress.learn(ids, name, answers):
            self._ground.refresh()

    def _expire(self) -> None:
        if self._ground.egress.expire():
            self._ground.refresh()

    def publish(self, container_id: str, requests: Sequence[PortRequest]) -> Attachment:
        """More ports for a running container (see `Republishing.publish`)."""
        attachment = self._republishing.publish(container_id, requests)
        self._forget_datagrams([each.mapping for each in attachment.publications])
        return attachment

    def unpublish(self, container_id: str, unwanted: Sequence[PortRequest]) -> Mappings:
        """Fewer ports for a running container: those that went."""
        gone = self._republishing.unpublish(container_id, unwanted)
        self._forget_datagrams(gone)
        return gone

    async def exposure(self, container_id: str) -> Exposure:
        """From where each published port of a container is reached (see `exposure.document`)."""
        endpoints = self.endpoints(container_id)
        holder = next((each for each in endpoints if each.ports), None)
        if holder is None:
            return []
        bridge = self._register.get(holder.network_id).bridge
        own = {each.bridge for each in self.all()}
        targets = {
            ipv6: next(filter(None, (each.address(ipv6=ipv6) for each in endpoints)), "")
            for ipv6 in (False, True)
        }
        return await asyncio.to_thread(
            exposure.look, holder.ports, targets, bridge, own, self._settings.table
        )

    def _forget_datagrams(self, mappings: Iterable[PortMapping]) -> None:
        """Flows to a port that now leads elsewhere: their clients would never notice (UDP has no end)."""
        for each in mappings:
            if each.protocol == "udp" and each.count <= _FORGOTTEN_SINGLY:
                for port in range(each.host_port, each.host_port + each.count):
                    self._gone.put_nowait(partial(conntrack.forget_port, "udp", port, ipv6=each.is_ipv6))

    # --- networks of the user's own ----------------------------------------------------------------------

    def create(self, body: NetworkCreate) -> tuple[str, str]:
        """Make a network: its id, and a warning or "".

        Raises Invalid, Denied (predefined name), Conflict (name or subnet taken), Exhausted (no subnet), StepFailed.
        """
        network, warning = self._making.create(body)
        self._publish("create", network)
        return network.id, warning

    def remove(self, reference: str) -> None:
        """Delete a network. Raises Denied for the predefined ones and those in use."""
        network = self.get(reference)
        self._making.remove(network)
        self._publish("destroy", network)

    def prune(self, filters: Mapping[str, Sequence[str]] | None = None, until: str = "") -> dict[str, Any]:
        """Delete the user's networks that nobody uses; filters label, label! and `until` (RFC 3339, older than)."""
        removed = self._making.unused(filters or {}, until)
        for network in removed:
            self._making.remove(network)
            self._publish("destroy", network)
        if removed and self._events is not None:
            self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": [each.name for each in removed] or None}

    def cleanup(self) -> None:
        """Remove everything of ours from the kernel: firewall table, bridges with their interfaces."""
        self._ground.cleanup()
