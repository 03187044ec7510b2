"""A start: from the record to a running monitor, every deed with its undo."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nakagin.containers import bundle, devices, namespaces, request, resources, rootfs, rootview, users
from nakagin.errors import Conflict, Invalid, StepFailed
from nakagin.kernel import abi, mount
from nakagin.network import names
from nakagin.network.model import PortRequest

if TYPE_CHECKING:
    from nakagin.containers.model import Container, MountSpec
    from nakagin.containers.shelf import Capsule, PendingAttach, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.monitor.launch import Monitor
    from nakagin.monitor.protocol import Message
    from nakagin.network.endpoints import Attachment
    from nakagin.spec import runtime as oci

OnEvent = Callable[[dict[str, Any]], None]

# What names mean in an image does not change: (chain, user, groups) -> identity.
_identities: dict[tuple[str, str, tuple[str, ...]], users.Identity] = {}
_IDENTITIES_AT_MOST = 1024


async def launch(shelf: Shelf, around: Surroundings, capsule: Capsule, on_event: OnEvent) -> Monitor:
    """Start the container's monitor and wait until the program runs; on failure nothing is left but the record.

    Raises CommandFailed, StepFailed, Conflict (port, joined container), Invalid.
    """
    pending = list(capsule.pending)
    capsule.pending.clear()
    try:
        return await _launch(shelf, around, capsule.record, pending, on_event)
    except OSError as error:
        raise StepFailed("start the container", str(error), errno=error.errno or 0) from error
    finally:
        for each in pending:
            each.socket.close()


async def _launch(
    shelf: Shelf, around: Surroundings, record: Container, pending: Sequence[PendingAttach], on_event: OnEvent
) -> Monitor:
    run_dir = around.run_dir(record.id)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, run_dir, ignore_errors=True)
        _make_run_dir(run_dir)
        pids = _joined_pids(shelf, record)
        identity = await resolve_identity(around, record)
        _make_sources(record.mounts)
        undo.callback(around.networks.release, record.id)
        attachment = _allocate(around, record)
        undo.callback(release_shared_memory, around, record)
        shared = _shared_memory(shelf, around, record)
        try:
            moment = bundle.Moment(
                identity=identity, root=_root(around, record), mounts=record.mounts,
                files=_write_files(shelf, around, record, attachment), pids=pids, devices=_devices(record),
                block_numbers=devices.block_numbers(resources.block_devices(record.host_config)), shared_shm=shared,
            )  # fmt: skip
            _write_config(run_dir, bundle.configuration(record, around.host, moment))
            message, fds = _message(around, record, attachment, pending)
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


def _joined_pids(shelf: Shelf, record: Container) -> dict[namespaces.Kind, int]:
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
    pristine = not record.running and _accounts_untouched(around, record)
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
    """Whether /etc is as in the image."""
    return not record.extension.rootfs and not os.path.lexists(
        os.path.join(around.snapshots.upper(record.id), "etc")
    )


def _make_sources(specs: Sequence[MountSpec]) -> None:
    for spec in specs:
        if spec.type == "tmpfs" or os.path.lexists(spec.source):
            continue
        if not spec.create_source:
            raise Invalid(f"mount source path does not exist: {spec.source}")
        try:
            os.makedirs(spec.source, mode=0o755, exist_ok=True)
        except OSError as error:
            raise StepFailed(
                f"error while creating mount source path '{spec.source}'",
                error.strerror or "",
                errno=error.errno or 0,
            ) from None


def _allocate(around: Surroundings, record: Container) -> Attachment | None:
    mode = namespaces.network_mode(record.host_config.network_mode)
    if mode.mode != "private" or record.config.network_disabled:
        return None
    endpoint = record.endpoints.get(mode.of)
    mac = (endpoint.mac_address if endpoint else "") or record.config.mac_address
    address = endpoint.ipam_config.ipv4_address if endpoint and endpoint.ipam_config else ""
    return around.networks.allocate(
        mode.of, record.id, record.name, port_requests(record), mac=mac, address=address
    )


def port_requests(record: Container) -> list[PortRequest]:
    """What -p and -P ask for."""
    host, requests = record.host_config, []
    for spec, bindings in host.port_bindings.items():
        first, last, protocol = request.parse_port(spec)
        for port in range(first, last + 1):
            for binding in bindings:
                lowest, _, highest = (binding.host_port or "0").partition("-")
                # A range is a choice; a number goes with the first port, and its neighbours with the next ones.
                shift = port - first if int(lowest) and not highest else 0
                low, high = int(lowest) + shift, int(highest or lowest) + shift
                requests.append(PortRequest(port, protocol, binding.host_ip, low, high))
    if host.publish_all_ports:
        bound = {(each.container_port, each.protocol) for each in requests}
        for spec in record.config.exposed_ports:
            first, last, protocol = request.parse_port(spec)
            requests += [
                PortRequest(port, protocol)
                for port in range(first, last + 1)
                if (port, protocol) not in bound
            ]
    return requests


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


def _devices(record: Container) -> list[tuple[oci.Device, str]]:
    if record.host_config.privileged:
        return devices.all_of_host()
    return devices.requested(record.host_config.devices)


FILES = ("hostname", "hosts", "resolv.conf")


def _write_files(
    shelf: Shelf, around: Surroundings, record: Container, attachment: Attachment | None
) -> dict[str, str]:
    """The engine's own files in the run directory; the result maps their place inside to them."""
    owner = network_owner(shelf, record)
    folder = around.run_dir(owner.id)
    if owner is record:
        for name, text in _file_texts(around, record, attachment).items():
            _write(os.path.join(folder, name), text)
    return {f"/etc/{name}": os.path.join(folder, name) for name in FILES}


def network_owner(shelf: Shelf, record: Container) -> Container:
    """The container whose network this one uses: another one's with --network container:NAME."""
    mode = namespaces.network_mode(record.host_config.network_mode)
    return shelf.find(mode.of).record if mode.mode == "container" else record


def _file_texts(around: Surroundings, record: Container, attachment: Attachment | None) -> dict[str, str]:
    wanted, standard = record.host_config, around.names
    mode = namespaces.network_mode(wanted.network_mode).mode
    hostname = bundle.hostname(record, around.host)
    addresses = attachment.endpoint.addresses if attachment else ()
    gateway = standard.host_gateway or around.networks.host_gateway
    hosts = names.hosts_file(
        hostname, addresses, domain=record.config.domainname, extra=wanted.extra_hosts, host_gateway=gateway
    )
    servers = wanted.dns or standard.servers
    search = wanted.dns_search or standard.search
    options = wanted.dns_options or standard.options
    resolver = around.networks.resolv_file(
        wanted.network_mode if attachment else ("host" if mode == "host" else "none"),
        servers,
        search,
        options,
    )
    return {"hostname": names.hostname_file(hostname), "hosts": hosts, "resolv.conf": resolver}


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _write_config(run_dir: str, config: oci.Config) -> None:
    _write(os.path.join(run_dir, "config.json"), json.dumps(config))


def _message(
    around: Surroundings, record: Container, attachment: Attachment | None, pending: Sequence[PendingAttach]
) -> tuple[Message, list[int]]:
    """The launch request (keys: monitor.protocol) and the descriptors that go with it."""
    cwd, root_mounts = rootfs.root_mounts(around, record)
    size, count = request.log_bounds(record.host_config.log_config)
    driver = record.host_config.log_config.type
    run_dir = around.run_dir(record.id)
    fds: list[int] = []
    proxies = _proxies(attachment, fds)
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
        "rootfs": root_mounts,
        "rootfs_cwd": cwd,
        "cgroup_path": bundle.cgroup_path(record, around.host),
        "seccomp_cache": os.path.join(around.exec_root, "seccomp"),
        "tty": record.config.tty,
        "console_size": [rows, columns] if rows and columns else None,
        "open_stdin": record.config.open_stdin,
        "stdin_once": record.config.stdin_once,
        "log": {
            "driver": "none" if driver == "none" else "json-file",
            "path": around.log_path(record.id), "max_size": size, "max_file": count,
        },
        "network": [attachment.plan] if attachment else [],
        "proxies": proxies,
        "attach": attach,
    }, fds  # fmt: skip


def _proxies(attachment: Attachment | None, fds: list[int]) -> list[dict[str, Any]]:
    """One proxy for each listening socket of a published port; the sockets join `fds`."""
    found: list[dict[str, Any]] = []
    if attachment is None or not attachment.endpoint.addresses:
        return found
    address = attachment.endpoint.addresses[0].partition("/")[0]
    for publication in attachment.publications:
        for offset, sock in enumerate(publication.sockets):
            target = [address, publication.mapping.container_port + offset]
            found.append({"fd_index": len(fds), "proto": publication.mapping.protocol, "target": target})
            fds.append(sock.fileno())
    return found


def failure(error: BaseException) -> tuple[int, str]:
    """Exit code and text that a failed start leaves in the record: 126, 127, or 128 as in Docker."""
    code = getattr(error, "exit_code", 128)
    return int(code), str(error) or type(error).__name__
