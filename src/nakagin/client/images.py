"""Images: finding, moving and making them."""

from __future__ import annotations

from nakagin.client.refusals import check_stream_message
from nakagin.client.session import document, filter_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nakagin.client.building import Supplier
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
        manifests: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        """Summaries as the engine lists them (GET /images/json), newest first; with `manifests`, their platforms."""
        query = {
            "all": all or None,
            "digests": digests or None,
            "manifests": manifests or None,
            "filters": filter_query(filters),
        }
        return list(self._session.request("GET", "/images/json", query).json() or [])

    def history(self, reference: str, *, platform: str | None = None) -> Documents:
        """The layers' account, newest first."""
        query = {"platform": platform_query(platform)}
        return list(self._session.request("GET", self._path(reference, "/history"), query).json() or [])

    def explain(self, reference: str) -> Document:
        """What each step of the history added, what later ones hid of it, what others share (Nakagin only)."""
        path = f"/nakagin{self._path(reference, '/explain')}"
        return document(self._session.request("GET", path, timeout=None, versioned=False))

    def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        repository, tag = split_tag(target)
        self._session.request(
            "POST", self._path(source, "/tag"), {"repo": repository, "tag": tag or None}
        ).read()

    def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, platforms: Sequence[str] = ()
    ) -> Documents:
        """Take a name, the whole image, or some platforms of it away: [{"Untagged": ...}, {"Deleted": ...}]."""
        query = {
            "force": force or None,
            "noprune": None if prune else True,
            "platforms": [platform_query(each) for each in platforms],
        }
        return list(self._session.request("DELETE", self._path(reference), query, timeout=None).json() or [])

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused images: {"ImagesDeleted": [...], "SpaceReclaimed": bytes}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/images/prune", query, timeout=None))

    def pull(
        self, reference: str, *, platform: str | None = None, all_tags: bool = False
    ) -> Iterator[Document]:
        """Fetch from a registry, as the user the keychain knows; progress messages. A late error is raised."""
        name, tag = split_tag(reference)
        if not tag and "@" not in name and not all_tags:
            tag = "latest"
        query = {"fromImage": name, "tag": tag or None, "platform": platform}
        yield from self._progress("/images/create", query, None, credentials_for(name))

    def push(
        self, reference: str, *, platform: str | None = None, all_tags: bool = False
    ) -> Iterator[Document]:
        """Bring an image to the registry that its name says; progress messages, the last with the digest ("aux")."""
        name, tag = split_tag(reference)
        tag = "" if all_tags else tag or "latest"
        query = {"tag": tag or None, "platform": platform_query(platform)}
        yield from self._progress(self._path(name, "/push"), query, None, credentials_for(name))

    def search(self, term: str, *, limit: int | None = None, filters: Filters | None = None) -> Documents:
        """Repositories that a term ("[host/]words") finds at a registry."""
        query = {"term": term, "limit": limit, "filters": filter_query(filters)}
        headers = credentials_for(f"{term}/x" if "/" not in term else term)
        return list(self._session.request("GET", "/images/search", query, headers=headers).json() or [])

    def distribution(self, reference: str) -> Document:
        """What a registry has under a name: {"Descriptor": {"digest": …}, "Platforms": […]}."""
        path = f"/distribution/{quote(reference, '/:@')}/json"
        headers = credentials_for(split_tag(reference)[0])
        return document(self._session.request("GET", path, headers=headers, timeout=None))

    def log_in(self, auth: Document) -> Document:
        """Ask a registry whether credentials (AuthConfig) are right: {"Status", "IdentityToken"}; Denied."""
        return document(self._session.request("POST", "/auth", body=auth, timeout=None))

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

    def load(self, archive: Body, *, quiet: bool = False, platform: str | None = None) -> Iterator[Document]:
        """Take images from an archive made by `save`; progress messages."""
        query = {"quiet": quiet, "platform": platform_query(platform)}
        yield from self._progress("/images/load", query, archive)

    def save(self, references: Sequence[str], *, platform: str | None = None) -> Iterator[bytes]:
        """The images as one archive stream."""
        query = {"names": [*references], "platform": platform_query(platform)}
        yield from self._session.request("GET", "/images/get", query, timeout=None).iterate()

    def build(
        self, context: Body, options: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> Iterator[Document]:
        """Build from a context (a tar stream); `options` are the parameters of POST /build. Progress messages."""
        yield from self._progress("/build", options, context, headers)

    def build_asking(
        self, options: Mapping[str, object], supplier: Supplier, headers: Mapping[str, str] | None = None
    ) -> Iterator[Document]:
        """Build on an engine of ours, which asks `supplier` for what it needs. Progress messages."""
        from nakagin.client.building import build

        yield from build(self._session, options, supplier, headers)

    def attestations(
        self, reference: str, *, types: Sequence[str] = (), platform: str | None = None
    ) -> Documents:
        """The in-toto statements about an image, whole: [{"PredicateType": URI, "Statement": …}, …]."""
        query = {"statement": True, "type": [*types], "platform": platform_query(platform)}
        path = self._path(reference, "/attestations")
        return list(self._session.request("GET", path, query).json() or [])

    def builds(self) -> Sequence[Document]:
        """The builds under way and the last ones, the newest first (Nakagin only)."""
        found: Sequence[Document] = self._session.request("GET", "/nakagin/builds", versioned=False).json()
        return found

    def clear_builds(self) -> None:
        """Forget the builds that are over (Nakagin only)."""
        self._session.request("DELETE", "/nakagin/builds", versioned=False)

    def bootstrap(self, kind: str, options: Document) -> Iterator[Document]:
        """Make an image from Debian packages on this machine (Nakagin only); progress messages."""
        request = {"Kind": kind, **options}
        with self._session.request(
            "POST", "/nakagin/images/bootstrap", body=request, timeout=None, versioned=False
        ) as answer:
            for message in answer.documents():
                check_stream_message(message)
                yield message

    def _progress(
        self,
        path: str,
        query: Mapping[str, object],
        data: Body | None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Document]:
        if data is not None:
            headers = {"Content-Type": "application/x-tar", **(headers or {})}
        with self._session.request("POST", path, query, data=data, headers=headers, timeout=None) as answer:
            for message in answer.documents():
                check_stream_message(message)
                yield message


def credentials_for(name: str) -> dict[str, str]:
    """The header that says to a registry who the user is."""
    import os

    from nakagin.client.keychain import registry_header
    from nakagin.spec.domain import split_domain

    return registry_header(split_domain(name)[0], os.environ)


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
