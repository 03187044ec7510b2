"""Ports that a running container gets or loses: records and firewall; the sockets are its monitor's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Conflict
from nakagin.network.attaching import port_holder
from nakagin.network.endpoints import Attachment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.network.attaching import Attaching
    from nakagin.network.ground import Ground
    from nakagin.network.model import Endpoint, PortMapping, PortRequest
    from nakagin.network.ports import Ports
    from nakagin.network.register import Register


def split(
    mapping: PortMapping, unwanted: Iterable[PortRequest]
) -> tuple[list[PortMapping], list[PortMapping]]:
    """What stays and what goes of a mapping. A request without a host port means every one of its container port."""
    kept: list[PortMapping] = []
    gone: list[PortMapping] = []
    wishes = [each for each in unwanted if each.protocol == mapping.protocol and _same_host(each, mapping)]
    for offset in range(mapping.count):
        one = msgspec.structs.replace(
            mapping,
            host_port=mapping.host_port + offset,
            container_port=mapping.container_port + offset,
            count=1,
        )
        pieces = gone if any(_means(each, one) for each in wishes) else kept
        last = pieces[-1] if pieces else None
        if last is not None and last.host_port + last.count == one.host_port:
            pieces[-1] = msgspec.structs.replace(last, count=last.count + 1)
        else:
            pieces.append(one)
    return kept, gone


def _same_host(request: PortRequest, mapping: PortMapping) -> bool:
    return request.host_ip in {"", mapping.host_ip}


def _means(request: PortRequest, mapping: PortMapping) -> bool:
    if request.container_port != mapping.container_port:
        return False
    return not request.host_first or request.host_first <= mapping.host_port <= request.host_last


class Republishing:
    """Changes the published ports of containers that run."""

    def __init__(self, register: Register, ground: Ground, ports: Ports, attaching: Attaching) -> None:
        self._register = register
        self._ground = ground
        self._ports = ports
        self._attaching = attaching

    def publish(self, container_id: str, requests: Sequence[PortRequest]) -> Attachment:
        """More ports; the attachment's sockets are for the monitor. All or nothing.

        Raises as `Ports.reserve` does, Conflict where the container is on no network that has ports.
        """
        holder = self._holder(container_id)
        publications = self._attaching.reserve(holder, requests)
        mappings = tuple(each.mapping for each in publications)
        try:
            before = self._ground.published(container_id)
            self._register.put(msgspec.structs.replace(holder, ports=(*holder.ports, *mappings)))
            self._ground.lead(before, self._ground.published(container_id))
        except BaseException:
            self._register.put(holder)
            self._ports.release(container_id, mappings)
            for each in publications:
                each.close()
            raise
        return Attachment([self._holder(container_id)], [], publications)

    def unpublish(self, container_id: str, unwanted: Sequence[PortRequest]) -> list[PortMapping]:
        """Fewer ports: those that went, for the monitor to let go of their sockets."""
        holder = self._holder(container_id)
        kept: list[PortMapping] = []
        gone: list[PortMapping] = []
        for mapping in holder.ports:
            stays, goes = split(mapping, unwanted)
            kept += [mapping] if not goes else stays
            gone += goes
        if gone:
            before = self._ground.published(container_id)
            self._ports.release(container_id)
            holder = msgspec.structs.replace(holder, ports=tuple(kept))
            self._register.put(holder)
            self._ports.adopt(container_id, holder.container_name, self._attaching.held(holder))
            self._ground.lead(before, self._ground.published(container_id))
        return gone

    def _holder(self, container_id: str) -> Endpoint:
        endpoints = self._register.of(container_id)
        found = next((each for each in endpoints if each.ports), None) or port_holder(endpoints)
        if found is None:
            raise Conflict("the container is on no network that has ports", hint="nakagin network connect")
        return found
