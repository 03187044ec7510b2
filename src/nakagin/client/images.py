"""Images: finding, moving and making them."""

from __future__ import annotations

from nakagin.client.refusals import check_stream_message
from nakagin.client.session import document, filter_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.client.session import Body, Document, Documents, Filters, Session


class Images:
    """The collection of an engine's images. A reference is a name, name:tag, name@digest, id or id prefix."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _path(self, reference: str, verb: str = "") -> str:
        return f"/images/{quote(reference, '/:@')}{verb}"

    def get(self, reference: str, *, platform: str | None = None) -> Document:
        """The inspection document; NotFound."""
        query = {"platform": platform_query(platform)}
        return document(self._session.request("GET", self._path(reference, "/json"), query))

    def list(
        self,
        *,
        all: bool = False,
        digests: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        """Summaries as the engine lists them (GET /images/json), newest first."""
        query = {"all": all or None, "digests": digests or None, "filters": filter_query(filters)}
        return list(self._session.request("GET", "/images/json", query).json() or [])

    def history(self, reference: str, *, platform: str | None = None) -> Documents:
        """The layers' account, newest first."""
        query = {"platform": platform_query(platform)}
        return list(self._session.request("GET", self._path(reference, "/history"), query).json() or [])

    def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        repository, tag = split_tag(target)
        self._session.request(
            "POST", self._path(source, "/tag"), {"repo": repository, "tag": tag or None}
        ).read()

    def remove(self, reference: str, *, force: bool = False, prune: bool = True) -> Documents:
        """Take a name or the whole image away: [{"Untagged": ...}, {"Deleted": ...}]."""
        query = {"force": force or None, "noprune": None if prune else True}
        return list(self._session.request("DELETE", self._path(reference), query, timeout=None).json() or [])

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused images: {"ImagesDeleted": [...], "SpaceReclaimed": bytes}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/images/prune", query, timeout=None))

    def pull(self, reference: str, *, platform: str | None = None) -> Iterator[Document]:
        """Fetch from a registry; progress messages. An error in the middle is raised."""
        name, tag = split_tag(reference)
        if not tag and "@" not in name:
            tag = "latest"
        query = {"fromImage": name, "tag": tag or None, "platform": platform}
        yield from self._progress("/images/create", query, None)

    def import_(
        self,
        source: Body | str,
        reference: str = "",
        *,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: str | None = None,
    ) -> Iterator[Document]:
        """Make an image from a tar stream (or a URL the engine fetches); the last message has the id."""
        repository, tag = split_tag(reference)
        from_stream = not isinstance(source, str)
        query = {
            "changes": [*changes],
            "fromSrc": "-" if from_stream else source,
            "message": message or None,
            "platform": platform or None,
            "repo": repository or None,
            "tag": tag or None,
        }
        yield from self._progress("/images/create", query, source if not isinstance(source, str) else None)

    def load(self, archive: Body, *, quiet: bool = False) -> Iterator[Document]:
        """Take images from an archive made by `save`; progress messages."""
        yield from self._progress("/images/load", {"quiet": quiet}, archive)

    def save(self, references: Sequence[str], *, platform: str | None = None) -> Iterator[bytes]:
        """The images as one archive stream."""
        query = {"names": [*references], "platform": platform_query(platform)}
        yield from self._session.request("GET", "/images/get", query, timeout=None).iterate()

    def bootstrap(self, kind: str, options: Document) -> Iterator[Document]:
        """Make an image from Debian packages on this machine (Nakagin only); progress messages."""
        request = {"Kind": kind, **options}
        with self._session.request(
            "POST", "/nakagin/images/bootstrap", body=request, timeout=None, versioned=False
        ) as answer:
            for message in answer.documents():
                check_stream_message(message)
                yield message

    def _progress(self, path: str, query: Document, data: Body | None) -> Iterator[Document]:
        headers = {"Content-Type": "application/x-tar"} if data is not None else None
        with self._session.request("POST", path, query, data=data, headers=headers, timeout=None) as answer:
            for message in answer.documents():
                check_stream_message(message)
                yield message


def split_tag(reference: str) -> tuple[str, str]:
    """ "host:5000/a/b:tag" → ("host:5000/a/b", "tag"); no tag is ""."""
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag and "@" not in head else (reference, "")


def platform_query(platform: str | None) -> dict[str, str] | None:
    """ "linux/arm64/v8" as the API's JSON form."""
    if not platform:
        return None
    words = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return words if "architecture" in words else {"architecture": words["os"]}
