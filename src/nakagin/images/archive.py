"""Image archives: tars written by docker save, podman save, skopeo and other makers of OCI layouts.

Read in one pass: every file goes straight into the blob store under its own digest, whatever the order; at
the end the archive's own documents say which of them are configs and layers.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from nakagin.errors import Damaged, Invalid, Unsupported
from nakagin.spec.digest import is_digest
from nakagin.spec.image import ANNOTATION_CONTAINERD_NAME, ANNOTATION_REF_NAME, INDEXES, MANIFESTS, Descriptor
from nakagin.spec.platform import Platform, choose
from nakagin.spec.reference import Reference
from nakagin.storage import tarread
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import TarReader
from nakagin.storage.tree import clean, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nakagin.storage.blobs import BlobWriter
    from nakagin.storage.compression import Readable

_LARGEST_DOCUMENT = 16 << 20
_DEEPEST_INDEX = 4
_MOST_FILES = 100_000
Document = TypeVar("Document")


class Archived(NamedTuple):
    """One image of an archive: the digests of its config and layer blobs (bottom first), and its names."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


class Archive:
    """The files of an archive by path; each is a blob by now."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        """`read` gives the bytes of a blob."""
        self._read = read
        self._files: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def take_in(
        self, stream: Readable, writer: Callable[[str | None], BlobWriter], keep: Callable[[str], None]
    ) -> None:
        """Store every file of the tar. `writer` makes blobs (of an expected digest), `keep` saves them from
        being collected. Raises Damaged, Invalid, Exhausted, Unsupported."""
        with reading("the archive"):
            reader = TarReader(decompressed(stream)[1])
            for entry in reader:
                if reader.count > _MOST_FILES:
                    raise Invalid("the archive has too many files", hint="is it an image archive?")
                self._one(entry, reader, writer, keep)

    def _one(
        self,
        entry: tarread.Entry,
        reader: TarReader,
        writer: Callable[[str | None], BlobWriter],
        keep: Callable[[str], None],
    ) -> None:
        name = clean(entry.name).decode(errors="surrogateescape")
        if entry.type == tarread.FILE:
            if entry.segments is not None:
                raise Unsupported(
                    "the archive has sparse files", hint="write it with docker, podman or skopeo"
                )
            with writer(_promised(name)) as blob:
                for piece in reader.chunks():
                    blob.write(piece)
                keep(blob.digest())
                self._files[name] = blob.commit()
                self._sizes[name] = blob.size
        elif entry.type == tarread.SYMLINK:
            target = entry.linkname.decode(errors="surrogateescape")
            self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        elif entry.type == tarread.LINK:
            self._links[name] = clean(entry.linkname).decode(errors="surrogateescape")

    # --- What is in it

    def images(self, host: Platform) -> list[Archived]:
        """The images, of several platforms the one that suits the host. Raises Invalid or Damaged."""
        if self._find("manifest.json") is not None:
            return self._docker()
        if self._find("index.json") is not None:
            return self._layout(host)
        raise Invalid(
            "not an image archive: it has neither manifest.json nor index.json",
            hint="the tar of a root file system becomes an image with `import`",
        )

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

    def _document(self, name: str, kind: type[Document]) -> Document:
        digest = self._blob(name)
        if self._sizes.get(posixpath.normpath(name), 0) > _LARGEST_DOCUMENT:
            raise Damaged(f"{name} in the archive is too large to be a document")
        try:
            return msgspec.json.decode(self._read(digest), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Damaged(f"{name} in the archive is not as it should be: {error}") from None

    def _docker(self) -> list[Archived]:
        """docker archive: manifest.json lists config, layers and names of each image by path."""
        found = []
        for item in self._document("manifest.json", list[_DockerItem]):
            names = tuple(str(Reference.parse(name).tagged()) for name in item.RepoTags or ())
            layers = tuple(self._blob(name) for name in item.Layers or ())
            found.append(Archived(self._blob(item.Config), layers, names))
        return found

    def _layout(self, host: Platform) -> list[Archived]:
        """OCI layout: index.json points at manifests, or at indexes of one image for several platforms."""
        index = self._document("index.json", dict[str, Any])
        groups: dict[str, list[Descriptor]] = {}
        for number, descriptor in enumerate(_descriptors(index, "manifests")):
            name = _name_of(descriptor)
            groups.setdefault(name or f"#{number}", []).append(descriptor)
        found: dict[str, Archived] = {}
        for name, descriptors in groups.items():
            manifest = self._choose(descriptors, host, 0)
            if manifest is None:
                continue
            image = self._manifest(manifest, () if name.startswith("#") else (name,))
            known = found.get(image.config)
            found[image.config] = image._replace(names=(*known.names, *image.names)) if known else image
        if not found:
            raise Invalid(f"the archive has no image for {host}")
        return list(found.values())

    def _choose(self, descriptors: Sequence[Descriptor], host: Platform, depth: int) -> Descriptor | None:
        """The manifest that suits the host; where nothing says so, the first that is one."""
        if depth > _DEEPEST_INDEX:
            raise Damaged("the archive's indexes are nested too deeply")
        flat: list[tuple[Platform | None, Descriptor]] = []
        for descriptor in descriptors:
            kind = descriptor.get("mediaType", "")
            # An archive may leave out what it does not carry (other platforms), and carry attestations.
            if self._find(_path(descriptor)) is None or _is_attestation(descriptor):
                continue
            if kind in INDEXES:
                inner = self._document(_path(descriptor), dict[str, Any])
                chosen = self._choose(_descriptors(inner, "manifests"), host, depth + 1)
                if chosen is not None:
                    flat.append((_platform_of(chosen), chosen))
            elif kind in MANIFESTS or not kind:
                flat.append((_platform_of(descriptor), descriptor))
        best = choose([(platform, each) for platform, each in flat if platform], host)
        return best or (flat[0][1] if flat else None)

    def _manifest(self, descriptor: Descriptor, names: tuple[str, ...]) -> Archived:
        manifest = self._document(_path(descriptor), dict[str, Any])
        config = manifest.get("config")
        if not isinstance(config, dict):
            raise Damaged(f"the manifest {descriptor['digest']} in the archive has no config")
        layers = tuple(self._blob(_path(layer)) for layer in _descriptors(manifest, "layers"))
        return Archived(self._blob(_path(config)), layers, names)  # type: ignore[arg-type]


class _DockerItem(msgspec.Struct):
    Config: str
    RepoTags: list[str] | None = None
    Layers: list[str] | None = None


def _promised(name: str) -> str | None:
    """The digest that a path of an OCI layout promises."""
    parts = name.split("/")
    digest = ":".join(parts[1:])
    return digest if len(parts) == 3 and parts[0] == "blobs" and is_digest(digest) else None


def _path(descriptor: Descriptor) -> str:
    digest = descriptor.get("digest", "")
    if not is_digest(digest):
        raise Damaged(f"a document in the archive has {shown(digest.encode())!r} where a digest belongs")
    return "blobs/" + digest.replace(":", "/")


def _descriptors(document: Mapping[str, Any], key: str) -> list[Descriptor]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Damaged(f"a document in the archive has no list of {key}")
    return found


def _platform_of(descriptor: Descriptor) -> Platform | None:
    found = descriptor.get("platform")
    if not found:
        return None
    return Platform.make(found.get("os", ""), found.get("architecture", ""), found.get("variant", ""))


def _is_attestation(descriptor: Descriptor) -> bool:
    platform = descriptor.get("platform")
    return platform is not None and platform.get("os") == "unknown"


def _name_of(descriptor: Descriptor) -> str:
    """The full reference in a descriptor's annotations; "" where there is none or only a bare tag."""
    annotations = descriptor.get("annotations") or {}
    name = annotations.get(ANNOTATION_CONTAINERD_NAME) or annotations.get(ANNOTATION_REF_NAME, "")
    if not annotations.get(ANNOTATION_CONTAINERD_NAME) and not (":" in name or "/" in name):
        return ""
    try:
        return str(Reference.parse(name).tagged())
    except Invalid:
        return ""
