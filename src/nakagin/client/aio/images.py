"""Made by tools/async-client from client/images.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import images as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from nakagin.client.building import Supplier
    from nakagin.client.session import (
        Body,
        Document,
        Documents,
        Filters,
    )


class Images(Facade[sync.Images]):
    """The collection of an engine's images. A reference is a name, name:tag, name@digest, id or id prefix."""

    async def get(self, reference: str, *, platform: str | None = None) -> Document:
        """The inspection document; NotFound."""
        found: Document = await self._call(self._sync.get, reference, platform=platform)
        return found

    async def list(
        self,
        *,
        all: bool = False,
        digests: bool = False,
        manifests: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        """Summaries as the engine lists them (GET /images/json), newest first; with `manifests`, their platforms."""
        found: Documents = await self._call(
            self._sync.list, all=all, digests=digests, manifests=manifests, filters=filters
        )
        return found

    async def history(self, reference: str, *, platform: str | None = None) -> Documents:
        """The layers' account, newest first."""
        found: Documents = await self._call(self._sync.history, reference, platform=platform)
        return found

    async def explain(self, reference: str) -> Document:
        """What each step of the history added, what later ones hid of it, what others share (Nakagin only)."""
        found: Document = await self._call(self._sync.explain, reference)
        return found

    async def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        await self._call(self._sync.tag, source, target)

    async def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, platforms: Sequence[str] = ()
    ) -> Documents:
        """Take a name, the whole image, or some platforms of it away: [{"Untagged": ...}, {"Deleted": ...}]."""
        found: Documents = await self._call(
            self._sync.remove, reference, force=force, prune=prune, platforms=platforms
        )
        return found

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove unused images: {"ImagesDeleted": [...], "SpaceReclaimed": bytes}."""
        found: Document = await self._call(self._sync.prune, filters)
        return found

    def pull(
        self, reference: str, *, platform: str | None = None, all_tags: bool = False
    ) -> AsyncIterator[Document]:
        """Fetch from a registry, as the user the keychain knows; progress messages. A late error is raised."""
        return self._iterate(self._sync.pull, reference, platform=platform, all_tags=all_tags)

    def push(
        self, reference: str, *, platform: str | None = None, all_tags: bool = False
    ) -> AsyncIterator[Document]:
        """Bring an image to the registry that its name says; progress messages, the last with the digest ("aux")."""
        return self._iterate(self._sync.push, reference, platform=platform, all_tags=all_tags)

    async def search(
        self, term: str, *, limit: int | None = None, filters: Filters | None = None
    ) -> Documents:
        """Repositories that a term ("[host/]words") finds at a registry."""
        found: Documents = await self._call(self._sync.search, term, limit=limit, filters=filters)
        return found

    async def distribution(self, reference: str) -> Document:
        """What a registry has under a name: {"Descriptor": {"digest": …}, "Platforms": […]}."""
        found: Document = await self._call(self._sync.distribution, reference)
        return found

    async def log_in(self, auth: Document) -> Document:
        """Ask a registry whether credentials (AuthConfig) are right: {"Status", "IdentityToken"}; Denied."""
        found: Document = await self._call(self._sync.log_in, auth)
        return found

    def import_(
        self,
        source: Body | str,
        reference: str = "",
        *,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: str | None = None,
    ) -> AsyncIterator[Document]:
        """Make an image from a tar stream (or a URL the engine fetches); the last message has the id."""
        return self._iterate(
            self._sync.import_, source, reference, changes=changes, message=message, platform=platform
        )

    def load(
        self, archive: Body, *, quiet: bool = False, platform: str | None = None
    ) -> AsyncIterator[Document]:
        """Take images from an archive made by `save`; progress messages."""
        return self._iterate(self._sync.load, archive, quiet=quiet, platform=platform)

    def save(self, references: Sequence[str], *, platform: str | None = None) -> AsyncIterator[bytes]:
        """The images as one archive stream."""
        return self._iterate(self._sync.save, references, platform=platform)

    def build(
        self, context: Body, options: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Document]:
        """Build from a context (a tar stream); `options` are the parameters of POST /build. Progress messages."""
        return self._iterate(self._sync.build, context, options, headers)

    def build_asking(
        self, options: Mapping[str, object], supplier: Supplier, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Document]:
        """Build on an engine of ours, which asks `supplier` for what it needs. Progress messages."""
        return self._iterate(self._sync.build_asking, options, supplier, headers)

    async def attestations(
        self, reference: str, *, types: Sequence[str] = (), platform: str | None = None
    ) -> Documents:
        """The in-toto statements about an image, whole: [{"PredicateType": URI, "Statement": …}, …]."""
        found: Documents = await self._call(
            self._sync.attestations, reference, types=types, platform=platform
        )
        return found

    async def builds(self) -> Sequence[Document]:
        """The builds under way and the last ones, the newest first (Nakagin only)."""
        found: Sequence[Document] = await self._call(self._sync.builds)
        return found

    async def clear_builds(self) -> None:
        """Forget the builds that are over (Nakagin only)."""
        await self._call(self._sync.clear_builds)

    def bootstrap(self, kind: str, options: Document) -> AsyncIterator[Document]:
        """Make an image from Debian packages on this machine (Nakagin only); progress messages."""
        return self._iterate(self._sync.bootstrap, kind, options)
