"""Images coming in: what they must fulfil, and those made here (import, commit)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from nakagin.errors import Damaged, Invalid, Unsupported
from nakagin.images.instructions import changed
from nakagin.images.model import ImageRecord, StoredLayer, timestamp
from nakagin.spec.digest import digest_of
from nakagin.spec.image import DEFAULT_PATH, MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference
from nakagin.storage.boot import boot_id
from nakagin.storage.compression import Peeked, decompressed, kind_of, reading
from nakagin.storage.tarwrite import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.spec.image import ContainerDefaults, History, ImageConfig
    from nakagin.storage.compression import Readable

_PIECE = 1 << 20
_MEDIA = {"": MEDIA_LAYER, "gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}


def parsed(config: bytes) -> ImageConfig:
    """The config document; its `rootfs` is always there. Raises Damaged."""
    try:
        document = msgspec.json.decode(config, type=dict[str, Any])
        diff_ids = msgspec.convert((document.get("rootfs") or {}).get("diff_ids") or [], list[str])
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError) as error:
        raise Damaged(f"the image's config is not as it should be: {error}") from None
    document["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    return cast("ImageConfig", document)


def checked(config: bytes, layers: Sequence[StoredLayer]) -> tuple[ImageConfig, str]:
    """The parsed config and the image's ID. Raises Unsupported, or Damaged where it does not fit."""
    document = parsed(config)
    diff_ids = document["rootfs"]["diff_ids"]
    if diff_ids != [layer.diff_id for layer in layers]:
        raise Damaged(f"the image's config names {len(diff_ids)} layers, other than the {len(layers)} given")
    if (system := document.get("os") or "linux") != "linux":
        raise Unsupported(f"the image is for {system}, and only linux images can run here")
    return document, digest_of(config)


def recorded(layers: Sequence[StoredLayer], parent: str, manifests: Mapping[str, str]) -> ImageRecord:
    """The record of an image that comes in now."""
    return ImageRecord(
        tuple(layers), timestamp(time.time()), parent, manifests=dict(manifests),
        blobs=tuple(layer.digest for layer in layers) if manifests else (), boot=boot_id(),
    )  # fmt: skip


def blobs_of(image: Image) -> Sequence[str]:
    """Every blob that an image consists of."""
    record = image.record
    named = (image.id, *record.manifests, *record.blobs, *(layer.digest for layer in record.layers))
    return tuple(dict.fromkeys(named))


def stored(images: Images, digest: str, diff_id: str, keep: Callable[[str], None]) -> StoredLayer:
    """A layer blob as part of an image; in a compression that registries know, else it is stored plain."""
    with images.blobs.open(digest) as stream:
        kind = kind_of(Peeked(stream, 6).head)
    if kind not in _MEDIA:
        with images.blobs.open(digest) as stream:
            digest = _store(images, decompressed(stream)[1], keep)
        kind = ""
    return StoredLayer(diff_id, digest, images.blobs.size(digest), _MEDIA[kind])


def _store(images: Images, stream: Readable, keep: Callable[[str], None]) -> str:
    with images.blobs.writer() as writer, reading("the layer"):
        while piece := stream.read(_PIECE):
            writer.write(piece)
        keep(writer.digest())
        return writer.commit()


def import_root(
    images: Images,
    stream: Readable,
    reference: str | None,
    *,
    changes: Sequence[str],
    message: str,
    platform: str,
    created: float | None,
) -> Image:
    """See Images.import_."""
    name = Reference.parse(reference) if reference else None
    if name and name.digest:
        raise Invalid("cannot import digest reference")
    wanted = Platform.parse(platform) if platform else images.platform
    defaults = changed(cast("ContainerDefaults", {"Env": [DEFAULT_PATH]}), changes)
    with images.keeping() as keep:
        blob = _store(images, stream, keep)
        with images.blobs.open(blob) as plain:
            layer = images.layers.apply(plain, None)
        keep(layer.chain_id)
        part = stored(images, blob, layer.diff_id, keep)
        moment = timestamp(time.time() if created is None else created)
        config = _config(wanted, defaults, layer.diff_id, moment, message or "Imported from -")
        return images.add(msgspec.json.encode(config), [part], [name] if name else [])


class Step(NamedTuple):
    """How a committed image came to be, for its history."""

    created: str
    created_by: str
    author: str
    comment: str


def commit(
    images: Images,
    parent: Image | None,
    diff: Iterable[bytes],
    defaults: ContainerDefaults,
    step: Step,
    reference: str | None,
) -> Image:
    """See Images.commit."""
    name = Reference.parse(reference) if reference else None
    with images.keeping() as keep:
        with images.blobs.writer() as writer:
            for piece in diff:
                writer.write(piece)
            empty = writer.size <= len(END)
            keep(writer.digest())
            blob = writer.commit()
        config = _committed(images, parent, defaults, step)
        layers = list(parent.record.layers) if parent else []
        if empty:
            config["history"][-1]["empty_layer"] = True
        else:
            layers.append(StoredLayer(blob, blob, images.blobs.size(blob), MEDIA_LAYER))
            config["rootfs"]["diff_ids"].append(blob)
        names = [name] if name else []
        return images.add(msgspec.json.encode(config), layers, names, parent=parent.id if parent else "")


def _committed(images: Images, parent: Image | None, defaults: ContainerDefaults, step: Step) -> ImageConfig:
    """The parent's config document, one step further; the layer is still to come."""
    history: History = {"created": step.created, "created_by": step.created_by}
    if step.author:
        history["author"] = step.author
    if step.comment:
        history["comment"] = step.comment
    config: ImageConfig = {
        **(parent.config if parent else {"architecture": images.platform.architecture, "os": "linux"}),
        "created": step.created,
        "config": defaults,
        "rootfs": {"type": "layers", "diff_ids": list(parent.diff_ids) if parent else []},
        "history": [*(parent.history if parent else ()), history],
    }
    config.pop("comment", None)  # the parent's own
    if step.author:
        config["author"] = step.author
    return config


def _config(
    platform: Platform, defaults: ContainerDefaults, diff_id: str, moment: str, message: str
) -> ImageConfig:
    config: ImageConfig = {
        "created": moment,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": defaults,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": moment, "comment": message}],
    }
    if platform.variant:
        config["variant"] = platform.variant
    return config
