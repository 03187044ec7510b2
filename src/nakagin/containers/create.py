"""Creation: from a request to a recorded container with its writable layer and volumes, or to nothing at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.containers import connecting, links, mounts, namespaces, request, rootfs, secrets, timezone
from nakagin.containers.copyup import copy_up
from nakagin.containers.model import Container, Facts, MountSpec, now
from nakagin.containers.names import check_name, invent_name
from nakagin.containers.remove import forget, release_storage
from nakagin.errors import Conflict, Invalid, NotFound, StepFailed
from nakagin.images import library
from nakagin.storage.options import container_size

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.images.model import Image
    from nakagin.spec import docker
    from nakagin.volumes.model import Volume


class Settled(NamedTuple):
    """What a create request means here and now, before anything is done. `held` are the images it stands on."""

    record: Container
    held: list[Image | None]
    warnings: list[str]


async def create(
    shelf: Shelf, around: Surroundings, name: str | None, body: docker.ContainerCreate
) -> tuple[Capsule, list[str]]:
    """Make it as a whole or not at all. Raises Invalid, NotFound, Conflict, StepFailed."""
    record, held, warnings = settle(shelf, around, name, body)
    fills_volumes = record.facts.intent == "creating"
    secret_data = secrets.contents(body.nakagin.secrets)
    with ExitStack() as undo:
        if size := _size(around, record):
            undo.callback(around.snapshots.remove, record.id)
            await asyncio.to_thread(around.snapshots.reserve, record.id, size)
        # One commit for everything. What a crash before it leaves has no record, and is swept at the next start.
        with around.records.transaction():
            capsule = shelf.add(record, lambda: _hold_images(around, record, held))
            undo.callback(forget, shelf, around, capsule)
            undo.callback(release_storage, around, record)
            _make_files(around, record)
        if secret_data:
            secrets.keep(around, record.id, body.nakagin.secrets, secret_data)
        if record.extension.timezone:
            await asyncio.to_thread(timezone.write, around, record)
        if fills_volumes:
            filled = msgspec.structs.replace(record, mounts=await _make_volumes(around, record))
            shelf.save(capsule, filled.with_facts(intent="kept"))
        undo.pop_all()
    return capsule, warnings


def settle(shelf: Shelf, around: Surroundings, name: str | None, body: docker.ContainerCreate) -> Settled:
    """The record that a request would make. Changes nothing. Raises Invalid, NotFound, Conflict."""
    image = None if body.nakagin.rootfs else around.images.resolve(body.image)
    config = request.merge_with_image(body, image)
    host = _join_by_id(shelf, request.settle_host_config(body.host_config, around))
    warnings = request.check(config, host, around)
    config = _shared_hostname(shelf, config, host)
    endpoints = connecting.settle(around, config, host, body.networking_config.endpoints_config)
    # On other networks a link is a name in DNS, of whoever has it by then: the endpoint's own matter.
    legacy = connecting.is_on_default_bridge(around, host) or host.network_mode == "none"
    host = msgspec.structs.replace(host, links=links.settle(shelf, host.links) if legacy else ())
    specs = mounts.settle(host, config.volumes, _inherited(shelf, host))
    _check_sources(specs)
    warnings += _missing_sources(specs)
    specs, shown_images = _with_images(around, specs)
    fills_volumes = any(spec.type == "volume" for spec in specs)
    record = Container(
        id=os.urandom(32).hex(), name=_choose_name(shelf, name), created=now(),
        image_id=image.id if image else "", chain_id=(image.chain_id or "") if image else "",
        config=config, host_config=host, endpoints=endpoints,
        extension=secrets.recorded(body.nakagin), mounts=specs,
        facts=Facts(intent="creating" if fills_volumes else "kept"),
    )  # fmt: skip
    _check_rootfs(record)
    timezone.check(record)
    return Settled(record, [image, *shown_images], warnings)


def _choose_name(shelf: Shelf, wanted: str | None) -> str:
    if wanted:
        return check_name(wanted)
    for attempt in range(10):
        name = invent_name(attempt)
        if shelf.name_is_free(name):
            return name
    raise Conflict("no free name was found for the container", hint="give it one with --name")


def _hold_images(around: Surroundings, record: Container, images: Iterable[Image | None]) -> None:
    for image in images:
        if image is not None:
            made = "was made from it" if image.id == record.image_id else "mounts it"
            reason = f"container {record.id[:12]} {made}"
            around.records.hold(library.KIND, image.id, f"container:{record.id}", reason)


def _with_images(
    around: Surroundings, specs: Iterable[MountSpec]
) -> tuple[tuple[MountSpec, ...], list[Image]]:
    """The mounts with the layers of the images that are mounted, and these images."""
    found, images = [], []
    for spec in specs:
        if spec.type == "image":
            try:
                image = around.images.resolve(spec.name)
            except NotFound as error:
                # To clients, NotFound would mean the image that the container is made from.
                raise Invalid(f"cannot mount the image: {error.message}", hint="pull it first") from error
            if not image.chain_id:
                raise Invalid(f"cannot mount the image {spec.name}: it has no layers")
            images.append(image)
            spec = msgspec.structs.replace(spec, chain=image.chain_id)
        found.append(spec)
    return tuple(found), images


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
                hint=f"the nearest path that exists is {_alike(spec.source) or _existing(spec.source)[0]}",
            )


def _missing_sources(specs: Iterable[MountSpec]) -> list[str]:
    """A warning for each folder that will be made because it is not there, where it looks like a slip."""
    return [
        f"the bind source {spec.source} does not exist and will be made, empty; did you mean {near}?"
        for spec in specs
        if spec.type == "bind" and spec.create_source and not os.path.lexists(spec.source)
        if (near := _alike(spec.source))
    ]


def _alike(path: str) -> str:
    """The existing path with a name like that of `path`, as far down as there is one; "" where none is."""
    import difflib

    folder, name = _existing(path)
    try:
        alike = difflib.get_close_matches(name, os.listdir(folder), 1, 0.7)
    except OSError:
        return ""
    if not alike:
        return ""
    found = os.path.join(folder, alike[0])
    rest = os.path.relpath(path, os.path.join(folder, name))
    whole = os.path.normpath(os.path.join(found, rest))
    return whole if os.path.lexists(whole) else found


def _existing(path: str) -> tuple[str, str]:
    """The lowest folder above `path` that exists, and the name below it that does not."""
    folder, name = os.path.split(path)
    while not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    return folder, name


def _size(around: Surroundings, record: Container) -> int:
    """How much it may write, in bytes; 0: no bound."""
    if record.extension.rootfs:
        return 0
    return container_size(record.host_config.storage_opt, around.storage_size)


def _check_rootfs(record: Container) -> None:
    folder, _ = rootfs.from_folder(record)
    if folder and record.host_config.storage_opt:
        raise Invalid("--storage-opt cannot bound a container on a folder", hint="run it from an image")
    if folder and not os.path.isdir(folder):
        raise Invalid(f"the root filesystem {folder} is not a directory", hint="--rootfs DIR[:overlay]")


def _make_files(around: Surroundings, record: Container) -> None:
    try:
        os.makedirs(around.data_dir(record.id), mode=0o710)
        if not record.extension.rootfs:
            around.snapshots.prepare(
                record.id, record.chain_id or None, volatile=record.host_config.auto_remove
            )
        elif rootfs.from_folder(record)[1]:
            for part in ("upper", "work"):
                os.makedirs(os.path.join(around.data_dir(record.id), part), mode=0o755)
    except OSError as error:
        raise _files_failed(error) from error


def _files_failed(error: OSError) -> StepFailed:
    return StepFailed("make the container's files", error.strerror or str(error), errno=error.errno or 0)


async def _make_volumes(around: Surroundings, record: Container) -> tuple[MountSpec, ...]:
    """The mounts with volumes made, held and filled from the image. Raises StepFailed and what volumes raise."""
    try:
        with ExitStack() as stack:
            return await _make_and_fill_volumes(around, record, stack)
    except OSError as error:
        raise _files_failed(error) from error


async def _make_and_fill_volumes(
    around: Surroundings, record: Container, stack: ExitStack
) -> tuple[MountSpec, ...]:
    specs: list[MountSpec] = []
    fill: list[tuple[str, str]] = []
    for spec in record.mounts:
        if spec.type != "volume":
            specs.append(spec)
            continue
        volume = (
            await asyncio.to_thread(_ensure, around, spec) if spec.driver_options else _ensure(around, spec)
        )
        around.volumes.hold(volume.name, record.id)
        source = around.volumes.path(volume.name)
        specs.append(msgspec.structs.replace(spec, name=volume.name, source=source))
        if spec.no_copy or spec.subpath or spec.origin == "from":
            continue
        if around.volumes.is_mount(volume.name):
            await asyncio.to_thread(
                stack.enter_context, around.volumes.used(volume.name, f"fill:{record.id}")
            )
        if not os.listdir(source):
            fill.append((spec.target, source))
    if fill:
        await asyncio.to_thread(_fill, around, record, fill)
    return tuple(specs)


def _ensure(around: Surroundings, spec: MountSpec) -> Volume:
    return around.volumes.ensure(
        spec.name or None, driver=spec.driver, options=spec.driver_options, labels=spec.labels
    )


def _fill(around: Surroundings, record: Container, fill: list[tuple[str, str]]) -> None:
    def work(root: int) -> None:
        for target, source in fill:
            copy_up(root, target, source)

    try:
        rootfs.look_into(around, record, work)
    except OSError as error:
        raise StepFailed("fill the volumes from the image", str(error), errno=error.errno or 0) from error
