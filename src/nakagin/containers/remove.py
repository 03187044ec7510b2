"""Removal, also of what a crash left: every deed tolerates that it was done before."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nakagin.cgroups.group import Group
from nakagin.containers import bundle, secrets, sources
from nakagin.containers.launch import release_shared_memory
from nakagin.errors import Conflict, NakaginError, NotFound

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings

# How long a foreign runtime may take to forget a container, in seconds.
_PATIENCE = 30
_ID_LENGTH = 64


async def remove(shelf: Shelf, around: Surroundings, capsule: Capsule, *, volumes: bool) -> None:
    """Take a container that does not run out of the world. Its lock is held by the caller.

    One commit forgets it; a crash before leaves it whole, and what a crash after it leaves has no record and is
    swept at the next start. Anonymous volumes take longer: the intent is recorded, and recovery calls this again.
    """
    record = capsule.record
    await see_cleared(around, capsule)
    doomed = [spec.name for spec in record.mounts if volumes and spec.type == "volume" and spec.anonymous]
    if doomed:
        shelf.save(capsule, record.with_facts(intent="removing", volumes_too=True))
        await _remove_volumes(around, record, doomed)
    release_run(around, record)
    forget(shelf, around, capsule)
    release_storage(around, record)
    capsule.wake(capsule.removal_waiters)
    capsule.wake(capsule.exit_waiters)


async def see_cleared(around: Surroundings, capsule: Capsule) -> None:
    """Wait until the monitor of the last run has taken its cgroup away; where it died before, do it instead."""
    monitor, capsule.leaving = capsule.leaving, None
    if monitor is not None and not await monitor.cleared():
        await asyncio.to_thread(end_processes, around, capsule.record)


def release_run(around: Surroundings, record: Container) -> None:
    """Let go of what only a running container has: network, run directory, shared memory."""
    around.networks.release(record.id)
    release_shared_memory(around, record)
    sources.release(around, record)
    around.run_trash.take(around.run_dir(record.id))


def release_storage(around: Surroundings, record: Container) -> None:
    """Put its log and its writable layer into the trash."""
    secrets.release(around, record.id)
    around.trash.take(around.data_dir(record.id))
    if not record.extension.rootfs:
        around.snapshots.remove(record.id)


def forget(shelf: Shelf, around: Surroundings, capsule: Capsule) -> None:
    """Drop the record, its name, its snapshot's record, and its holds on image and volumes."""

    def also() -> None:
        around.records.release_holder(f"container:{capsule.id}")
        around.snapshots.forget(capsule.id)

    shelf.drop(capsule, also)


async def _remove_volumes(around: Surroundings, record: Container, names: Sequence[str]) -> None:
    for name in names:
        around.volumes.let_go(name, record.id)
        try:
            await asyncio.to_thread(around.volumes.remove, name, force=True)
        except (Conflict, NotFound):
            continue  # another container took it over by --volumes-from


def end_processes(around: Surroundings, record: Container) -> None:
    """Kill what is left of a container without a monitor: its cgroup and the runtime's state. Blocking."""
    _end(around, record.id, bundle.cgroup_path(record, around.host))


def end_strays(around: Surroundings, living: Collection[str]) -> None:
    """The same for everything in the engine's own cgroup that is none of the `living` containers. Blocking."""
    found = set(os.listdir(around.runtime_root()))
    for name in _foreign_names(around):
        found.update(os.listdir(around.foreign_root(name)))
    parent = os.path.dirname(bundle.path_of("x", around.host))
    for hierarchy in {*around.cgroups.hierarchies, around.cgroups.v2} - {""}:
        try:
            names = [entry.name for entry in os.scandir(hierarchy + parent) if entry.is_dir()]
        except FileNotFoundError:
            continue
        found.update(id for name in names if (id := _id_of(name, around.host.cgroup_prefix)))
    for id in found.difference(living):
        _end(around, id, bundle.path_of(id, around.host))


def _id_of(group: str, prefix: str) -> str:
    """The container whose group has this name; "" for one of systemd's that is none of ours."""
    if not prefix:
        return group
    if not (group.startswith(f"{prefix}-") and group.endswith(".scope")):
        return ""
    id = group.removeprefix(f"{prefix}-").removesuffix(".scope")
    return id if len(id) == _ID_LENGTH else ""


def _end(around: Surroundings, id: str, cgroup: str) -> None:
    group = Group(cgroup, around.cgroups)
    try:
        if group.exists():
            group.kill()
            group.remove()
    except NakaginError:
        pass  # the next engine start tries again
    shutil.rmtree(os.path.join(around.runtime_root(), id), ignore_errors=True)
    for name in _foreign_names(around):
        _forget_foreign(around, name, id)


def _foreign_names(around: Surroundings) -> list[str]:
    """The foreign runtimes that have ever been used; perhaps by an engine with other settings."""
    try:
        return os.listdir(around.foreign_root(""))
    except FileNotFoundError:
        return []


def _forget_foreign(around: Surroundings, name: str, id: str) -> None:
    """Let a foreign runtime do its own clean-up, where it still knows the container."""
    root, runtime = around.foreign_root(name), around.foreign_runtimes.get(name)
    if not os.path.lexists(os.path.join(root, id)):
        return
    if runtime is not None:
        argv = [runtime.path, *runtime.arguments, "--root", root, "delete", "--force", id]
        try:
            subprocess.run(
                argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            pass  # what it keeps of the container in files goes all the same
    shutil.rmtree(os.path.join(root, id), ignore_errors=True)
