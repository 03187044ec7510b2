"""Networks."""

from __future__ import annotations

from nakagin.client.session import document, filter_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.session import Document, Documents, Filters, Session


class Networks:
    """The collection of an engine's networks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, body: Document) -> Document:
        """Make a network from a whole request body (POST /networks/create): {"Id": ..., "Warning": ...}."""
        return document(self._session.request("POST", "/networks/create", body=self._session.labelled(body)))

    def get(self, reference: str, *, verbose: bool = False) -> Document:
        """The inspection document; NotFound."""
        query = {"verbose": verbose or None}
        return document(self._session.request("GET", f"/networks/{quote(reference)}", query))

    def explain(self, reference: str) -> Document:
        """The way of a packet on it: interfaces, rules and ports as the kernel has them."""
        return document(self._session.request("GET", f"/nakagin/networks/{quote(reference)}/explain"))

    def names(self, reference: str = "") -> Document:
        """What the name server answered, by container; of one network's containers where it is named."""
        path = f"/nakagin/networks/{quote(reference)}/names" if reference else "/nakagin/names"
        return document(self._session.request("GET", path))

    def list(self, filters: Filters | None = None) -> Documents:
        """All networks."""
        return list(
            self._session.request("GET", "/networks", {"filters": filter_query(filters)}).json() or []
        )

    def connect(self, reference: str, container: str, endpoint: Document | None = None) -> None:
        """Attach a container; `endpoint` is an EndpointSettings document."""
        body = {"Container": container, "EndpointConfig": endpoint}
        self._session.request("POST", f"/networks/{quote(reference)}/connect", body=body).read()

    def disconnect(self, reference: str, container: str, *, force: bool = False) -> None:
        """Detach a container."""
        body = {"Container": container, "Force": force}
        self._session.request("POST", f"/networks/{quote(reference)}/disconnect", body=body).read()

    def remove(self, reference: str) -> None:
        """Remove it; Conflict while containers use it."""
        self._session.request("DELETE", f"/networks/{quote(reference)}").read()

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused networks: {"NetworksDeleted": [...]}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/networks/prune", query))
