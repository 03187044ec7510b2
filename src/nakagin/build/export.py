"""What comes of a build: images into the library and to registries, archives and files to the client."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from nakagin.build import progress
from nakagin.build.assembly import config_of, index_of, kind_of, manifest_of
from nakagin.build.attesting import Outcome
from nakagin.build.layouts import Written, parts_of
from nakagin.build.outputs import at
from nakagin.build.squash import squashed
from nakagin.errors import Invalid
from nakagin.images.model import StoredLayer
from nakagin.images.recompress import compress, estargz
from nakagin.images.save import packed
from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD
from nakagin.spec.reference import Reference
from nakagin.storage.merged import merged_members
from nakagin.storage.tarread import DIRECTORY, FILE, Entry
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.build.attesting import Attesting
    from nakagin.build.builder import Builder
    from nakagin.build.graph import Graph
    from nakagin.build.outputs import Outputs, OutputSpec
    from nakagin.build.state import State
    from nakagin.build.underway import Order
    from nakagin.images.model import Image
    from nakagin.spec.platform import Platform

_MEDIA = {
    "uncompressed": MEDIA_LAYER,
    "gzip": MEDIA_LAYER_GZIP,
    "zstd": MEDIA_LAYER_ZSTD,
    "estargz": MEDIA_LAYER_GZIP,
}


class Result(NamedTuple):
    """What one platform has become; `created` is the time for what has none of its own."""

    platform: Platform
    state: State
    graph: Graph
    created: str
    extra: dict[str, object]
    """Further keys of the config."""


class Export:
    """The end of one build."""

    def __init__(self, builder: Builder, order: Order, outputs: Outputs, attesting: Attesting | None) -> None:
        self._images = builder.images
        self._pushes = builder.elsewhere.pushes
        self._order = order
        self._outputs = outputs
        self._attesting = attesting
        self._request = order.request

    async def finish(self, results: Sequence[Result]) -> Image | None:
        """Make everything that was asked for; the image (of several platforms the first), where there is one."""
        outputs = self._outputs
        image: Image | None = None
        archives = any(spec.type in ("oci", "docker") for _, spec in outputs.files)
        made: list[Written] = []
        if outputs.library or archives:
            made = await asyncio.to_thread(self._documents, results, archives=archives)
        index = self._index(made, results)
        for number, spec in outputs.files:
            if spec.type in ("local", "tar"):
                await self._deliver_files(number, spec, results)
            else:
                await self._deliver_archive(number, made, index)
        if outputs.library:
            image = await asyncio.to_thread(self._add, made, index)
        if image is not None and outputs.push:
            await self._push(image)
        return image

    # --- Documents

    @property
    def _indexed(self) -> bool:
        """Whether the image is an index: it has several platforms, or something is said of it."""
        multi = self._request.given.get("BUILDKIT_MULTI_PLATFORM") in ("1", "true")
        return multi or len(self._request.platforms) > 1 or self._attesting is not None

    def _documents(self, results: Sequence[Result], *, archives: bool) -> list[Written]:
        """An image's documents for each platform; the manifest is b"" where nobody needs one yet."""
        manifest = archives or self._indexed or self._outputs.making.wanted
        return [self._made(result, manifest=manifest) for result in results]

    def _index(self, made: Sequence[Written], results: Sequence[Result]) -> bytes:
        if not made or not self._indexed:
            return b""
        members = [
            (digest_of(each.manifest), len(each.manifest), result.platform)
            for each, result in zip(made, results, strict=True)
        ]
        beside = [each.attached.descriptor() for each in made if each.attached is not None]
        making = self._outputs.making
        return index_of(members, making.annotations, beside, dockers=making.dockers)

    def _made(self, result: Result, *, manifest: bool) -> Written:
        state, making = result.state, self._outputs.making
        if self._request.squash:
            state = squashed(self._order.workshop, state, result.created)
        layers = state.layers
        said: dict[str, dict[str, str]] = {}
        if manifest:
            layers = [self._layer(layer, making.compression or "gzip", said) for layer in layers]
        if said:  # layers that became others by being packed otherwise
            editor, state = state.editor, state.copy()
            state.editor, state.layers = editor, layers
        config = config_of(state, result.platform, self._request.labels, result.created, result.extra)
        if not manifest:
            return Written(config, b"", layers)
        document = manifest_of(
            digest_of(config), len(config), layers, making.annotations, said, dockers=making.dockers
        )
        attached = None
        if self._attesting is not None:
            outcome = Outcome(result.platform, state, result.graph)
            attached = self._attesting.of_image(outcome, digest_of(document), layers, self._outputs.names)
        return Written(config, document, layers, attached)

    def _layer(self, layer: StoredLayer, compression: str, said: dict[str, dict[str, str]]) -> StoredLayer:
        """The layer as the manifest shall name it. Those of the base stay as they came, unless forced.

        What the manifest shall say of a layer goes into `said`, by its digest.
        """
        wanted = _MEDIA[compression]
        plain = layer.media_type == MEDIA_LAYER
        if not plain and not self._outputs.making.force:
            return layer
        if compression == "estargz":
            found = estargz(
                self._images.blobs, layer.digest, self._order.workshop.keep, level=self._outputs.making.level
            )
            said[found.digest] = found.annotations
            return StoredLayer(found.diff_id, found.digest, found.size, wanted)
        if layer.media_type == wanted:
            return layer
        digest, size = compress(
            self._images.blobs, layer.digest, self._order.workshop.keep, kind=compression,
            level=self._outputs.making.level,
        )  # fmt: skip
        return StoredLayer(layer.diff_id, digest, size, wanted)

    # --- The library and registries

    def _add(self, made: Sequence[Written], index: bytes) -> Image:
        """The image in the library, with its names; of several platforms the first one."""
        names = [Reference.parse(name) for name in self._outputs.names]
        kept = {digest: kind_of(index)} if index and (digest := self._put(index)) else {}
        images = []
        for each in made:
            manifests = dict(kept)
            if each.manifest:
                manifests[self._put(each.manifest)] = kind_of(each.manifest)
            beside = [self._put(document) for document in each.attached.documents()] if each.attached else []
            images.append(
                self._images.add(each.config, each.layers, names, manifests=manifests, beside=beside)
            )
        told = tuple(name.tagged().familiar() for name in names)
        self._order.tell(progress.Built(images[0].id, told, next(iter(kept), "")))
        return images[0]

    def _put(self, document: bytes) -> str:
        self._order.workshop.keep(digest := digest_of(document))
        self._images.blobs.put(document)
        return digest

    async def _push(self, image: Image) -> None:
        if not self._outputs.names:
            raise Invalid("a push needs a name", hint="give one with -t, or name= of the output")

        def tell(message: dict[str, object]) -> None:
            self._order.tell(progress.Said(message))

        for name in self._outputs.names:
            reference = Reference.parse(name).tagged()
            credentials = await self._order.supplies.credentials(reference.domain)
            tell({"status": f"The push refers to repository [{reference.name}]"})
            pushed = await self._pushes.push(reference, credentials, tell)
            tell({"status": f"{pushed.tag}: digest: {pushed.digest} size: {pushed.size}"})
            self._order.tell(progress.Pushed(reference.familiar(), pushed.digest))

    # --- Files

    async def _deliver_files(self, number: int, spec: OutputSpec, results: Sequence[Result]) -> None:
        split = spec.on("platform-split", default=len(results) > 1)
        await self._order.supplies.deliver("output", str(number), self._files(results, split=split))

    def _files(self, results: Sequence[Result], *, split: bool) -> Iterator[bytes]:
        """The files of all results as one tar; `split`: each platform's in a folder of its own. Blocking."""
        now = time.time_ns()
        for result in results:
            prefix = f"{str(result.platform).replace('/', '_')}/".encode() if split else b""
            if prefix:
                folder = Entry(prefix, DIRECTORY, 0o755)
                folder.mtime_ns = now
                yield header(folder)
            yield from merged_members(self._order.workshop.folders(result.state.chain), prefix)
            for name, data in self._statements(result):
                entry = Entry(prefix + name.encode(), FILE, 0o644)
                entry.size, entry.mtime_ns = len(data), now
                yield header(entry) + data + padding(len(data))
        yield END

    def _statements(self, result: Result) -> Iterator[tuple[str, bytes]]:
        if self._attesting is not None:
            outcome = Outcome(result.platform, result.state, result.graph)
            yield from self._attesting.of_files(outcome)

    async def _deliver_archive(self, number: int, made: Sequence[Written], index: bytes) -> None:
        names = [str(Reference.parse(name).tagged()) for name in self._outputs.names]
        described = at(self._outputs.making.annotations, "index-descriptor")
        parts = parts_of(made, index, names, described)
        await self._order.supplies.deliver("output", str(number), packed(parts, self._images.blobs.open))
