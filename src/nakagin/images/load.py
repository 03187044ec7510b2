"""`load`: the images of an archive, with the documents they came with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Damaged, Unsupported
from nakagin.images.archive import Archive, Archived
from nakagin.images.intake import stored
from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.layering import Layering
    from nakagin.images.library import Images
    from nakagin.images.model import Image, StoredLayer
    from nakagin.spec.platform import Platform
    from nakagin.storage.compression import Readable


def load(
    images: Images,
    stream: Readable,
    *,
    platforms: Sequence[Platform],
    progress: Callable[[str, int, int], None] | None,
) -> list[str]:
    """See Images.load. Nothing of a failed archive stays, but images before the failing one do."""
    with images.keeping() as keep, images.layering() as layering:
        archive = Archive(images.blobs)
        archive.take_in(stream, keep, layering)
        found: list[str] = []
        members = archive.images(images.platform, platforms)
        loaded = 0
        for each in members:
            try:
                image = _add(images, each, keep, layering, progress)
            except Unsupported:
                if each is members[-1] and not loaded:
                    raise
                continue  # one platform of several
            loaded += 1
            found += [Reference.parse(name).familiar() for name in each.names] or [image.id]
        return list(dict.fromkeys(found))


def _add(
    images: Images,
    archived: Archived,
    keep: Callable[[str], None],
    layering: Layering,
    progress: Callable[[str, int, int], None] | None,
) -> Image:
    config = images.blobs.read(archived.config)
    try:
        diff_ids = msgspec.json.decode(config, type=_Outline).rootfs.diff_ids
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"an image config in the archive is not as it should be: {error}") from None
    if len(diff_ids) != len(archived.layers):
        raise Damaged(
            f"an image in the archive has {len(archived.layers)} layers, its config names {len(diff_ids)}"
        )
    layers = [_layer(images, archived, number, diff_id, keep) for number, diff_id in enumerate(diff_ids)]
    if progress is not None:
        layering.progress = progress
    # A layer that had to be stored otherwise (xz, bzip2) is no longer the one that the manifest names.
    same = tuple(layer.digest for layer in layers) == archived.layers
    return images.add(
        config,
        layers,
        [Reference.parse(name) for name in archived.names],
        manifests=_kept(images, archived, keep) if same else None,
        beside=archived.beside if same else (),
        layering=layering,
    )


def _kept(images: Images, archived: Archived, keep: Callable[[str], None]) -> dict[str, str]:
    """The documents that the image came with, as blobs: digest -> media type."""
    found: dict[str, str] = {}
    for document in filter(None, (archived.platforms, archived.manifest)):
        digest = digest_of(document.data)
        keep(digest)
        images.blobs.put(document.data)
        found[digest] = document.media_type
    return found


def _layer(
    images: Images, archived: Archived, number: int, diff_id: str, keep: Callable[[str], None]
) -> StoredLayer:
    layer = stored(images, archived.layers[number], diff_id, keep)
    if archived.media_types and layer.digest == archived.layers[number]:
        kind = archived.media_types[number]
        return msgspec.structs.replace(layer, media_type=kind) if kind in _DOCKER else layer
    return layer


_DOCKER = frozenset({MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP})


class _RootFS(msgspec.Struct):
    diff_ids: list[str] = []


class _Outline(msgspec.Struct):
    rootfs: _RootFS
