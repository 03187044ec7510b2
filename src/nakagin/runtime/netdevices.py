"""Move network devices of the host into a container (config-linux.md, "Network Devices")."""

from __future__ import annotations

import os
import struct

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.kernel.namespaces import in_network_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.spec.runtime import NetDevice

_SETLINK = 19
_NAME, _NAMESPACE = 3, 28


def move(devices: Mapping[str, NetDevice], pid: int) -> None:
    """Move each device into the network namespace of `pid`, with its addresses, and bring it up.

    For a single-threaded caller. What was moved comes back by itself when the namespace ends, if it is
    a physical device. Raises StepFailed.
    """
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for name, device in devices.items():
            inside = device.get("name") or name
            try:
                _move(name, inside, namespace)
            except OSError as error:
                step = f"move network device {name} into the container as {inside}"
                raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from None
    finally:
        os.close(namespace)


def _move(name: str, inside: str, namespace: int) -> None:
    with netlink.Socket() as host:
        link = host.link(name)
        if link is None:
            raise OSError(19, "there is no such device")
        addresses = [address for index, address in host.addresses() if index == link.index]
        body = struct.pack("=BxHiII", 0, 0, link.index, 0, netlink.IFF_UP)  # down, and
        body += netlink.attribute(_NAMESPACE, struct.pack("=I", namespace))
        body += netlink.attribute(_NAME, inside.encode() + b"\0")
        host.send([netlink.Request(f"move {name}", _SETLINK, 0, body)])
    with in_network_namespace(namespace):
        target = netlink.Socket()
    with target:
        moved = target.link(inside)
        if moved is None:
            raise OSError(19, "it is not there after the move")
        wanted = [
            each for each in addresses if not each.lower().startswith("fe80:")
        ]  # the kernel makes those anew
        requests = [netlink.add_address(moved.index, inside, each) for each in wanted]
        target.send([*requests, netlink.set_up(moved.index, inside)])
