"""Manifest lists: several platforms' images put together under one name (Nakagin only)."""

from __future__ import annotations

from nakagin.client.images import credentials_for
from nakagin.client.session import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.client.session import Document, Response, Session

_PATH = "/nakagin/manifests"


class Manifests:
    """Lists by their name; the images in them are names at the same registry."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, name: str, images: Sequence[str], *, amend: bool = False) -> str:
        """Make a list, or add to one; its full name. Conflict where it exists."""
        body = {"Manifests": [*images]}
        query = {"name": name, "amend": amend or None}
        return str(document(self._request("POST", "", name, query, body))["Name"])

    def annotate(self, name: str, image: str, platform: Document) -> None:
        """Say what platform an image is for: Os, Architecture, Variant, OsVersion, OsFeatures."""
        self._request("POST", "/annotate", name, {"name": name}, {"Manifest": image, **platform}).read()

    def inspect(self, name: str) -> bytes:
        """The bytes of a list, or of the manifest or index that a registry has under the name."""
        return self._request("GET", "", name, {"name": name}).read()

    def push(self, name: str, *, purge: bool = False) -> str:
        """Bring a list to its registry; the digest."""
        answer = self._request("POST", "/push", name, {"name": name, "purge": purge or None})
        return str(document(answer)["Digest"])

    def remove(self, name: str) -> None:
        """Forget a list; NotFound."""
        self._request("DELETE", "", name, {"name": name}).read()

    def _request(self, method: str, path: str, name: str, query: Document, body: object = None) -> Response:
        return self._session.request(
            method,
            _PATH + path,
            query,
            body=body,
            headers=credentials_for(name),
            timeout=None,
            versioned=False,
        )
