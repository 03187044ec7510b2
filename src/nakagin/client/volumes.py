"""Named volumes."""

from __future__ import annotations

from nakagin.client.session import document, filter_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from nakagin.client.session import Body, Document, Documents, Filters, Response, Session


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
        return document(self._session.request("POST", "/volumes/create", body=self._session.labelled(body)))

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

    def rename(self, name: str, wanted: str) -> None:
        """Give it another name; Conflict while a container runs on it (Nakagin only)."""
        self._own("POST", name, "rename", {"name": wanted}).read()

    def clone(self, name: str, wanted: str) -> Document:
        """A new volume with the same content (Nakagin only)."""
        return document(self._own("POST", name, "clone", {"name": wanted}))

    def snapshot(self, name: str, wanted: str = "") -> Document:
        """A clone that says of what it is one; without a name it has the time in it (Nakagin only)."""
        return document(self._own("POST", name, "clone", {"name": wanted or None, "snapshot": True}))

    def export(self, name: str) -> Iterator[bytes]:
        """The content as a tar, in pieces (Nakagin only)."""
        return self._own("GET", name, "export", {}).iterate()

    def import_(self, name: str, tar: Body) -> Document:
        """Unpack a tar into the volume, which is made where it is missing (Nakagin only)."""
        headers = {"Content-Type": "application/x-tar"}
        return document(self._own("POST", name, "import", {}, data=tar, headers=headers))

    def changes(self, name: str, since: str) -> Documents:
        """What differs from the volume `since`: "Path" and "Kind" (0 changed, 1 added, 2 deleted) (Nakagin only)."""
        return list(self._own("GET", name, "changes", {"from": since}).json() or [])

    def _own(
        self, method: str, name: str, verb: str, query: Mapping[str, object], **options: Any
    ) -> Response:
        path = f"/nakagin/volumes/{quote(name)}/{verb}"
        return self._session.request(method, path, query, timeout=None, **options)

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused volumes: {"VolumesDeleted": [...], "SpaceReclaimed": bytes}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/volumes/prune", query, timeout=None))
