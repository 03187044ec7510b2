"""A stage's outcome as the documents of an image: config, manifest, index. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from nakagin.build.outputs import at
from nakagin.spec.image import (
    MEDIA_CONFIG,
    MEDIA_DOCKER_CONFIG,
    MEDIA_DOCKER_LAYER,
    MEDIA_DOCKER_LAYER_GZIP,
    MEDIA_DOCKER_LIST,
    MEDIA_DOCKER_MANIFEST,
    MEDIA_INDEX,
    MEDIA_LAYER,
    MEDIA_LAYER_GZIP,
    MEDIA_MANIFEST,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.build.state import State
    from nakagin.images.model import StoredLayer
    from nakagin.spec.image import Descriptor
    from nakagin.spec.platform import Platform

    Annotations = Sequence[tuple[str, str, str]]


def config_of(
    state: State, platform: Platform, labels: Mapping[str, str], created: str, extra: Mapping[str, object]
) -> bytes:
    """The config document; `created` is for an image without steps, `extra` are further keys."""
    defaults = dict(state.editor.config)
    if labels:
        defaults["Labels"] = {**(state.editor.config.get("Labels") or {}), **labels}
    document = cast("dict[str, object]", dict(state.base))
    document.update(
        architecture=platform.architecture, os=platform.os, config=defaults, history=state.history,
        rootfs={"type": "layers", "diff_ids": [layer.diff_id for layer in state.layers]}, **extra,
    )  # fmt: skip
    if platform.variant:
        document["variant"] = platform.variant
    if state.author:
        document["author"] = state.author
    document["created"] = state.history[-1]["created"] if state.history else created
    return msgspec.json.encode(document)


_DOCKERS = {
    MEDIA_INDEX: MEDIA_DOCKER_LIST,
    MEDIA_MANIFEST: MEDIA_DOCKER_MANIFEST,
    MEDIA_CONFIG: MEDIA_DOCKER_CONFIG,
    MEDIA_LAYER: MEDIA_DOCKER_LAYER,
    MEDIA_LAYER_GZIP: MEDIA_DOCKER_LAYER_GZIP,
}


def _media(kind: str, *, dockers: bool) -> str:
    return _DOCKERS.get(kind, kind) if dockers else kind


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str


def kind_of(document: bytes) -> str:
    """The media type that a manifest or index says of itself."""
    return msgspec.json.decode(document, type=_Kind).media_type


def manifest_of(
    config: str,
    size: int,
    layers: Sequence[StoredLayer],
    annotations: Annotations,
    of_layers: Mapping[str, Mapping[str, str]] = {},
    *,
    dockers: bool = False,
) -> bytes:
    """The manifest of a config (digest, bytes) and its layers; `of_layers` are annotations by a layer's digest.

    `dockers`: with Docker's media types.
    """
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": _media(MEDIA_MANIFEST, dockers=dockers),
        "config": {"mediaType": _media(MEDIA_CONFIG, dockers=dockers), "digest": config, "size": size},
        "layers": [
            {
                "mediaType": _media(layer.oci_type, dockers=dockers),
                "digest": layer.digest,
                "size": layer.size,
                **({"annotations": words} if (words := of_layers.get(layer.digest)) else {}),
            }
            for layer in layers
        ],
    }
    if words := at(annotations, "manifest"):
        document["annotations"] = words
    return msgspec.json.encode(document)


def index_of(
    members: Sequence[tuple[str, int, Platform]],
    annotations: Annotations,
    beside: Sequence[Mapping[str, object]] = (),
    *,
    dockers: bool = False,
) -> bytes:
    """The index of manifests: (digest, bytes, platform), and behind them further descriptors. `dockers` as above."""
    described: list[Descriptor] = []
    for digest, size, platform in members:
        where: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
        if platform.variant:
            where["variant"] = platform.variant
        kind = _media(MEDIA_MANIFEST, dockers=dockers)
        descriptor = {"mediaType": kind, "digest": digest, "size": size, "platform": where}
        if words := at(annotations, "manifest-descriptor"):
            descriptor["annotations"] = words
        described.append(cast("Descriptor", descriptor))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": _media(MEDIA_INDEX, dockers=dockers),
        "manifests": [*described, *beside],
    }
    if words := at(annotations, "index"):
        document["annotations"] = words
    return msgspec.json.encode(document)
