"""The networks of this engine: what exists, who is on it, and keeping the kernel as the records say.

Called by the engine and by containers/, from one thread. Every call takes at most a few milliseconds.
It opens no connection and starts no process; the container's own side is `links`, in the monitor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from nakagin.network.model import Endpoint, EndpointPlan, Network, PortRequest, Settings
from nakagin.network.ports import Publication


class RecordStore(Protocol):
    """What is needed of storage.records.Records."""

    def put(self, kind: str, id: str, data: bytes, /) -> None: ...
    def delete(self, kind: str, id: str, /) -> None: ...
    def all(self, kind: str, /) -> Iterable[tuple[str, bytes]]: ...


class Attachment:
    """What `allocate` gives: the endpoint, the monitor's plan for it, and its ports with bound sockets.

    The caller passes the sockets to the monitor and then calls close().
    """

    __slots__ = ("endpoint", "plan", "publications")

    def __init__(self, endpoint: Endpoint, plan: EndpointPlan, publications: Sequence[Publication]) -> None:
        self.endpoint = endpoint
        self.plan = plan
        self.publications = tuple(publications)

    def close(self) -> None:
        for each in self.publications:
            each.close()


class Networks:
    """The networks `bridge`, `host` and `none`, and who is attached."""

    def __init__(self, records: RecordStore, settings: Settings) -> None:
        self._records = records
        self._settings = settings

    def start(self, living: Iterable[str] = ()) -> None:
        """Load the records (make those of the three predefined networks at first).

        `living` are the ids of the containers that run: their endpoints are restored (bridge, addresses,
        firewall, ports), those of all others are released. The bridge is made when first needed.
        """
        raise NotImplementedError

    async def watch(self) -> None:
        """Serve DNS where containers need it, and restore our firewall table when somebody flushes it.

        Runs until cancelled; the engine keeps it as a task.
        """
        raise NotImplementedError

    def list(self) -> list[Network]:
        """All networks, oldest first."""
        raise NotImplementedError

    def get(self, reference: str) -> Network:
        """By id, name, or unique id prefix. Raises NotFound ("network x not found") or Invalid (ambiguous)."""
        raise NotImplementedError

    def inspect(self, reference: str) -> dict[str, Any]:
        """The network as the Docker API shows it (GET /networks/{id}), with its Containers."""
        raise NotImplementedError

    def allocate(
        self,
        reference: str,
        container_id: str,
        container_name: str,
        requests: Sequence[PortRequest] = (),
        *,
        mac: str = "",
    ) -> Attachment:
        """Give a container an address and its host ports on a bridge network; record and firewall them.

        Afterwards the ports lead to the container as soon as the monitor has attached it. All or nothing.
        Raises as `Ports.reserve` does, Exhausted (no address left), StepFailed (the kernel refused).
        """
        raise NotImplementedError

    def release(self, container_id: str) -> None:
        """Take back what `allocate` gave; does nothing for a container without a network."""
        raise NotImplementedError

    def endpoints(self, container_id: str) -> list[Endpoint]:
        """Where a running container is attached (empty for host, none and container:ID)."""
        raise NotImplementedError

    def settings_document(self, container_id: str) -> dict[str, Any]:
        """NetworkSettings of the container's inspection, as the Docker API shows them."""
        raise NotImplementedError

    def resolv_file(
        self, reference: str, servers: Sequence[str], search: Sequence[str], options: Sequence[str]
    ) -> str:
        """The text of /etc/resolv.conf for a container on this network (see `names.resolv_file`)."""
        raise NotImplementedError

    def create(self, name: str, **options: Any) -> Network:
        """Networks of the user's own are not there yet: raises Unsupported."""
        raise NotImplementedError

    def remove(self, reference: str) -> None:
        """Raises Denied for the predefined networks."""
        raise NotImplementedError

    def cleanup(self) -> None:
        """Remove everything of ours from the kernel: bridges with their interfaces, firewall table."""
        raise NotImplementedError
