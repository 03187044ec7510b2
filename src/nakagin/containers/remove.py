"""Removal, also of what a crash left: every deed tolerates that it was done before."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection
from typing import TYPE_CHECKING

from nakagin.cgroups.group import Group
from nakagin.containers import bundle
from nakagin.containers.launch import release_shared_memory
from nakagin.errors import Conflict, NakaginError, NotFound

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings


async def remove(shelf: Shelf, around: Surroundings, capsule: Capsule, *, volumes: bool) -> None:
    """Take a container that does not run out of the world. Its lock is held by the caller.

    The intent is recorded first: whatever happens, recovery calls this again.
    """
    record = capsule.record
    if record.facts.intent != "removing":
        shelf.save(capsule, record.with_facts(intent="removing", volumes_too=volumes))
    release_run(around, record)
    if _is_large(around, record):
        await asyncio.to_thread(release_storage, around, record)
    else:
        release_storage(around, record)
    forget(shelf, around, capsule)
    if volumes:
        await _remove_anonymous_volumes(around, record)
    capsule.wake(capsule.removal_waiters)
    capsule.wake(capsule.exit_waiters)


def _is_large(around: Surroundings, record: Container) -> bool:
    """Whether deleting its own folder may take long: then it holds an overlay, or big logs."""
    if record.extension.rootfs:
        return True
    try:
        return os.stat(around.log_path(record.id)).st_size > 1 << 22
    except OSError:
        return False


def release_run(around: Surroundings, record: Container) -> None:
    """Let go of what only a running container has: network, run directory, shared memory."""
    around.networks.release(record.id)
    release_shared_memory(around, record)
    shutil.rmtree(around.run_dir(record.id), ignore_errors=True)


def release_storage(around: Surroundings, record: Container) -> None:
    """Delete its writable layer and its log."""
    if not record.extension.rootfs:
        around.snapshots.remove(record.id)
    shutil.rmtree(around.data_dir(record.id), ignore_errors=True)


def forget(shelf: Shelf, around: Surroundings, capsule: Capsule) -> None:
    """Drop the record, its name, and its holds on image and volumes."""
    shelf.drop(capsule, lambda: around.records.release_holder(f"container:{capsule.id}"))


async def _remove_anonymous_volumes(around: Surroundings, record: Container) -> None:
    for spec in record.mounts:
        if spec.type == "volume" and spec.anonymous:
            try:
                await asyncio.to_thread(around.volumes.remove, spec.name, force=True)
            except (Conflict, NotFound):
                continue  # another container took it over by --volumes-from


def end_processes(around: Surroundings, record: Container) -> None:
    """Kill what is left of a container without a monitor: its cgroup and the runtime's state. Blocking."""
    _end(around, record.id, bundle.cgroup_path(record, around.host))


def end_strays(around: Surroundings, living: Collection[str]) -> None:
    """The same for everything in the engine's own cgroup that is none of the `living` containers. Blocking."""
    parent = around.host.cgroup_parent.strip("/")
    found = set(os.listdir(around.runtime_root()))
    for hierarchy in {*around.cgroups.hierarchies, around.cgroups.v2} - {""}:
        try:
            found.update(
                entry.name for entry in os.scandir(os.path.join(hierarchy, parent)) if entry.is_dir()
            )
        except FileNotFoundError:
            continue
    for name in found.difference(living):
        _end(around, name, f"/{parent}/{name}")


def _end(around: Surroundings, id: str, cgroup: str) -> None:
    group = Group(cgroup, around.cgroups)
    try:
        if group.exists():
            group.kill()
            group.remove()
    except NakaginError:
        pass  # the next engine start tries again
    shutil.rmtree(os.path.join(around.runtime_root(), id), ignore_errors=True)
