"""A start: from the record to a running monitor, every deed with its undo."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers import (
    bundle,
    cdi,
    connecting,
    devices,
    links,
    logdrivers,
    namespaces,
    netfiles,
    request,
    resources,
    rootfs,
    rootview,
    secrets,
    sources,
    users,
)
from nakagin.containers.model import MountSpec
from nakagin.errors import Conflict, Invalid, StepFailed
from nakagin.kernel import abi, mount
from nakagin.network.model import PortRequest
from nakagin.storage.overlay import is_opaque

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Handed, PendingAttach, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.monitor.launch import Monitor
    from nakagin.monitor.protocol import Message
    from nakagin.network.endpoints import Attachment
    from nakagin.spec import runtime as oci
    from nakagin.spec.docker import PortBinding

# crun before 1.9 refuses later ones; a runtime reads what it knows of a config, whatever this says.
FOREIGN_OCI_VERSION = "1.0.2"

OnEvent = Callable[[dict[str, Any]], None]

# What names mean in an image does not change: (chain, user, groups) -> identity.
_identities: dict[tuple[str, str, tuple[str, ...]], users.Identity] = {}
_IDENTITIES_AT_MOST = 1024
_ACCOUNTS = ("/etc/passwd", "/etc/group")


async def launch(shelf: Shelf, around: Surroundings, capsule: Capsule, on_event: OnEvent) -> Monitor:
    """Start the container's monitor and wait until the program runs; on failure nothing is left but the record.

    Raises CommandFailed, StepFailed, Conflict (port, joined container), Invalid.
    """
    pending = list(capsule.pending)
    capsule.pending.clear()
    try:
        return await connecting.with_other_addresses(
            around,
            connecting.wishes(capsule.record),
            lambda: _launch(shelf, around, capsule, pending, on_event),
        )
    except OSError as error:
        raise StepFailed("start the container", str(error), errno=error.errno or 0) from error
    finally:
        for each in pending:
            each.socket.close()


async def _launch(
    shelf: Shelf, around: Surroundings, capsule: Capsule, pending: Sequence[PendingAttach], on_event: OnEvent
) -> Monitor:
    record = capsule.record
    run_dir = around.run_dir(record.id)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, run_dir, ignore_errors=True)
        _make_run_dir(run_dir)
        pids = joined_pids(shelf, record)
        links.require_running(shelf, record)
        identity = await resolve_identity(around, record)
        _make_sources(record.mounts)
        undo.callback(sources.release, around, record)
        ready = (
            await asyncio.to_thread(sources.prepare, around, record)
            if sources.takes_time(around, record)
            else sources.prepare(around, record)
        )
        undo.callback(around.networks.release, record.id)
        attachment = _allocate(around, record)
        undo.callback(release_shared_memory, around, record)
        shared = _shared_memory(shelf, around, record)
        try:
            moment = bundle.Moment(
                identity=identity, root=_root(around, record),
                mounts=(*ready, *_handed_files(run_dir, capsule.handed), *secrets.mounts(around, record)),
                files=netfiles.write_files(shelf, around, record), pids=pids, devices=devices_of(record),
                block_numbers=devices.block_numbers(resources.block_devices(record.host_config)), shared_shm=shared,
                linked=[*links.environment(shelf, around, record), *secrets.environment(around, record)],
            )  # fmt: skip
            config = bundle.configuration(_with_handed(record, capsule.handed), around.host, moment)
            if requests := record.host_config.device_requests:
                known, _ = cdi.read(around.cdi_folders)
                cdi.apply(config, cdi.edits(cdi.names(requests, known), known))
            message, fds = _message(around, record, attachment, pending)
            if message["foreign"]:
                config["ociVersion"] = FOREIGN_OCI_VERSION
            _write_config(run_dir, config)
            monitor = await around.zygote.launch(message, fds, on_event)
        finally:
            if attachment is not None:
                attachment.close()
        undo.callback(monitor.close)
        await monitor.started()
        undo.pop_all()
    return monitor


def _make_run_dir(run_dir: str) -> None:
    try:
        os.mkdir(run_dir, 0o700)
    except FileExistsError:
        shutil.rmtree(run_dir)
        os.mkdir(run_dir, 0o700)
    except OSError as error:
        raise StepFailed(f"make {run_dir}", error.strerror or str(error), errno=error.errno or 0) from None


def _handed_files(run_dir: str, handed: Handed) -> list[MountSpec]:
    """Files that are gone with the run folder, which lies in memory."""
    found = []
    for number, each in enumerate(handed.files):
        path = os.path.join(run_dir, f"handed-{number}")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, each.mode)
            os.fchown(fd, each.uid, each.gid)
            file.write(each.data)
        found.append(MountSpec(type="bind", target=each.target, source=path, read_only=True))
    return found


def _with_handed(record: Container, handed: Handed) -> Container:
    if not handed.environment:
        return record
    environment = (*record.config.env, *handed.environment)
    return msgspec.structs.replace(record, config=msgspec.structs.replace(record.config, env=environment))


def joined_pids(shelf: Shelf, record: Container) -> dict[namespaces.Kind, int]:
    """The processes of the containers whose namespaces it joins. Raises NotFound, Conflict where one does not run."""
    pids: dict[namespaces.Kind, int] = {}
    for kind, of in namespaces.joined(record.host_config).items():
        other = shelf.find(of).record
        if not other.running:
            raise Conflict(
                f"cannot join {kind} namespace of a non running container: {other.name}",
                hint="start it first",
            )
        pids[kind] = other.facts.pid
    return pids


async def resolve_identity(
    around: Surroundings, record: Container, user: str | None = None
) -> users.Identity:
    """Who `user` (default: the container's) is, by the container's own /etc/passwd and /etc/group. Invalid."""
    wanted = record.config.user if user is None else user
    groups = record.host_config.group_add
    pristine = _accounts_untouched(around, record) and not (record.running and _may_cover_accounts(record))
    key = (record.chain_id, wanted, groups)
    if pristine and (known := _identities.get(key)) is not None:
        return known
    try:
        accounts = await asyncio.to_thread(rootfs.look_into, around, record, rootview.read_accounts)
    except OSError as error:
        raise StepFailed("read the container's /etc/passwd", str(error), errno=error.errno or 0) from error
    identity = users.resolve_user(wanted, groups, *accounts)
    if pristine:
        if len(_identities) >= _IDENTITIES_AT_MOST:
            _identities.clear()
        _identities[key] = identity
    return identity


def _accounts_untouched(around: Surroundings, record: Container) -> bool:
    """Whether /etc/passwd and /etc/group are as in the image: nothing of them is in the writable layer."""
    if record.extension.rootfs:
        return False
    etc = os.path.join(around.snapshots.upper(record.id), "etc")
    try:
        status = os.lstat(etc)
    except FileNotFoundError:
        return True
    return (
        stat.S_ISDIR(status.st_mode)
        and not is_opaque(etc)
        and not any(os.path.lexists(os.path.join(etc, name)) for name in ("passwd", "group"))
    )


def _may_cover_accounts(record: Container) -> bool:
    """Whether a running container's /etc/passwd or /etc/group may lie on a mount."""
    host = record.host_config
    covered = any(
        f"{path}/".startswith(f"{spec.target.rstrip('/')}/") for spec in record.mounts for path in _ACCOUNTS
    )
    return covered or host.privileged or bool(host.cap_add)


def _make_sources(specs: Sequence[MountSpec]) -> None:
    for spec in specs:
        if spec.type != "bind" or os.path.lexists(spec.source):
            continue
        if not spec.create_source:
            raise Invalid(f"mount source path does not exist: {spec.source}")
        try:
            os.makedirs(spec.source, mode=0o755, exist_ok=True)
            if spec.owner:
                os.chown(spec.source, *(int(number) for number in spec.owner.split(".")))
        except OSError as error:
            raise StepFailed(
                f"error while creating mount source path '{spec.source}'",
                error.strerror or "",
                errno=error.errno or 0,
            ) from None


def _allocate(around: Surroundings, record: Container) -> Attachment | None:
    wanted = connecting.wishes(record)
    return around.networks.attach(record.id, record.name, wanted, port_requests(record)) if wanted else None


def port_requests(record: Container) -> list[PortRequest]:
    """What -p and -P ask for."""
    host = record.host_config
    announced = request.announced_ports(record.config.labels)
    requests = bound_requests(host.port_bindings, announced)
    if host.publish_all_ports:
        bound = {(each.container_port, each.protocol) for each in requests}
        for spec in record.config.exposed_ports:
            first, last, protocol = request.parse_port(spec)
            requests += [
                PortRequest(port, protocol, announced=protocol == "tcp" and port in announced)
                for port in range(first, last + 1)
                if (port, protocol) not in bound
            ]
    return requests


def bound_requests(
    bindings: Mapping[str, Sequence[PortBinding]], announced: Collection[int] = ()
) -> list[PortRequest]:
    """What PortBindings ask for; `announced` are the TCP ports of the container that want PROXY protocol."""
    requests = []
    for spec, several in bindings.items():
        first, last, protocol = request.parse_port(spec)
        for port in range(first, last + 1):
            for binding in several:
                lowest, _, highest = (binding.host_port or "0").partition("-")
                # A range is a choice; a number goes with the first port, and its neighbours with the next ones.
                shift = port - first if int(lowest) and not highest else 0
                low, high = int(lowest) + shift, int(highest or lowest) + shift
                told = protocol == "tcp" and port in announced
                requests.append(PortRequest(port, protocol, binding.host_ip, low, high, told))
    return requests


def proxied(around: Surroundings, attachment: Attachment) -> list[dict[str, Any]]:
    """What the monitor does with each socket of a published port; with --userland-proxy=false it only holds it.

    What shall say who the client is must be carried in any case.
    """
    return [
        each if around.userland_proxy or each["announce"] else {**each, "target": []}
        for each in attachment.proxies()
    ]


def _shared_memory(shelf: Shelf, around: Surroundings, record: Container) -> str:
    """The host folder that is /dev/shm, where several containers share it; "" elsewhere."""
    ipc = namespaces.ipc_mode(record.host_config.ipc_mode)
    if ipc.mode == "container":
        return shared_memory_path(around, shelf.find(ipc.of).record)
    if ipc.mode != "shareable":
        return ""
    path = shared_memory_path(around, record)
    os.makedirs(path, mode=0o700, exist_ok=True)
    flags = abi.MS_NOSUID | abi.MS_NODEV | abi.MS_NOEXEC
    mount.mount("shm", path, "tmpfs", flags, f"mode=1777,size={record.host_config.shm_size}")
    return path


def shared_memory_path(around: Surroundings, record: Container) -> str:
    """Where a shareable container's /dev/shm is on the host; Conflict if it does not share."""
    mode = namespaces.ipc_mode(record.host_config.ipc_mode).mode
    if mode == "host":
        return "/dev/shm"  # noqa: S108  the host's own
    if mode != "shareable":
        raise Conflict(
            f"cannot join IPC of a non-shareable container: {record.name}",
            hint="start that one with --ipc shareable",
        )
    return os.path.join(around.exec_root, "shm", record.id)


def release_shared_memory(around: Surroundings, record: Container) -> None:
    """Unmount what a shareable container had; fine if it is gone."""
    path = os.path.join(around.exec_root, "shm", record.id)
    if namespaces.ipc_mode(record.host_config.ipc_mode).mode != "shareable" or not os.path.lexists(path):
        return
    try:
        mount.umount(path, abi.MNT_DETACH)
    except OSError:
        pass  # it was not mounted any more
    os.rmdir(path)


def _root(around: Surroundings, record: Container) -> str:
    folder, over = rootfs.from_folder(record)
    return folder if folder and not over else os.path.join(around.run_dir(record.id), "rootfs")


def devices_of(record: Container) -> list[tuple[oci.Device, str]]:
    """The devices that were asked for, with their permissions. Raises StepFailed or Invalid where one is not there."""
    if record.host_config.privileged:
        return devices.all_of_host()
    return devices.requested(record.host_config.devices)


def _write_config(run_dir: str, config: oci.Config) -> None:
    netfiles.write(os.path.join(run_dir, "config.json"), msgspec.json.encode(config))


def _message(
    around: Surroundings, record: Container, attachment: Attachment | None, pending: Sequence[PendingAttach]
) -> tuple[Message, list[int]]:
    """The launch request (keys: monitor.protocol) and the descriptors that go with it."""
    cwd, root_mounts = rootfs.root_mounts(around, record)
    run_dir = around.run_dir(record.id)
    fds: list[int] = []
    proxies = proxied(around, attachment) if attachment else []
    fds += [each.fileno() for each in attachment.sockets] if attachment else []
    attach = []
    for each in pending:
        attach.append(
            {"fd_index": len(fds), "stdin": each.stdin, "stdout": each.stdout, "stderr": each.stderr}
        )
        fds.append(each.socket.fileno())
    rows, columns = record.host_config.console_size
    return {
        "id": record.id,
        "run_dir": run_dir,
        "bundle": run_dir,
        "runtime_root": around.runtime_root(),
        "foreign": _foreign(around, record),
        "rootfs": root_mounts,
        "rootfs_cwd": cwd,
        "cgroup_path": bundle.cgroup_path(record, around.host),
        "systemd_cgroup": bool(around.host.cgroup_prefix),
        "seccomp_cache": os.path.join(around.exec_root, "seccomp"),
        "tty": record.config.tty,
        "console_size": [rows, columns] if rows and columns else None,
        "open_stdin": record.config.open_stdin,
        "stdin_once": record.config.stdin_once,
        "log": logdrivers.order(record, around.log_path(record.id), around.host.hostname),
        "network": attachment.plans if attachment else [],
        "names": around.naming.admit(record.id, netfiles.servers(around, record)) if attachment else "",
        "proxies": proxies,
        "attach": attach,
    }, fds  # fmt: skip


def _foreign(around: Surroundings, record: Container) -> Message | None:
    """What the monitor must know of a runtime that is not our own; None for ours."""
    name = record.host_config.runtime
    found = around.foreign_runtime(name)
    if found is None:
        return None
    root = around.foreign_root(name)
    os.makedirs(root, mode=0o700, exist_ok=True)
    return {
        "path": found.path,
        "arguments": list(found.arguments),
        "root": root,
        "systemd_cgroup": bool(around.host.cgroup_prefix),
    }


def failure(error: BaseException) -> tuple[int, str]:
    """Exit code and text that a failed start leaves in the record: 126, 127, or 128 as in Docker."""
    code = getattr(error, "exit_code", 128)
    return int(code), str(error) or type(error).__name__
