"""The root filesystem of a container: the mounts that make it, and looks into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from nakagin.containers import rootview

if TYPE_CHECKING:
    from nakagin.containers.model import Container
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


def look_into(around: Surroundings, record: Container, work: Callable[[int], T]) -> T:
    """Call `work` with a descriptor of the root directory; the container may run or not. Blocking."""
    folder, over = from_folder(record)
    if record.running or (folder and not over):
        root = rootview.open_running(record.facts.pid) if record.running else os.open(folder, _DIRECTORY)
        try:
            return work(root)
        finally:
            os.close(root)
    place = os.path.join(around.exec_root, "view")
    os.makedirs(place, mode=0o700, exist_ok=True)
    cwd, found = root_mounts(around, record)
    return rootview.look(cwd, found, place, work)


_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
