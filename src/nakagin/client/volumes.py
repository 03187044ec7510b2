"""Named volumes."""

from __future__ import annotations

from nakagin.client.session import document, filter_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.client.session import Document, Documents, Filters, Session


class Volumes:
    """The collection of an engine's volumes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Make a volume (no error when it exists with the same options); without a name it is anonymous."""
        body = {
            "Name": name,
            "Driver": driver,
            "DriverOpts": dict(options or {}),
            "Labels": dict(labels or {}),
        }
        return document(self._session.request("POST", "/volumes/create", body=body))

    def get(self, name: str) -> Document:
        """The inspection document; NotFound."""
        return document(self._session.request("GET", f"/volumes/{quote(name)}"))

    def list(self, filters: Filters | None = None) -> Documents:
        """All volumes."""
        answer = document(self._session.request("GET", "/volumes", {"filters": filter_query(filters)}))
        return list(answer.get("Volumes") or [])

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it with its data; Conflict while a container uses it."""
        self._session.request(
            "DELETE", f"/volumes/{quote(name)}", {"force": force or None}, timeout=None
        ).read()

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused volumes: {"VolumesDeleted": [...], "SpaceReclaimed": bytes}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/volumes/prune", query, timeout=None))
