"""Checking the store: what is there and belongs to nothing, what should be there and is not, or is damaged.

examine ──► [Finding, ...]  (plain data; --dry-run stops here)  ──► repair, one finding at a time
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import NakaginError
from nakagin.images.intake import blobs_of
from nakagin.images.repair import repair as unpack_again
from nakagin.registry.model import Manifest, decode
from nakagin.spec.digest import chain_ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.registry.model import Descriptor
    from nakagin.storage.snapshots import Snapshots

    Refetch = Callable[[Sequence[str], str, Descriptor | None], Awaitable[bool]]
    """(names by which registries know images that have it, digest, what a manifest says of it) -> whether the blob is
    here again."""

ORPHAN, DAMAGED, MISSING = "orphan", "damaged", "missing"


class Finding(msgspec.Struct, frozen=True, rename="pascal"):
    """One thing that is not as it should be. `bytes` is what an orphan takes on the disk."""

    problem: str
    kind: str
    name: str
    images: tuple[str, ...] = ()
    bytes: int = 0
    outcome: str = ""
    """What a repair came to; "" before it."""


def examine(images: Images, snapshots: Snapshots, known_containers: Iterable[str]) -> list[Finding]:
    """Read every blob and look at every folder. Long; changes nothing."""
    return [
        *_damaged_blobs(images),
        *_orphan_blobs(images),
        *_lost_layers(images),
        *_orphan_folders("layer", images.layers.root, {layer.folder for layer in images.layers.all()}),
        *_orphan_folders("snapshot", snapshots.root, snapshots.names()),
        *(Finding(ORPHAN, "snapshot", key) for key in snapshots.all() if key not in set(known_containers)),
    ]


def _damaged_blobs(images: Images) -> list[Finding]:
    owners = _owners(images)
    found = []
    for digest in sorted(owners.keys() | (images.needed_blobs() & set(images.blobs.all()))):
        if not images.blobs.is_sound(digest):
            problem = DAMAGED if images.blobs.exists(digest) else MISSING
            names = tuple(_name(image) for image in owners.get(digest, ()))
            found.append(Finding(problem, "blob", digest, names))
    return found


def _owners(images: Images) -> dict[str, list[Image]]:
    """The blobs that images consist of, with those images."""
    found: dict[str, list[Image]] = {}
    for image in images.list():
        for digest in {*blobs_of(image), *images.index_blobs(image.index)}:
            found.setdefault(digest, []).append(image)
    return found


def _orphan_blobs(images: Images) -> list[Finding]:
    needed = images.needed_blobs()
    return [
        Finding(ORPHAN, "blob", digest, bytes=images.blobs.size(digest))
        for digest in images.blobs.all()
        if digest not in needed
    ]


def _lost_layers(images: Images) -> list[Finding]:
    found: dict[str, list[str]] = {}
    for image in images.list():
        for chain in chain_ids(image.diff_ids):
            if not images.layers.exists(chain) or not os.path.isdir(
                images.layers.path(images.layers.get(chain))
            ):
                found.setdefault(chain, []).append(_name(image))
    return [Finding(MISSING, "layer", chain, tuple(names)) for chain, names in sorted(found.items())]


def _orphan_folders(kind: str, root: str, known: set[str]) -> list[Finding]:
    return [Finding(ORPHAN, f"{kind} folder", name) for name in sorted(os.listdir(root)) if name not in known]


def _name(image: Image) -> str:
    return next(iter((*image.repo_tags, *image.repo_digests)), image.id)


async def repair(finding: Finding, images: Images, snapshots: Snapshots, refetch: Refetch | None) -> Finding:
    """Mend one finding, if that can be done, and say what came of it."""
    try:
        outcome = await _mend(finding, images, snapshots, refetch)
    except (NakaginError, OSError) as error:
        outcome = f"not repaired: {error}"
    return msgspec.structs.replace(finding, outcome=outcome)


async def _mend(finding: Finding, images: Images, snapshots: Snapshots, refetch: Refetch | None) -> str:
    if finding.problem == ORPHAN:
        _sweep(finding, images, snapshots)
        return "removed"
    if finding.kind == "layer":
        images.layers.forget_lost()
        for image in images.list():
            if finding.name in chain_ids(image.diff_ids):
                await asyncio.to_thread(unpack_again, images, image)
                break
        return "unpacked again"
    owners = _owners(images).get(finding.name, [])
    if not owners:
        await asyncio.to_thread(images.blobs.delete, finding.name)
        return "removed (it is made or fetched again when it is needed)"
    names = [name for image in owners for name in image.repo_digests]
    if refetch and await refetch(names, finding.name, _described(images, owners, finding.name)):
        for image in owners:
            with contextlib.suppress(NakaginError):  # something else of it is still to be fetched
                await asyncio.to_thread(images.mend, image.id)
        return "fetched again"
    words = ", ".join(finding.images)
    return f"not repaired: remove {words}, and pull or load it again (containers run on from its unpacked layers)"


def _described(images: Images, owners: Sequence[Image], digest: str) -> Descriptor | None:
    """A layer as one of its images' manifests names it."""
    for manifest in {each: None for image in owners for each in image.record.manifests}:
        with contextlib.suppress(NakaginError):
            document = decode(images.blobs.read(manifest))
            for layer in document.layers if isinstance(document, Manifest) else ():
                if layer.digest == digest:
                    return layer
    return None


def _sweep(finding: Finding, images: Images, snapshots: Snapshots) -> None:
    """Remove what belongs to nothing, unless it has come into use since."""
    if finding.kind == "blob":
        images.collect()
    elif finding.kind == "snapshot":
        snapshots.remove(finding.name)
    elif finding.kind == "layer folder":
        images.layers.recover_folders()
    else:
        snapshots.recover()
