"""Where the files of a build come from: the client's folders, images, layouts, git repositories, URLs.

Each is fetched when an instruction first needs it, once for the whole build, and let go at its end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit, urlunsplit

from nakagin.build.agents import agent_socket
from nakagin.build.archives import looks_like_tar
from nakagin.build.context import Context
from nakagin.build.git import Access, checkout
from nakagin.build.provenance import Material, image_uri
from nakagin.build.remotes import GitSource, UrlSource, remote
from nakagin.build.stack import Stack
from nakagin.build.tree import Item
from nakagin.dockerfile.ignore import Patterns, read_ignore
from nakagin.errors import Denied, Invalid, NotFound, Unavailable
from nakagin.registry.download import download
from nakagin.spec.image import MANIFESTS
from nakagin.spec.reference import Reference
from nakagin.storage.tarread import DIRECTORY, Entry
from nakagin.tasks import drop, to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from nakagin.build.builder import Builder
    from nakagin.build.request import BuildRequest
    from nakagin.build.supplies import Supplies
    from nakagin.images.model import Image
    from nakagin.registry.download import Downloaded
    from nakagin.spec.platform import Platform

T = TypeVar("T")
_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"
LOCAL = "local:"
"""How a named context that is a folder of the client is written in a request."""


class Sources:
    """The sources of one build; `close` at its end."""

    FETCHED_MODE = 0o600
    """Of files from URLs, as in Docker."""

    def __init__(self, builder: Builder, request: BuildRequest, supplies: Supplies) -> None:
        self._builder = builder
        self._request = request
        self._supplies = supplies
        self._held = ExitStack()
        self._tasks: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self.materials: dict[str, Material] = {}
        """What came from outside, by its URI."""
        self.origin: Material | None = None
        """Where the build's own context came from, if not from the client."""

    async def close(self) -> None:
        """End what is still being fetched, and let go of all files."""
        try:
            await drop(*self._tasks.values())
        finally:
            await to_the_end(asyncio.to_thread(self._held.close))

    async def _once(self, key: tuple[str, ...], make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task: asyncio.Task[T] | None = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(make(), name=f"source {key[0]}")
        return await asyncio.shield(task)

    # --- The build's own context

    async def main(self) -> Context:
        """All of the build's context, what .dockerignore leaves out included."""
        return await self._once(("main",), self._main)

    async def _main(self) -> Context:
        if not self._request.remote:
            return await self._kept(self._supplies.context(""))
        source = remote(self._request.remote)
        if source is None:
            raise Invalid(
                f"{self._request.remote} is neither a git repository nor a URL",
                hint="or send the folder as a tar",
            )
        keep = self._request.given.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "") in ("1", "true")
        context = await self._remote(source, "Dockerfile", keep_git_dir=keep)
        self.origin = self.materials.get(_uri(source))
        return context

    async def visible(self, ignored: Patterns | None) -> Context:
        """The context as instructions see it."""
        whole = await self.main()
        return whole.without(ignored) if ignored else whole

    async def dockerfile(self) -> str:
        """Its text. Raises NotFound."""
        request = self._request
        if request.text is not None:
            return request.text
        text = (await self.main()).text(os.fsencode(request.dockerfile.lstrip("/")))
        if text is None:
            raise NotFound(
                f"Cannot locate specified Dockerfile: {request.dockerfile}",
                hint="name it with -f, relative to the context",
            )
        return text

    async def ignored(self) -> Patterns | None:
        """What .dockerignore (the Dockerfile's own before the context's) leaves out."""
        request = self._request
        if request.text is not None and request.ignore is not None:
            return Patterns(read_ignore(request.ignore)) if request.ignore else None
        context = await self.main()
        for name in (f"{request.dockerfile}.dockerignore", ".dockerignore"):
            text = context.text(os.fsencode(name.lstrip("/")))
            if text is not None:
                return Patterns(read_ignore(text))
        return None

    # --- Named contexts

    async def named(self, name: str, platform: Platform | None) -> Context | Image:
        """What a named context is: files, or an image."""
        where = self._request.contexts[name]
        if where.startswith(_IMAGE):
            return await self.image(where.removeprefix(_IMAGE), platform)
        return await self._once(("named", name), lambda: self._named(name, where))

    async def _named(self, name: str, where: str) -> Context | Image:
        if where.startswith(_LAYOUT):
            return await self._layout(name, where)
        if where == LOCAL:
            return await self._kept(self._supplies.context(name))
        source = remote(where)
        if source is None:
            raise Invalid(
                f"the context {name} ({where}) is nothing that is known",
                hint="a folder, docker-image://, oci-layout://, a git repository or a URL",
            )
        return await self._remote(source, "")

    async def _layout(self, name: str, where: str) -> Image:
        """An image of an OCI layout at the client, found by the digest or tag behind its path."""
        images = self._builder.images
        _, _, digest = where.rpartition("@")
        async with self._supplies.archive("layout", name) as stream:
            loaded = await asyncio.to_thread(images.load, stream)
        for each in loaded:
            image = images.resolve(each)
            if not digest.startswith("sha256:") or digest in (image.id, image.index, *image.record.manifests):
                return image
        raise NotFound(f"the layout {where} has no image {digest}", hint=f"it has {', '.join(loaded)}")

    # --- Images

    async def image(self, name: str, platform: Platform | None) -> Image:
        """An image by name: from here if it is here, else from its registry."""
        image = await self._once(("image", name, str(platform or "")), lambda: self._image(name, platform))
        self._note(Material(image_uri(name, image.platform), digest_at_registry(image)))
        return image

    async def _image(self, name: str, platform: Platform | None) -> Image:
        builder = self._builder
        if not self._request.pull:
            try:
                return builder.images.resolve(name, platform)
            except NotFound:
                pass
        reference = Reference.parse(name).tagged()
        credentials = await self._supplies.credentials(reference.domain)
        try:
            pulled = await builder.elsewhere.pulls.pull(
                reference, credentials, lambda message: None, platform=platform
            )
        except (NotFound, Denied, Unavailable) as error:
            told = f"the image {name} is not here and cannot be pulled: {error.message}"
            raise type(error)(told, hint=error.hint) from error
        return pulled.image

    # --- Repositories and files elsewhere

    async def fetched(self, source: GitSource | UrlSource, checksum: str, *, keep_git_dir: bool) -> Context:
        """What ADD takes from elsewhere: a repository's files, or one file with the name that its URL ends in."""
        key = ("add", repr(source), checksum, str(keep_git_dir))
        return await self._once(key, lambda: self._fetched(source, checksum, keep_git_dir))

    async def _fetched(self, source: GitSource | UrlSource, checksum: str, keep_git_dir: bool) -> Context:
        if isinstance(source, GitSource):
            return await self._git(source, checksum, keep_git_dir=keep_git_dir)
        return self._file(await self._download(source, checksum), mode=self.FETCHED_MODE)

    async def _remote(
        self, source: GitSource | UrlSource, name: str, *, keep_git_dir: bool = False
    ) -> Context:
        """A context from elsewhere: a repository, a tar, or else a single file called `name`."""
        if isinstance(source, GitSource):
            return await self._git(source, "", keep_git_dir=keep_git_dir)
        found = await self._download(source, "")
        if looks_like_tar(_At(found.file.fileno())):
            with found.file:
                return await self._kept(asyncio.to_thread(Context.read, found.file, self._builder.temporary))
        return self._file(found._replace(name=name or found.name), mode=0o644)

    async def _download(self, source: UrlSource, checksum: str) -> Downloaded:
        headers = {}
        host = urlsplit(source.url).hostname or ""
        if (header := await self._words(f"HTTP_AUTH_HEADER_{host}")) is not None:
            headers["Authorization"] = header
        elif (token := await self._words(f"HTTP_AUTH_TOKEN_{host}")) is not None:
            headers["Authorization"] = f"Bearer {token}"
        wire = self._builder.elsewhere.registries.wire
        found = await download(wire, source.url, self._builder.temporary, headers=headers, checksum=checksum)
        self.note(source, found.digest)
        return found

    def note(self, source: GitSource | UrlSource, digest: str) -> None:
        """The build has used what is there, with this digest."""
        self._note(Material(_uri(source), digest))

    def _note(self, material: Material) -> None:
        self.materials.setdefault(material.uri, material)

    def _file(self, found: Downloaded, *, mode: int) -> Context:
        digest = found.digest.removeprefix("sha256:")
        name = os.fsencode(found.name)
        return self.hold(
            Context.of_file(
                found.file, name, size=found.size, digest=digest, mode=mode, mtime_ns=found.modified
            )
        )

    async def _git(self, source: GitSource, checksum: str, *, keep_git_dir: bool) -> Context:
        # Not in a thread: where the build is given up meanwhile, nobody would know of the folder.
        folder = tempfile.mkdtemp(dir=self._builder.temporary)
        try:
            async with AsyncExitStack() as leave:
                agent = ""
                if source.is_ssh and self._supplies.has_agent("default"):
                    agent = await leave.enter_async_context(agent_socket(self._supplies, "default", folder))
                access = await self._access(source, agent)
                found = await checkout(source, folder, access, checksum=checksum, keep_git_dir=keep_git_dir)
            self.note(source, f"sha{1 if len(found.commit) == 40 else 256}:{found.commit}")
            top = Item(b"", Entry(b"", DIRECTORY, 0o755))
            tree = Stack((found.folder,))
            seconds = found.time * 1_000_000_000
            work = asyncio.to_thread(Context.copied, tree, top, self._builder.temporary, mtime_ns=seconds)
            return await self._kept(work)
        finally:
            await to_the_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _access(self, source: GitSource, agent: str) -> Access:
        for name in (f"GIT_AUTH_HEADER.{source.host}", "GIT_AUTH_HEADER"):
            if (header := await self._words(name)) is not None:
                return Access(header, agent)
        for name in (f"GIT_AUTH_TOKEN.{source.host}", "GIT_AUTH_TOKEN"):
            if (token := await self._words(name)) is not None:
                return Access.token(token, agent)
        return Access(agent=agent)

    async def _words(self, id: str) -> str | None:
        value = await self._supplies.secret(id)
        return value.decode(errors="replace").strip() if value is not None else None

    def hold(self, context: Context) -> Context:
        """Let go of this one, too, at the end."""
        self._held.callback(context.close)
        return context

    async def _kept(self, work: Coroutine[Any, Any, Context]) -> Context:
        return self.hold(await work)


def digest_at_registry(image: Image) -> str:
    """That of the manifest that the image came by; of one that was made here, its ID."""
    return next((digest for digest, kind in image.record.manifests.items() if kind in MANIFESTS), image.id)


def _uri(source: GitSource | UrlSource) -> str:
    """What a source is called in a provenance: without a name and password."""
    parts = urlsplit(source.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme else source.url
    return f"{url}#{source.ref}" if isinstance(source, GitSource) and source.ref else url


class _At:
    """A file from its beginning, whatever else reads it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int, /) -> bytes:
        piece = os.pread(self._fd, size, self._at)
        self._at += len(piece)
        return piece
