"""The composition root: from settings to rooms that know each other; start, recovery and stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import shutil
from collections.abc import Coroutine
from typing import Any

from nakagin import machine
from nakagin.cgroups.layout import detect
from nakagin.containers.bundle import Host
from nakagin.containers.lifecycle import Containers
from nakagin.containers.surroundings import LogDefaults, NameService, Surroundings
from nakagin.errors import Conflict, Denied, Invalid, NakaginError, Unavailable
from nakagin.events import EventBus
from nakagin.images.library import Images
from nakagin.monitor.launch import Zygote
from nakagin.network.model import Settings as NetworkSettings
from nakagin.network.networks import Networks
from nakagin.settings import Settings
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots
from nakagin.volumes import Volumes

log = logging.getLogger("nakagin.engine")

_TIDYING = 1.0  # seconds between looks at the trash
_HOUSEKEEPING = 60  # every how many of them the database's log is written back and unused layers are deleted
_INIT_NAMES = ("docker-init", "tini-static", "tini", "catatonit")
_INIT_FOLDERS = (
    "/usr/libexec/nakagin",
    "/usr/libexec/docker",
    "/usr/local/bin",
    "/usr/bin",
    "/sbin",
    "/usr/libexec/podman",
)


class Engine:
    """One engine: `containers`, `images`, `networks`, `volumes` and `events` are its facades, there after `start`."""

    containers: Containers
    images: Images
    networks: Networks
    volumes: Volumes
    events: EventBus

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.machine = machine.look()
        self.events = EventBus()
        self._zygote = Zygote()
        self._tasks: list[asyncio.Task[None]] = []
        self._locks: list[int] = []

    async def start(self) -> None:
        """Open the records, start the zygote, recover what a crash left.

        Raises Conflict (another engine uses the data root), Denied, Unavailable (folders that cannot be written).
        """
        self._check_privilege()
        self._make_folders()
        self._locks = [
            _lock(self.settings.data_root, "data root"),
            _lock(self.settings.exec_root, "exec root"),
        ]
        # First of all: the zygote is forked off while this process is still small.
        await self._zygote.start()
        self._open()
        self.volumes.start()
        living = self.containers.load()
        self.images.is_running = self.containers.holder_runs
        self.networks.start(living)
        self.layers.recover()
        self.snapshots.sweep(self.containers.ids())
        self.snapshots.recover()
        self.images.recover()
        await self.containers.recover()

    def go_on(self) -> None:
        """Begin what goes on beside the API: housekeeping, the firewall's guard, restart policies."""
        self._begin(self._keep_house())
        self._begin(self.networks.watch())
        self._begin(self.containers.resume_policies())

    def _check_privilege(self) -> None:
        if os.geteuid() != 0 or "CAP_SYS_ADMIN" not in self.machine.capabilities:
            who = f"user {os.geteuid()}" if os.geteuid() else "root without CAP_SYS_ADMIN"
            raise Denied(f"the engine needs to run as root, not as {who}", hint="sudo nakagin engine")

    def _make_folders(self) -> None:
        settings = self.settings
        for folder, mode in (
            (settings.data_root, 0o710), (f"{settings.data_root}/containers", 0o710),
            (settings.exec_root, 0o711), (f"{settings.exec_root}/containers", 0o711),
            (f"{settings.exec_root}/runtime", 0o700), (f"{settings.exec_root}/seccomp", 0o700),
        ):  # fmt: skip
            try:
                os.makedirs(folder, mode=mode, exist_ok=True)
                if not os.access(folder, os.W_OK):
                    raise PermissionError(30, os.strerror(30), folder)
            except OSError as error:
                raise Unavailable(
                    f"cannot write to {folder}: {error.strerror}",
                    hint="choose others with --data-root and --exec-root, or make it writable",
                ) from None

    def _open(self) -> None:
        """Wire the rooms together."""
        settings = self.settings
        self.records = Records(os.path.join(settings.data_root, "records.db"))
        self.blobs = Blobs(settings.data_root)
        self.layers = Layers(settings.data_root, self.records)
        self.snapshots = Snapshots(settings.data_root, self.records, self.layers)
        self.images = Images(self.records, self.blobs, self.layers, self.snapshots)
        self.volumes = Volumes(self.records, settings.data_root, self.events)
        self.networks = Networks(self.records, _network_settings(settings))
        self.cgroups = detect()
        self.id = self._identity()
        around = Surroundings(
            data_root=settings.data_root, exec_root=settings.exec_root, records=self.records, images=self.images,
            snapshots=self.snapshots, volumes=self.volumes, networks=self.networks, zygote=self._zygote,
            events=self.events, cgroups=self.cgroups, host=self._host(), limits=self.machine.limits,
            logs=LogDefaults(settings.log_driver, tuple(settings.log_opts.items())),
            names=NameService(settings.dns, settings.dns_search, settings.dns_opts, settings.host_gateway_ip),
            foreign_runtimes=tuple(settings.runtimes), default_runtime=settings.default_runtime,
        )  # fmt: skip
        if settings.default_runtime not in around.runtimes:
            raise Invalid(
                f"unknown default runtime: {settings.default_runtime}", hint=", ".join(around.runtimes)
            )
        self.containers = Containers(around)

    def _identity(self) -> str:
        """The engine's own id: made once, kept in the records."""
        known = self.records.get("engine", "id")
        if known is not None:
            return known.decode()
        made = os.urandom(16).hex()
        made = "-".join((made[:8], made[8:12], made[12:16], made[16:20], made[20:]))
        self.records.put("engine", "id", made.encode())
        return made

    def _host(self) -> Host:
        settings, facts = self.settings, self.machine
        namespace = settings.default_cgroupns_mode or ("private" if self.cgroups.mode == "v2" else "host")
        return Host(
            capabilities=facts.capabilities, known_capabilities=facts.known_capabilities,
            hostname=facts.system.nodename, cgroup_parent=settings.cgroup, machine=facts.system.machine,
            kernel=facts.system.release, seccomp=_seccomp_profile(settings.seccomp_profile),
            cgroup_namespace=namespace, ipc_mode=settings.default_ipc_mode, ulimits=settings.ulimits,
            most_files=facts.most_files,
            shm_size=settings.shm_size, no_new_privileges=settings.no_new_privileges,
            init_path=_find_init(settings.init_path), init_always=settings.init,
        )  # fmt: skip

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # outermost frame of a task: logged, and the engine goes on without it
            log.exception("a task of the engine failed")

    async def _keep_house(self) -> None:
        """What waits for the disk is done now and then in a worker thread, never by a verb."""
        for turn in itertools.count(1):
            await asyncio.sleep(_TIDYING)
            try:
                if os.listdir(os.path.join(self.settings.data_root, "trash")):
                    await asyncio.to_thread(self.snapshots.empty_trash)
                if turn % _HOUSEKEEPING == 0:
                    await asyncio.to_thread(self.images.collect)
                    await asyncio.to_thread(self.records.checkpoint)
            except (NakaginError, OSError) as error:
                log.warning("housekeeping failed: %s", error)

    async def stop(self) -> None:
        """Let go of everything. Containers run on, unless the settings say otherwise; without any, nothing is left."""
        if not self._locks:
            return
        if hasattr(self, "containers"):
            if not self.settings.live_restore:
                await self.containers.stop_all(float(self.settings.shutdown_timeout))
            alone = not any(self.containers.counts().get(status) for status in ("running", "paused"))
            await self.containers.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with contextlib.suppress(NakaginError, OSError):
                await asyncio.to_thread(self.images.collect)
                await asyncio.to_thread(self.snapshots.empty_trash)
            if alone:
                self._leave_nothing()
            self.records.close()
        await self._zygote.stop()
        while self._locks:
            os.close(self._locks.pop())

    def _leave_nothing(self) -> None:
        with contextlib.suppress(NakaginError, OSError):
            self.networks.cleanup()
        for mount in {*self.cgroups.hierarchies, self.cgroups.v2} - {""}:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(mount, self.settings.cgroup.strip("/")))
        for name in ("containers", "runtime", "seccomp", "shm", "view"):
            shutil.rmtree(os.path.join(self.settings.exec_root, name), ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.settings.exec_root, "engine.lock"))

    async def info(self) -> dict[str, Any]:
        """The document of GET /info."""
        return machine.info(
            self.machine, self.settings, self.cgroups, id=self.id, containers=self.containers.counts(),
            images=len(self.images.list()), listeners=self.events.listeners,
        )  # fmt: skip

    def version(self) -> dict[str, Any]:
        """The document of GET /version."""
        return machine.version(self.machine)

    async def disk_usage(self) -> dict[str, Any]:
        """The document of GET /system/df; walks volumes and writable layers in worker threads."""
        containers = await self.containers.list(all=True, size=True)
        volumes = await asyncio.to_thread(self.volumes.disk_usage)
        size = await asyncio.to_thread(self.images.disk_usage)
        return {
            "LayersSize": size,
            "Images": [self._image_usage(image, containers) for image in self.images.list()],
            "Containers": containers,
            "Volumes": volumes,
            "BuildCache": [],
            "BuilderSize": 0,
        }

    def _image_usage(self, image: Any, containers: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "Id": image.id,
            "ParentId": image.record.parent,
            "RepoTags": list(image.repo_tags),
            "RepoDigests": list(image.repo_digests),
            "Created": int(image.created_at.timestamp()) if image.created_at.year > 1 else 0,
            "Size": image.size,
            "SharedSize": self.images.shared_size(image),
            "Labels": dict(image.labels),
            "Containers": sum(each["ImageID"] == image.id for each in containers),
        }


def _lock(folder: str, what: str) -> int:
    """Take a root folder for this process; the lock ends with it. Conflict names who has it."""
    fd = os.open(os.path.join(folder, "engine.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise Conflict(
            f"the {what} {folder} is in use by another engine (process {holder})",
            hint="end that one, or give this one its own --data-root, --exec-root and --instance",
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _network_settings(settings: Settings) -> NetworkSettings:
    return NetworkSettings(
        instance=settings.instance, bridge_address=settings.bip, fixed_cidr=settings.fixed_cidr, mtu=settings.mtu,
        icc=settings.icc, masquerade=settings.ip_masq, ip_forward=settings.ip_forward, firewall=settings.iptables,
        host_binding=settings.ip, pools=tuple((pool.base, pool.size) for pool in settings.default_address_pools),
    )  # fmt: skip


def _seccomp_profile(path: str) -> str:
    if path in {"", "builtin"}:
        return ""
    if path == "unconfined":
        return path
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Invalid(f"opening seccomp profile ({path}) failed: {error.strerror}") from None


def _find_init(path: str) -> str:
    """The tiny init of --init: the given one, or one of the distribution's; "" where there is none."""
    if path:
        if not os.access(path, os.X_OK):
            raise Invalid(f"--init-path: {path} is not executable")
        return path
    candidates = (os.path.join(folder, name) for name in _INIT_NAMES for folder in _INIT_FOLDERS)
    return next((each for each in candidates if os.access(each, os.X_OK)), "")
