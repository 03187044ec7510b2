"""A container's files going out: its changes listed, or made an image by `commit`; `export`, a tar of everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers import overlays
from nakagin.containers.request import merge_config
from nakagin.containers.rootfs import from_folder, layers
from nakagin.errors import NakaginError, Unsupported
from nakagin.images.instructions import changed
from nakagin.spec import gojson
from nakagin.spec.image import ContainerDefaults
from nakagin.storage.changes import ADDED, CHANGED, DELETED, changes_of
from nakagin.storage.diff import layer_tar
from nakagin.storage.merged import merged_tar
from nakagin.storage.placeholders import placeholders
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule
    from nakagin.containers.surroundings import Surroundings
    from nakagin.containers.watch import Watch
    from nakagin.images.model import Image
    from nakagin.spec.docker import ContainerConfig


# Mount points that the runtime makes in the writable layer; Docker's are in a layer of their own below it.
FURNITURE = (
    "/dev", "/dev/console", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc/hostname", "/etc/hosts",  # noqa: S108  inside
    "/etc/resolv.conf", "/proc", "/sbin/docker-init", "/sys",
)  # fmt: skip


class CommitRequest(msgspec.Struct, frozen=True):
    """What `POST /commit` asks for; `config` overrides that of the container."""

    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: Sequence[str] = ()
    config: Any = None


async def commit_held(around: Surroundings, capsule: Capsule, request: CommitRequest, watch: Watch) -> str:
    """Commit a container whose lock the caller holds; it is frozen meanwhile, if it runs and the request says so.

    Returns the image's id.
    """
    monitor = capsule.monitor
    freeze = request.pause and capsule.record.running and not capsule.record.facts.paused
    if freeze and monitor is not None:
        await monitor.request("pause")
    try:
        image = await asyncio.to_thread(commit_image, around, capsule.record, request)
    finally:
        if freeze and monitor is not None:
            with contextlib.suppress(NakaginError):  # it was killed meanwhile
                await to_the_end(monitor.request("resume"))
    name = next(iter(image.repo_tags), "")
    watch.publish(capsule, "commit", comment=request.comment, imageID=image.id, imageRef=name)
    return image.id


def commit_image(around: Surroundings, record: Container, request: CommitRequest) -> Image:
    """The image of a container that holds still. Long. Raises Invalid, NotFound (its own image is gone)."""
    if record.extension.rootfs:
        raise Unsupported("containers on a folder have no image to differ from", hint="use export and import")
    name = f"{request.repo}:{request.tag}" if request.tag else request.repo
    return around.images.commit(
        record.image_id or None,
        layer_tar(*_own_layer(around, record), bounds=around.images.layers.bounds),
        defaults=committed_defaults(record.config, request.config, request.changes),
        reference=name if request.repo else None,
        created_by=" ".join((*(record.config.entrypoint or ()), *(record.config.cmd or ()))),
        author=request.author,
        comment=request.comment,
    )


def committed_defaults(
    own: ContainerConfig, asked: ContainerConfig | None, changes: Sequence[str]
) -> ContainerDefaults:
    """The image's `config`: the container's, what the request puts over it, and the instructions."""
    config = merge_config(asked, own) if asked is not None else own
    known = ContainerDefaults.__annotations__
    document = {key: value for key, value in gojson.document(config).items() if key in known}
    return changed(ContainerDefaults(**document), changes)  # type: ignore[typeddict-item]


def export_tar(around: Surroundings, capsule: Capsule, watch: Watch) -> Iterator[bytes]:
    """The tar of a container's root, without what is mounted into it."""
    record = capsule.record
    watch.publish(capsule, "export")
    folder, over = from_folder(record)
    if folder and not over:
        return merged_tar([folder])
    upper, lower = layers(around, record)
    return merged_tar([upper, *lower])


def changes_tar(around: Surroundings, record: Container) -> Iterator[bytes]:
    """The tar of what a container changed, deletions as OCI whiteouts; also in binds that are written over.

    Unsupported on a plain folder.
    """
    beside = [(over.target, over.upper, [over.source]) for over in overlays.overs(around, record)]
    return layer_tar(*_own_layer(around, record), beside, bounds=around.images.layers.bounds)


def changes(around: Surroundings, record: Container) -> list[dict[str, Any]]:
    """The same as Docker's documents, [{"Path": "/etc/x", "Kind": 0 modified | 1 added | 2 deleted}, ...]."""
    upper, lower, without = _own_layer(around, record)
    found = {path: kind for kind, path in changes_of(upper, lower) if os.fsencode(path) not in without}
    for over in overlays.overs(around, record):
        inner = changes_of(over.upper, [over.source])
        found.update((over.target + path, kind) for kind, path in inner)
        above = over.target if inner else ""
        while above:
            found.setdefault(above, CHANGED)
            above = above.rpartition("/")[0]
    kinds = {CHANGED: 0, ADDED: 1, DELETED: 2}
    return [{"Path": path, "Kind": kinds[found[path]]} for path in sorted(found, key=os.fsencode)]


def _own_layer(around: Surroundings, record: Container) -> tuple[str, list[str], frozenset[bytes]]:
    """(the container's upper folder, those below it, what of it is only there to be mounted on)."""
    upper, lower = layers(around, record)
    places = (*FURNITURE, *(spec.target for spec in record.mounts if spec.overlay))
    return upper, lower, placeholders(upper, lower, places)


async def in_threads(pieces: Iterator[bytes], least: int = 1 << 18) -> AsyncIterator[bytes]:
    """A blocking iterator, advanced in worker threads, one step ahead of the reader; small pieces are joined."""

    def some() -> bytes:
        found: list[bytes] = []
        size = 0
        for piece in pieces:
            found.append(piece)
            size += len(piece)
            if size >= least:
                break
        return b"".join(found)

    following = asyncio.ensure_future(asyncio.to_thread(some))
    try:
        while data := await following:
            following = asyncio.ensure_future(asyncio.to_thread(some))
            yield data
    finally:
        following.cancel()
