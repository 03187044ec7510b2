"""Published ports: choosing, binding and naming who holds one that is taken.

The sockets are bound here, in the engine, and passed to the monitor, which keeps them for the life of
its container and proxies what the firewall does not redirect (`::1`, and everything without nftables).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from nakagin.network.model import PortMapping, PortRequest

# Ranges above this size are guarded by the records and a look at /proc/net, not by sockets.
SOCKETS_AT_MOST = 256


class Publication:
    """One published mapping and the sockets that hold it (mapping.count of them, or none for a large range).

    The creator closes it once the sockets have been passed on.
    """

    __slots__ = ("mapping", "sockets")

    def __init__(self, mapping: PortMapping, sockets: Sequence[socket.socket]) -> None:
        self.mapping = mapping
        self.sockets = tuple(sockets)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class Ports:
    """Which host ports the containers of this engine hold."""

    def reserve(
        self, container_id: str, container_name: str, requests: Iterable[PortRequest]
    ) -> list[Publication]:
        """Take a host port for each request: all of them or none.

        Raises Conflict (port taken: names the holder and the next free port), Invalid (no interface has
        the address), Denied (privileged port), Exhausted (no free port in the range), Unsupported (sctp).
        """
        raise NotImplementedError

    def adopt(self, container_id: str, container_name: str, mappings: Iterable[PortMapping]) -> None:
        """Take over the mappings of a container that outlived the engine (its monitor has the sockets)."""
        raise NotImplementedError

    def release(self, container_id: str) -> None:
        """Forget the mappings of a container; the sockets are the monitor's."""
        raise NotImplementedError
