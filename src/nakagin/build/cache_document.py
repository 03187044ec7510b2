"""A build cache away from its engine: a document that lists steps by their keys, and the layers that they made. Pure.

It travels as an OCI manifest (the document is its config, the layers its layers), or inside the config of an image
(`inline`), whose own layers it then points at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.build.cache import Made
from nakagin.build.depots.choose import KINDS, place_of
from nakagin.errors import Damaged, Invalid
from nakagin.images.model import StoredLayer
from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_CACHE = "application/vnd.nakagin.buildcache.v1+json"
MEDIA_MOUNT = "application/vnd.nakagin.cachemount.v1.tar+gzip"
INLINE = "nakagin.buildcache.v1"
"""The key of an image's config that holds an inline cache."""
_KNOWN = frozenset({"registry", "local", "inline", *KINDS})


class CachedStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step: `layer` is the place of what it made among the layers, -1 where that is nothing."""

    key: str
    layer: int = -1
    created: str = ""
    text: str = ""


class CachedMount(msgspec.Struct, frozen=True):
    """The files of a cache mount, as a gzipped tar."""

    id: str
    digest: str
    size: int


class CacheDocument(msgspec.Struct, frozen=True):
    """Steps, and the layers that they share."""

    steps: tuple[CachedStep, ...]
    layers: tuple[StoredLayer, ...] = ()
    mounts: tuple[CachedMount, ...] = ()

    def made(self, step: CachedStep) -> Made:
        """The result of a step as the cache has it; its chain is not known here."""
        layer = self.layers[step.layer] if step.layer >= 0 else None
        return Made(key=step.key, chain="", layer=layer, text=step.text, created=step.created)


def document_of(
    made: Sequence[Made], layers: Sequence[StoredLayer], mounts: Sequence[CachedMount] = ()
) -> CacheDocument:
    """The document of results whose layers are among `layers` (told by what they hold, not how they are packed)."""
    place = {layer.diff_id: number for number, layer in enumerate(layers)}
    steps = [
        CachedStep(each.key, place[each.layer.diff_id] if each.layer else -1, each.created, each.text)
        for each in {each.key: each for each in made}.values()
        if each.layer is None or each.layer.diff_id in place
    ]
    return CacheDocument(tuple(steps), tuple(layers), tuple(mounts))


def encode(document: CacheDocument) -> bytes:
    """Its bytes."""
    return msgspec.json.encode(document)


def decode(data: bytes) -> CacheDocument:
    """Read one that a stranger may have written. Raises Damaged."""
    try:
        found = msgspec.json.decode(data, type=CacheDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the build cache is not as it should be: {error}") from None
    if any(step.layer >= len(found.layers) for step in found.steps):
        raise Damaged("the build cache points at layers that it has not")
    return found


def manifest_of(document: bytes, found: CacheDocument) -> bytes:
    """The manifest that a registry or layout keeps it under."""
    layers = [
        {"mediaType": layer.oci_type, "digest": layer.digest, "size": layer.size} for layer in found.layers
    ]
    mounts = [{"mediaType": MEDIA_MOUNT, "digest": each.digest, "size": each.size} for each in found.mounts]
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "config": {"mediaType": MEDIA_CACHE, "digest": digest_of(document), "size": len(document)},
            "layers": [*layers, *mounts],
        }
    )


class CacheSpec(msgspec.Struct, frozen=True):
    """One `--cache-to` or `--cache-from`: `type=registry,ref=…`, `type=local,dest=…`, `type=inline`, a name, or what
    `depots` know."""

    type: str
    ref: str = ""
    """Where it is: at a registry, in a folder, or for people."""
    everything: bool = False
    """mode=max: the steps of all stages, not only of the one that was built."""
    mounts: bool = False
    forgiving: bool = False
    """ignore-error: a cache that can not be written does not fail the build."""
    attributes: dict[str, str] = {}
    """Everything that was written."""


def cache_spec(text: str) -> CacheSpec:
    """Read one. Raises Invalid."""
    if "=" not in text:
        return CacheSpec("inline" if text == "inline" else "registry", "" if text == "inline" else text)
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    kind = fields.get("type", "")
    if kind not in _KNOWN:
        raise Invalid(f"unknown cache type in {text!r}", hint=f"known are {', '.join(sorted(_KNOWN))}")
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise Invalid(f"unknown mode {mode!r} of a cache", hint="min or max")
    ref = fields.get("ref") or fields.get("dest") or fields.get("src") or ""
    if kind in KINDS:
        ref = place_of(fields)
    if kind != "inline" and not ref:
        raise Invalid(
            f"the cache {text!r} says not where", hint="ref= of a registry, dest= or src= of a folder"
        )
    mounts, forgiving = _truth(fields.get("mounts", "")), _truth(fields.get("ignore-error", ""))
    return CacheSpec(kind, ref, mode == "max", mounts, forgiving, fields)


def _truth(text: str) -> bool:
    return text.lower() in ("1", "true")
