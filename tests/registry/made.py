"""Images made for tests as a registry keeps them: bytes by digest, and manifests by name. No engine is involved."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import zstandard
from tests.storage.tars import member, tar

from nakagin.spec import image as media
from nakagin.spec.digest import digest_of

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


class Made(NamedTuple):
    """One image: its manifest's bytes and media type, and every blob that it names."""

    manifest: bytes
    media_type: str
    blobs: dict[str, bytes]
    image_id: str
    layers: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return digest_of(self.manifest)

    @property
    def size(self) -> int:
        """Of all layer blobs."""
        return sum(len(self.blobs[layer]) for layer in self.layers)


def noise(seed: str, size: int) -> bytes:
    """Bytes that no compression makes smaller, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def layer_of(text: str, size: int = 0) -> bytes:
    """The plain tar of a layer with one file of that name."""
    return tar(member(f"file-{text}", text.encode() + noise(text, size)))


def made(
    *layers: bytes, docker: bool = False, architecture: str = "amd64", pack: str = "gzip", **more: Any
) -> Made:
    """An image of these plain tars; `pack` is gzip, zstd or "" for all of them; `more` goes into its config."""
    stored = [_PACKERS[pack](each) for each in layers]
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
            **more,
        }
    ).encode()
    kinds = (
        (media.MEDIA_DOCKER_MANIFEST, media.MEDIA_DOCKER_CONFIG, media.MEDIA_DOCKER_LAYER_GZIP)
        if docker
        else (media.MEDIA_MANIFEST, media.MEDIA_CONFIG, media.MEDIA_LAYER + (f"+{pack}" if pack else ""))
    )
    # Spaces, so that nobody gets the same bytes by writing the document anew.
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": {"mediaType": kinds[1], "digest": digest_of(config), "size": len(config)},
            "layers": [
                {"mediaType": kinds[2], "digest": digest_of(each), "size": len(each)} for each in stored
            ],
        },
        indent=3,
    ).encode()
    blobs: dict[str, bytes] = {digest_of(each): each for each in (config, *stored)}
    return Made(manifest, kinds[0], blobs, digest_of(config), tuple(map(digest_of, stored)))


def index_of(*entries: tuple[Made, dict[str, str]], docker: bool = False) -> tuple[bytes, str]:
    """The bytes and media type of an index of images for platforms."""
    kind = media.MEDIA_DOCKER_LIST if docker else media.MEDIA_INDEX
    manifests = [
        {
            "mediaType": each.media_type,
            "digest": each.digest,
            "size": len(each.manifest),
            "platform": platform,
        }
        for each, platform in entries
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).encode(), kind
