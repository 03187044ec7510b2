"""The root filesystem of a container: the mounts that make it, and looks into it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from nakagin.containers import overlays, rootview, sources
from nakagin.errors import Unsupported
from nakagin.kernel import abi, mount, paths
from nakagin.storage.overlay import options as overlay_options

if TYPE_CHECKING:
    from nakagin.containers.model import Container, MountSpec
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec import runtime as oci

T = TypeVar("T")


def from_folder(record: Container) -> tuple[str, bool]:
    """The folder of `--rootfs DIR[:overlay]` ("" without), and whether it is written over instead of into."""
    text = record.extension.rootfs
    folder = text.removesuffix(":overlay")
    return (os.path.abspath(folder) if folder else ""), folder != text


def root_mounts(around: Surroundings, record: Container) -> tuple[str, list[oci.Mount]]:
    """The directory to go to and the mounts to do there; none where the root is a plain folder."""
    folder, over = from_folder(record)
    if not folder:
        cwd, found = around.snapshots.mounts(record.id)
        return cwd, list(found)
    if not over:
        return "/", []
    data = around.data_dir(record.id)
    options = [f"lowerdir={folder}", f"upperdir={data}/upper", f"workdir={data}/work"]
    return "/", [{"type": "overlay", "source": "overlay", "destination": "/", "options": options}]


def layers(around: Surroundings, record: Container) -> tuple[str, list[str]]:
    """(where its changes lie, the folders below them, topmost first); Unsupported where it writes into a folder."""
    folder, over = from_folder(record)
    if not folder:
        return around.snapshots.upper(record.id), around.snapshots.lower(record.id)
    if not over:
        raise Unsupported(
            "a container that writes into a folder has nothing to differ from",
            hint="--rootfs DIR:overlay keeps them apart",
        )
    return f"{around.data_dir(record.id)}/upper", [folder]


def look_into(around: Surroundings, record: Container, work: Callable[[int], T]) -> T:
    """Call `work` with a descriptor of the root directory; the container may run or not. Blocking."""
    folder, over = from_folder(record)
    if record.running:
        with rootview.of_process(record.facts.pid) as view:
            return work(view.root)
    if folder and not over:
        root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return work(root)
        finally:
            os.close(root)
    cwd, found = root_mounts(around, record)
    return rootview.look(cwd, found, _place(around), work)


def open_to_write(around: Surroundings, record: Container) -> rootview.View:
    """The root of a container that does not run, with its volumes and binds, as it would see them. Blocking.

    Nobody may start it meanwhile: its overlay may be mounted only once. Raises OSError.
    """
    cwd, found = root_mounts(around, record)
    if not found:
        folder, _ = from_folder(record)
        found = [{"type": "bind", "source": folder, "destination": "/", "options": []}]

    def furnish(root: int) -> None:
        _furnish(root, overlays.to_write(around, record))
        if record.host_config.readonly_rootfs:
            mount.set_attributes(root, add=abi.MOUNT_ATTR_RDONLY)

    return rootview.mounted(cwd, found, _place(around), furnish)


def open_to_read(around: Surroundings, record: Container) -> rootview.View:
    """As `open_to_write`, but nothing that is written there lasts, and it may be started meanwhile. Blocking."""
    folder, over = from_folder(record)
    data = around.data_dir(record.id)
    if folder:
        cwd, lower = "/", [f"{data}/upper", folder] if over else [folder]
    else:
        cwd, lower = around.snapshots.folders(record.id)
    place = _place(around)
    # The places for the mounts are made where they are missing: in a layer that is thrown away.
    options = [f"lowerdir={':'.join(lower)}", f"upperdir={place}/upper", f"workdir={place}/work"]
    scratch: oci.Mount = {"type": "tmpfs", "source": "tmpfs", "destination": "/", "options": ["mode=755"]}
    root: oci.Mount = {
        "type": "overlay", "source": "overlay", "destination": "/", "options": [*options, *overlay_options()]
    }  # fmt: skip
    return rootview.mounted(
        cwd, [scratch, root], place, lambda root: _furnish(root, overlays.as_they_are(around, record))
    )


def _place(around: Surroundings) -> str:
    """The directory that roots are mounted over; each in a namespace of its own."""
    place = os.path.join(around.exec_root, "view")
    os.makedirs(place, mode=0o700, exist_ok=True)
    return place


def _furnish(root: int, specs: Iterable[MountSpec]) -> None:
    """Mount what the container has at its places, the deeper ones later."""
    for spec in specs:
        if spec.type in {"tmpfs", "image"} or not os.path.lexists(spec.source):
            continue
        if spec.overlay:
            _furnish_over(root, spec)
            continue
        whole = spec.subpath and os.path.isdir(spec.source)
        source = (
            sources.open_part(spec, spec.source) if whole else os.open(spec.source, os.O_PATH | os.O_CLOEXEC)
        )
        try:
            is_folder = stat.S_ISDIR(os.fstat(source).st_mode)
            tree = mount.open_tree(source, recursive=spec.recursive)
        finally:
            os.close(source)
        try:
            target = paths.ensure_in_root(root, spec.target, directory=is_folder)
            try:
                mount.move_mount(tree, target)
            finally:
                os.close(target)
            if spec.read_only:
                recursively = spec.recursive and spec.recursive_read_only
                mount.set_attributes(tree, add=abi.MOUNT_ATTR_RDONLY, recursive=recursively)
        finally:
            os.close(tree)


def _furnish_over(root: int, spec: MountSpec) -> None:
    """Mount a bind that is written over; by the old call, whose options may be long."""
    place = paths.ensure_in_root(root, spec.target)
    try:
        mount.mount("overlay", f"/proc/self/fd/{place}", "overlay", 0, ",".join(spec.options))
    finally:
        os.close(place)
