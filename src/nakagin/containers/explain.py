"""A container explained: a living one from the kernel, one that is only asked for from the plan of its start."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.cgroups import limits as cgroup_limits
from nakagin.cgroups.group import Group
from nakagin.containers import (
    bundle,
    cdi,
    connecting,
    devices,
    facts,
    overhead,
    resources,
    rootfs,
    secrets,
    users,
)
from nakagin.containers.create import settle
from nakagin.containers.launch import devices_of, joined_pids, port_requests
from nakagin.containers.model import MountSpec, require
from nakagin.runtime.plan import plan
from nakagin.runtime.program import observe
from nakagin.storage.snapshots import usage_of

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci


class Explanations:
    """What is to be told of containers beside what the API of Docker tells."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around

    async def living(self, reference: str) -> dict[str, Any]:
        """A container as the kernel has it; see `living`."""
        return await asyncio.to_thread(living, self._around, self._shelf.find(reference))

    def rehearsed(self, name: str | None, body: docker.ContainerCreate) -> dict[str, Any]:
        """What create and start of a request would do, in order; see `rehearse`."""
        return rehearse(self._shelf, self._around, name, body)

    async def overhead(self, reference: str) -> dict[str, Any]:
        """What no figure of a container's use tells; see `overhead.overhead`. Conflict: it does not run."""
        record = self._shelf.find(reference).record
        require(record, "top")
        group = Group(bundle.cgroup_path(record, self._around.host), self._around.cgroups)
        monitor = facts.parent(record.facts.pid)
        return await asyncio.to_thread(lambda: overhead.overhead(monitor, group))


def living(around: Surroundings, capsule: Capsule) -> dict[str, Any]:
    """What is to be seen of a container now. Of one that does not run there are only its files. Blocking."""
    record = capsule.record
    document: dict[str, Any] = {
        "Id": record.id,
        "Name": record.name,
        "Status": record.status,
        "Image": record.config.image,
        "Pid": record.facts.pid,
        "Layers": _layers(around, record),
    }
    if not record.running:
        return document
    pid = record.facts.pid
    group = Group(bundle.cgroup_path(record, around.host), around.cgroups)
    return document | {
        "Monitor": facts.parent(pid),
        "Processes": facts.tree(group.pids()),
        "Namespaces": facts.namespaces(pid, os.getpid()),
        "Cgroup": {"Path": group.path, "Version": around.cgroups.mode, "Files": facts.limits(group)},
        "Mounts": facts.mounts(pid),
        "Privileges": facts.privileges(pid),
        "Networks": list(record.endpoints),
    }


def _layers(around: Surroundings, record: Container) -> list[dict[str, Any]]:
    folder, over = rootfs.from_folder(record)
    if folder and not over:
        return facts.layers("", 0, {folder: None})
    upper, lower = rootfs.layers(around, record)
    sizes = [None] if folder else around.snapshots.lower_sizes(record.id)
    return facts.layers(upper, usage_of(upper), dict(zip(lower, sizes, strict=True)))


def rehearse(
    shelf: Shelf, around: Surroundings, name: str | None, body: docker.ContainerCreate
) -> dict[str, Any]:
    """{"Steps": [{"Stage", "Step"}, …], "Warnings": […]} of a start, in the order of execution; nothing is done."""
    settled = settle(shelf, around, name, body)
    record = settled.record
    config = bundle.configuration(record, around.host, _moment(shelf, around, record))
    if requests := record.host_config.device_requests:
        known, _ = cdi.read(around.cdi_folders)
        cdi.apply(config, cdi.edits(cdi.names(requests, known), known))
    group = bundle.cgroup_path(record, around.host)
    made = plan(
        config,
        bundle="/",
        holdings=observe(),
        layout=around.cgroups,
        group=group,
        rootfs=_root_mounts(around, record),
    )
    resources: oci.Resources = (config.get("linux") or {}).get("resources") or {}
    limited = cgroup_limits.plan(resources, around.cgroups)
    steps = [("engine", text) for text in _engine_steps(record)]
    steps += [("engine", text) for text in _network_steps(record)]
    steps += [("monitor", "fork a monitor from the zygote: it owns output, log and exit code")]
    steps += [("cgroup", f"make cgroup {group}")]
    steps += [("cgroup", f"write {line}") for line in limited.lines()]
    steps += [("container", text) for text in made.describe()]
    return {
        "Steps": [{"Stage": stage, "Step": text} for stage, text in steps],
        "Warnings": [*settled.warnings, *made.warnings, *limited.warnings],
    }


def _moment(shelf: Shelf, around: Surroundings, record: Container) -> bundle.Moment:
    """What a start would find out, as far as it can be known without doing anything."""
    name = record.config.user.partition(":")[0]
    # A name is looked up in the image's own /etc/passwd, which is only there once the root is mounted.
    identity = users.resolve_user(record.config.user if name.isdecimal() else "", (), "", "")
    own = around.run_dir(record.id)
    names = ["hostname", "hosts"] + ["resolv.conf"] * (record.host_config.network_mode != "none")
    files = {f"/etc/{name}": os.path.join(own, name) for name in names}
    mounts = [
        msgspec.structs.replace(each, source=_volume(around, each)) if each.type == "volume" else each
        for each in record.mounts
    ]
    mounts += [
        MountSpec(type="bind", target=secrets.target(each), source=f"/(secret {each.name})", read_only=True)
        for each in record.extension.secrets
        if not each.env
    ]
    return bundle.Moment(
        identity=identity,
        root=os.path.join(own, "rootfs"),
        mounts=mounts,
        files=files,
        pids=joined_pids(shelf, record),
        devices=devices_of(record),
        block_numbers=devices.block_numbers(resources.block_devices(record.host_config)),
    )


def _volume(around: Surroundings, spec: MountSpec) -> str:
    """The folder of a volume; words where it would have to be made first."""
    if spec.name in around.volumes:
        return around.volumes.path(spec.name)
    return f"/({' '.join(filter(None, ('new volume', spec.name)))})"


def _root_mounts(around: Surroundings, record: Container) -> list[oci.Mount]:
    folder, over = rootfs.from_folder(record)
    if folder and not over:
        return []
    return [{"type": "overlay", "source": "overlay", "destination": "/", "options": []}]


def _engine_steps(record: Container) -> list[str]:
    steps = []
    if record.image_id:
        steps.append(f"take image {record.config.image} ({record.image_id.removeprefix('sha256:')[:12]})")
    steps.append(f"reserve the name {record.name}, a writable layer and a record, in one transaction")
    volumes = (spec for spec in record.mounts if spec.type == "volume")
    return steps + [f"take or make volume {each.name or '(a new one)'} for {each.target}" for each in volumes]


def _network_steps(record: Container) -> list[str]:
    steps = [
        f"attach to network {wish.network}: an address, a pair of interfaces"
        for wish in connecting.wishes(record)
    ]
    for port in port_requests(record):
        host = f"{port.host_ip or '0.0.0.0'}:{port.host_first or 'a free port'}"  # noqa: S104
        steps.append(f"publish {port.container_port}/{port.protocol} at {host}")
    return steps
