"""Creation: from a request to a recorded container with its writable layer and volumes, or to nothing at all."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers import mounts, namespaces, request, rootfs
from nakagin.containers.copyup import copy_up
from nakagin.containers.model import Container, Facts, MountSpec, now
from nakagin.containers.names import check_name, invent_name
from nakagin.containers.remove import forget, release_storage
from nakagin.errors import Conflict, Invalid, NotFound, StepFailed
from nakagin.images import library

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.images.model import Image
    from nakagin.spec import docker


async def create(
    shelf: Shelf, around: Surroundings, name: str | None, body: docker.ContainerCreate
) -> tuple[Capsule, list[str]]:
    """Make it as a whole or not at all. Raises Invalid, NotFound, Conflict, StepFailed."""
    image = None if body.nakagin.rootfs else around.images.resolve(body.image)
    config = request.merge_with_image(body, image)
    host = _join_by_id(shelf, request.settle_host_config(body.host_config, around))
    warnings = request.check(config, host, around)
    config = _shared_hostname(shelf, config, host)
    specs = mounts.settle(host, config.volumes, _inherited(shelf, host))
    _check_sources(specs)
    record = Container(
        id=os.urandom(32).hex(), name=_choose_name(shelf, name), created=now(),
        image_id=image.id if image else "", chain_id=(image.chain_id or "") if image else "",
        config=config, host_config=host, endpoints=dict(body.networking_config.endpoints_config),
        extension=body.nakagin, mounts=specs, facts=Facts(intent="creating"),
    )  # fmt: skip
    _check_rootfs(record)
    capsule = shelf.add(record, lambda: _hold_image(around, record, image))
    with ExitStack() as undo:
        undo.callback(forget, shelf, around, capsule)
        undo.callback(release_storage, around, record)
        await _make_storage(shelf, around, capsule)
        undo.pop_all()
    return capsule, warnings


def _choose_name(shelf: Shelf, wanted: str | None) -> str:
    if wanted:
        return check_name(wanted)
    for attempt in range(10):
        name = invent_name(attempt)
        if shelf.name_is_free(name):
            return name
    raise Conflict("no free name was found for the container", hint="give it one with --name")


def _hold_image(around: Surroundings, record: Container, image: Image | None) -> None:
    if image is not None:
        reason = f"container {record.id[:12]} was made from it"
        around.records.hold(library.KIND, image.id, f"container:{record.id}", reason)


def _join_by_id(shelf: Shelf, host: docker.HostConfig) -> docker.HostConfig:
    """Modes "container:NAME" with the full id in place of the name, as they must outlive a rename."""
    fields = {"pid": "pid_mode", "ipc": "ipc_mode", "network": "network_mode"}
    changes = {
        fields[kind]: f"container:{_other(shelf, of).id}" for kind, of in namespaces.joined(host).items()
    }
    return msgspec.structs.replace(host, **changes) if changes else host


def _shared_hostname(
    shelf: Shelf, config: docker.ContainerConfig, host: docker.HostConfig
) -> docker.ContainerConfig:
    """A container on another's network has the other's name too, as /etc/hosts is the other's."""
    mode = namespaces.network_mode(host.network_mode)
    if mode.mode != "container":
        return config
    other = shelf.find(mode.of).record
    return msgspec.structs.replace(config, hostname=other.config.hostname or other.id[:12])


def _inherited(shelf: Shelf, host: docker.HostConfig) -> list[MountSpec]:
    found: list[MountSpec] = []
    for text in host.volumes_from:
        name, mode = mounts.parse_volumes_from(text)
        found += mounts.inherit(_other(shelf, name).record.mounts, mode)
    return found


def _other(shelf: Shelf, reference: str) -> Capsule:
    """A container that the request names. Invalid where it is not there: NotFound would mean the image to clients."""
    try:
        return shelf.find(reference)
    except NotFound as error:
        raise Invalid(error.message) from None


def _check_sources(specs: tuple[MountSpec, ...]) -> None:
    for spec in specs:
        if spec.type == "bind" and not spec.create_source and not os.path.lexists(spec.source):
            raise Invalid(
                f'invalid mount config for type "bind": bind source path does not exist: {spec.source}',
                hint=_nearest(spec.source),
            )


def _nearest(path: str) -> str:
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return f"the nearest folder that exists is {folder}"


def _check_rootfs(record: Container) -> None:
    folder, _ = rootfs.from_folder(record)
    if folder and not os.path.isdir(folder):
        raise Invalid(f"the root filesystem {folder} is not a directory", hint="--rootfs DIR[:overlay]")


async def _make_storage(shelf: Shelf, around: Surroundings, capsule: Capsule) -> None:
    record = capsule.record
    try:
        os.makedirs(around.data_dir(record.id), mode=0o710)
        if not record.extension.rootfs:
            around.snapshots.prepare(
                record.id, record.chain_id or None, volatile=record.host_config.auto_remove
            )
        elif rootfs.from_folder(record)[1]:
            for part in ("upper", "work"):
                os.makedirs(os.path.join(around.data_dir(record.id), part), mode=0o755)
        specs = await _make_volumes(around, record) if record.mounts else ()
    except OSError as error:
        raise StepFailed(
            "make the container's files", error.strerror or str(error), errno=error.errno or 0
        ) from error
    kept = msgspec.structs.replace(record, mounts=specs)
    shelf.save(capsule, kept.with_facts(intent="kept"))


async def _make_volumes(around: Surroundings, record: Container) -> tuple[MountSpec, ...]:
    """The mounts with volumes made, held and filled from the image."""
    specs: list[MountSpec] = []
    fill: list[tuple[str, str]] = []
    for spec in record.mounts:
        if spec.type != "volume":
            specs.append(spec)
            continue
        volume = around.volumes.ensure(
            spec.name or None, driver=spec.driver, options=spec.driver_options, labels=spec.labels
        )
        around.volumes.hold(volume.name, record.id)
        source = around.volumes.path(volume.name)
        specs.append(
            msgspec.structs.replace(
                spec, name=volume.name, source=os.path.join(source, spec.subpath).rstrip("/")
            )
        )
        if not spec.no_copy and not spec.subpath and spec.origin != "from" and not os.listdir(source):
            fill.append((spec.target, source))
    if fill:
        await asyncio.to_thread(_fill, around, record, fill)
    return tuple(specs)


def _fill(around: Surroundings, record: Container, fill: list[tuple[str, str]]) -> None:
    def work(root: int) -> None:
        for target, source in fill:
            copy_up(root, target, source)

    try:
        rootfs.look_into(around, record, work)
    except OSError as error:
        raise StepFailed("fill the volumes from the image", str(error), errno=error.errno or 0) from error
