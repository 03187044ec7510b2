"""The interfaces of this host below macvlan and ipvlan networks: the user's own, VLANs of them, or one to nowhere."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from nakagin.errors import Invalid, NotFound, StepFailed
from nakagin.kernel import netlink
from nakagin.network.bridges import index

if TYPE_CHECKING:
    from nakagin.network.model import Network

_HIGHEST_TAG = 4094


def name_of(network: Network) -> str:
    """The parent that the user named, or the one that we make: it leads nowhere, so the network is internal."""
    return network.parent or f"dm-{network.id[:12]}"


def vlan(name: str) -> tuple[str, int] | None:
    """("eth0", 50) of "eth0.50"; None for a name that is no VLAN's. Raises Invalid."""
    base, dot, tag = name.rpartition(".")
    if not dot:
        return None
    if not tag.isdecimal() or not 1 <= int(tag) <= _HIGHEST_TAG:
        raise Invalid(
            f"invalid VLAN sub-interface {name}", hint=f"PARENT.TAG, the tag from 1 to {_HIGHEST_TAG}"
        )
    return base, int(tag)


def ensure(network: Network) -> bool:
    """Make the parent where it is not there; whether it had to be made. Raises NotFound, Invalid, StepFailed."""
    name = network.parent
    if index(name):
        return False
    tagged = vlan(name)
    try:
        with netlink.Socket() as kernel:
            if name.startswith("dm-") and tagged is None:
                _make_stub(kernel, name)
            elif tagged is not None and index(tagged[0]):
                kernel.send([netlink.add_vlan(name, parent=index(tagged[0]), tag=tagged[1])])
            else:
                missing = tagged[0] if tagged else name
                raise NotFound(
                    f"the parent interface {missing} of network {network.name} does not exist on this host",
                    hint="-o parent=INTERFACE, or INTERFACE.TAG for a VLAN of it",
                )
            kernel.send([netlink.set_up(socket.if_nametoindex(name), name)])
    except OSError as error:
        hint = "this kernel has no VLANs (modprobe 8021q)" if error.errno == errno.EOPNOTSUPP else None
        raise StepFailed(
            f"make {name}", error.strerror or str(error), errno=error.errno or 0, hint=hint
        ) from error
    return True


def addresses_of_this_host() -> list[str]:
    """Every address of an interface here, without prefix length."""
    with netlink.Socket() as kernel:
        return [each.partition("/")[0] for _, each in kernel.addresses()]


def _make_stub(kernel: netlink.Socket, name: str) -> None:
    """A veth pair whose other end nobody reads: unlike a dummy, every machine that runs containers has it."""
    other = f"dx-{name[3:]}"
    kernel.send([netlink.add_pair(name, other)])
    kernel.send([netlink.set_up(socket.if_nametoindex(other), other)])


def remove(network: Network) -> None:
    """Delete a parent that we made; nothing happens where it is not there."""
    if network.found or not index(network.parent):
        return
    try:
        with netlink.Socket() as kernel:
            kernel.send([netlink.delete_link(network.parent)])
    except OSError as error:
        if index(network.parent):
            cause = error.strerror or str(error)
            raise StepFailed(f"delete {network.parent}", cause, errno=error.errno or 0) from error
