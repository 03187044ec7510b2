"""Publishing ports of a living container, and taking them back: `nakagin update --publish-add/--publish-rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers.launch import bound_requests, proxied
from nakagin.containers.request import announced_ports, check_bindings
from nakagin.errors import Invalid
from nakagin.spec.docker import PortBinding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings

    Bindings = Mapping[str, Sequence[PortBinding]]


class Publishing:
    """The published ports of containers, while they live."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around

    async def change(self, reference: str, add: Bindings, remove: Bindings) -> dict[str, Any]:
        """Take ports back, then publish others; answers the Ports of an inspection.

        Both are as PortBindings; in `remove` a binding without a host port means all of that container port. Of a
        container that does not run only the record changes. Raises Invalid, Conflict (a taken port; what was to
        be removed is removed then).
        """
        for each in (add, remove):
            check_bindings(each)
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            if remove:
                await self._remove(capsule, remove)
            if add:
                if capsule.record.running:
                    await _publish(self._around, capsule, add)
                _keep(self._shelf, capsule, merged(capsule.record.host_config.port_bindings, add))
        record = capsule.record
        settings = self._around.networks.settings_document(
            record.id, record.network_mode, tuple(record.config.exposed_ports)
        )
        ports: dict[str, Any] = settings["Ports"]
        return ports

    async def _remove(self, capsule: Capsule, remove: Bindings) -> None:
        if capsule.record.running:
            await _unpublish(self._around, capsule, remove)
        _keep(self._shelf, capsule, without(capsule.record.host_config.port_bindings, remove))

    async def exposure(self, reference: str) -> list[dict[str, Any]]:
        """From where each published port of a running container is reached (see `network.exposure`)."""
        return await self._around.networks.exposure(self._shelf.find(reference).id)


async def _publish(around: Surroundings, capsule: Capsule, add: Bindings) -> None:
    assert capsule.monitor is not None
    announced = announced_ports(capsule.record.config.labels)
    attachment = around.networks.publish(capsule.id, bound_requests(add, announced))
    try:
        if attachment.sockets:
            fds = [each.fileno() for each in attachment.sockets]
            await capsule.monitor.request("publish", fds, proxies=proxied(around, attachment))
    finally:
        attachment.close()


async def _unpublish(around: Surroundings, capsule: Capsule, remove: Bindings) -> None:
    assert capsule.monitor is not None
    gone = around.networks.unpublish(capsule.id, bound_requests(remove))
    if not gone:
        raise Invalid(f"{', '.join(remove)} of container {capsule.record.name} is not published")
    ports = [
        [each.protocol, each.host_ip, each.host_port + offset]
        for each in gone
        for offset in range(each.count)
    ]
    await capsule.monitor.request("unpublish", ports=ports)


def _keep(shelf: Shelf, capsule: Capsule, bindings: Bindings) -> None:
    record = capsule.record
    host = msgspec.structs.replace(record.host_config, port_bindings=dict(bindings))
    exposed = {**record.config.exposed_ports, **{port: {} for port in bindings}}
    config = msgspec.structs.replace(record.config, exposed_ports=exposed)
    shelf.save(capsule, msgspec.structs.replace(record, host_config=host, config=config))


def merged(bindings: Bindings, add: Bindings) -> Bindings:
    """Both, each binding once."""
    found = {key: tuple(each) for key, each in bindings.items()}
    for key, more in add.items():
        found[key] = tuple(dict.fromkeys((*found.get(key, ()), *more)))
    return found


def without(bindings: Bindings, remove: Bindings) -> Bindings:
    """The bindings that are left."""
    found = {}
    for key, each in bindings.items():
        kept = tuple(one for one in each if not any(_means(other, one) for other in remove.get(key, ())))
        if kept:
            found[key] = kept
    return found


def _means(wish: PortBinding, binding: PortBinding) -> bool:
    return wish.host_port in {"", "0", binding.host_port} and wish.host_ip in {"", binding.host_ip}
