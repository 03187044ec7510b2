"""Image archives: tars written by docker save, podman save, skopeo and other makers of OCI layouts.

Read in one pass: every file goes straight into the blob store under its own digest, whatever the order, and what
looks like a large layer is unpacked meanwhile. At the end the archive's own documents say what is what.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from nakagin.errors import Damaged, Invalid, Unsupported
from nakagin.images.model import Document
from nakagin.spec.digest import is_digest
from nakagin.spec.image import (
    ANNOTATION_CONTAINERD_NAME,
    ANNOTATION_REF_NAME,
    INDEXES,
    MANIFESTS,
    MEDIA_MANIFEST,
)
from nakagin.spec.platform import Platform, choose
from nakagin.spec.reference import Reference
from nakagin.storage import tarread
from nakagin.storage.compression import decompressed, kind_of, reading
from nakagin.storage.tarread import TarReader
from nakagin.storage.tree import clean, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.layering import Layering
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.compression import Readable

_LARGEST_DOCUMENT = 16 << 20
_DEEPEST_INDEX = 4
_MOST_FILES = 100_000
_MOST_MANIFESTS = 10_000
_WORTH_AN_EARLY_START = 4 << 20
T = TypeVar("T")


class Archived(NamedTuple):
    """One image of an archive: its config and layer blobs (bottom first) by digest, and its names.

    `manifest` and `platforms` (its index) are the documents it came with, where it did; `media_types` those of
    the layers; `beside` the blobs of that index that belong to no image: inner indexes, attestations.
    """

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]
    manifest: Document | None = None
    platforms: Document | None = None
    media_types: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


class Archive:
    """The files of an archive by path; each is a blob by now."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._files: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._manifests = 0

    def take_in(self, stream: Readable, keep: Callable[[str], None], layering: Layering) -> None:
        """Store every file of the tar. `keep` saves blobs from being collected, `layering` unpacks some early.
        Raises Damaged, Invalid, Exhausted, Unsupported."""
        with reading("the archive"):
            reader = TarReader(decompressed(stream)[1])
            for entry in reader:
                if reader.count > _MOST_FILES:
                    raise Invalid("the archive has too many files", hint="is it an image archive?")
                name = clean(entry.name).decode(errors="surrogateescape")
                if entry.type == tarread.FILE:
                    if entry.segments is not None:
                        raise Unsupported(
                            "the archive has sparse files", hint="write it with docker, podman or skopeo"
                        )
                    self._store(name, entry.size, reader, keep, layering)
                elif entry.type == tarread.SYMLINK:
                    target = entry.linkname.decode(errors="surrogateescape")
                    self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
                elif entry.type == tarread.LINK:
                    self._links[name] = clean(entry.linkname).decode(errors="surrogateescape")

    def _store(
        self, name: str, size: int, reader: TarReader, keep: Callable[[str], None], layering: Layering
    ) -> None:
        promised = _promised(name)
        early = size >= _WORTH_AN_EARLY_START and not (promised and self._blobs.exists(promised))
        unpacking = None
        with self._blobs.writer(promised) as blob:
            for piece in reader.chunks():
                if early and not blob.size and _is_layer(piece):
                    unpacking = layering.begin(blob.fileno(), size)
                blob.write(piece)
                if unpacking is not None:
                    unpacking.have(blob.size)
            keep(blob.digest())
            self._files[name] = digest = blob.commit()
            self._sizes[name] = blob.size
            self._links.pop(name, None)
        if unpacking is not None:
            layering.known(unpacking, digest, size)

    # --- What is in it

    def images(self, host: Platform, wanted: Sequence[Platform] = ()) -> list[Archived]:
        """The images, of several platforms all, or the `wanted` ones. Raises Invalid or Damaged."""
        docker = self._docker() if self._find("manifest.json") is not None else None
        if self._find("index.json") is not None:
            found = self._layout(host, wanted)
            named = {each.config: each.names for each in docker or ()}
            return [
                each._replace(names=tuple(dict.fromkeys((*each.names, *named.get(each.config, ())))))
                for each in found
            ]
        if docker is None:
            raise Invalid(
                "not an image archive: it has neither manifest.json nor index.json",
                hint="the tar of a root file system becomes an image with `import`",
            )
        return docker

    def _find(self, name: str) -> str | None:
        for _ in range(8):
            name = posixpath.normpath(name)
            if (digest := self._files.get(name)) is not None:
                return digest
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def _blob(self, name: str) -> str:
        digest = self._find(name)
        if digest is None:
            raise Damaged(f"the archive lacks {name}, which its manifest names", hint="save it again")
        return digest

    def _document(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self._bytes(name), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Damaged(f"{name} in the archive is not as it should be: {error}") from None

    def _bytes(self, name: str) -> bytes:
        digest = self._blob(name)
        if self._blobs.size(digest) > _LARGEST_DOCUMENT:
            raise Damaged(f"{name} in the archive is too large to be a document")
        return self._blobs.read(digest)

    def _docker(self) -> list[Archived]:
        """docker archive: manifest.json lists config, layers and names of each image by path."""
        found = []
        for item in self._document("manifest.json", list[_DockerItem]):
            names = tuple(str(Reference.parse(name).tagged()) for name in item.RepoTags or ())
            layers = tuple(self._blob(name) for name in item.Layers or ())
            found.append(Archived(self._blob(item.Config), layers, names))
        return found

    # --- OCI layout

    def _layout(self, host: Platform, wanted: Sequence[Platform]) -> list[Archived]:
        """index.json points at manifests, or at indexes of one image for several platforms."""
        groups: dict[str, list[_Descriptor]] = {}
        for number, descriptor in enumerate(self._document("index.json", _Index).manifests or ()):
            groups.setdefault(descriptor.name() or f"#{number}", []).append(descriptor)
        found: dict[tuple[str, str], Archived] = {}
        for name, descriptors in groups.items():
            for image in self._group(descriptors, host, wanted):
                key = (image.config, image.manifest.data.hex() if image.manifest else "")
                names = () if name.startswith("#") else (name,)
                known = found.get(key, image)
                found[key] = known._replace(names=(*known.names, *names))
        if not found:
            words = ", ".join(map(str, wanted)) or str(host)
            raise Invalid(f"the archive has no image for {words}", hint="choose another with --platform")
        return list(found.values())

    def _group(
        self, descriptors: Sequence[_Descriptor], host: Platform, wanted: Sequence[Platform]
    ) -> list[Archived]:
        """The images under one name: those of an index together, of bare manifests the one that suits best."""
        several: list[tuple[_Descriptor, Document]] = []
        beside: list[str] = []
        bare: list[_Descriptor] = []
        for descriptor in descriptors:
            if not self._is_here(descriptor):
                continue
            if descriptor.media_type in INDEXES:
                document = Document(descriptor.media_type, self._bytes(descriptor.path()))
                several += [(each, document) for each in self._flat(descriptor, 0, beside)]
            else:
                bare.append(descriptor)
        if bare and not wanted:
            best = choose([(each.where(), each) for each in bare if each.platform], host)
            bare = [best or bare[0]]
        flat = [(each, None) for each in bare] + several
        if wanted:
            chosen = [choose([(self._platform(pair[0]), pair) for pair in flat], each) for each in wanted]
            flat = [pair for pair in chosen if pair is not None]
        return [
            self._manifest(descriptor)._replace(platforms=index, beside=tuple(beside) if index else ())
            for descriptor, index in flat
        ]

    def _flat(self, descriptor: _Descriptor, depth: int, beside: list[str]) -> list[_Descriptor]:
        """The manifests of an index, also of those nested in it, that are in the archive; the rest goes to `beside`."""
        if depth > _DEEPEST_INDEX:
            raise Damaged("the archive's indexes are nested too deeply")
        found: list[_Descriptor] = []
        for each in self._document(descriptor.path(), _Index).manifests or ():
            self._manifests += 1
            if self._manifests > _MOST_MANIFESTS:
                raise Damaged("the archive's indexes name too many manifests")
            # An archive may leave out what it does not carry (other platforms), and carry attestations.
            if not self._is_here(each):
                continue
            if each.is_attestation():
                beside += self._attestation(each)
            elif each.media_type in INDEXES:
                beside.append(self._blob(each.path()))
                found += self._flat(each, depth + 1, beside)
            elif each.media_type in MANIFESTS or not each.media_type:
                found.append(each)
        return found

    def _attestation(self, descriptor: _Descriptor) -> list[str]:
        """Its manifest, and what of that is in the archive."""
        manifest = self._document(descriptor.path(), _Manifest)
        named = (descriptor, manifest.config, *(manifest.layers or ()))
        return [digest for each in named if (digest := self._find(each.path())) is not None]

    def _is_here(self, descriptor: _Descriptor) -> bool:
        return self._find(descriptor.path()) is not None

    def _platform(self, descriptor: _Descriptor) -> Platform:
        """The platform that a descriptor names, else that of its image's config."""
        if descriptor.platform:
            return descriptor.where()
        config = self._document(descriptor.path(), _Manifest).config
        return self._document(config.path(), _Platform).made()

    def _manifest(self, descriptor: _Descriptor) -> Archived:
        data = self._bytes(descriptor.path())
        if descriptor.size not in (-1, len(data)):
            raise Damaged(
                f"the manifest {descriptor.digest} in the archive does not have the size that is promised"
            )
        manifest = self._document(descriptor.path(), _Manifest)
        layers = manifest.layers or []
        for each in (manifest.config, *layers):
            digest = self._blob(each.path())
            if each.size not in (-1, self._blobs.size(digest)):
                raise Damaged(
                    f"the blob {each.digest} in the archive does not have the size that is promised"
                )
        kind = manifest.media_type or descriptor.media_type or MEDIA_MANIFEST
        return Archived(
            self._blob(manifest.config.path()),
            tuple(self._blob(layer.path()) for layer in layers),
            (),
            manifest=Document(kind, data),
            media_types=tuple(layer.media_type for layer in layers),
        )


class _DockerItem(msgspec.Struct):
    Config: str
    RepoTags: list[str] | None = None
    Layers: list[str] | None = None


def _promised(name: str) -> str | None:
    """The digest that a path of an OCI layout promises."""
    parts = name.split("/")
    digest = ":".join(parts[1:])
    return digest if len(parts) == 3 and parts[0] == "blobs" and is_digest(digest) else None


def _is_layer(piece: memoryview) -> bool:
    head = bytes(piece[:265])
    return kind_of(head) in ("gzip", "zstd") or head[257:262] == b"ustar"


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def made(self) -> Platform:
        return Platform.make(self.os or "linux", self.architecture, self.variant)


class _Descriptor(msgspec.Struct, rename={"media_type": "mediaType"}):
    """What an archive's document points with; every field is a stranger's word."""

    media_type: str = ""
    digest: str = ""
    size: int = -1
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None

    def path(self) -> str:
        if not is_digest(self.digest):
            raise Damaged(
                f"a document in the archive has {shown(self.digest.encode())!r} where a digest belongs"
            )
        return "blobs/" + self.digest.replace(":", "/")

    def where(self) -> Platform:
        return (self.platform or _Platform()).made()

    def is_attestation(self) -> bool:
        return self.platform is not None and self.platform.os == "unknown"

    def name(self) -> str:
        """The full reference in the annotations; "" where there is none or only a bare tag."""
        annotations = self.annotations or {}
        full = annotations.get(ANNOTATION_CONTAINERD_NAME, "")
        name = full or annotations.get(ANNOTATION_REF_NAME, "")
        if not full and not (":" in name or "/" in name):
            return ""
        try:
            return str(Reference.parse(name).tagged())
        except Invalid:
            return ""


class _Index(msgspec.Struct):
    manifests: list[_Descriptor] | None = None


class _Manifest(msgspec.Struct, rename={"media_type": "mediaType"}):
    config: _Descriptor
    media_type: str = ""
    layers: list[_Descriptor] | None = None
