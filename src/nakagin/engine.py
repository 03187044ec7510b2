"""The composition root: from settings to rooms that know each other; start, recovery and stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Coroutine
from typing import Any

from nakagin import machine
from nakagin.build.builder import Builder
from nakagin.build.elsewhere import Elsewhere
from nakagin.cgroups import scope
from nakagin.cgroups.layout import detect
from nakagin.containers import apparmor, cdi, logdrivers
from nakagin.containers.bundle import Host
from nakagin.containers.lifecycle import Containers
from nakagin.containers.surroundings import ForeignRuntime, LogDefaults, NameService, Surroundings
from nakagin.errors import Conflict, Denied, Invalid, NakaginError, Unavailable
from nakagin.events import EventBus
from nakagin.images.arrival import Arrivals
from nakagin.images.attestations import Attestations
from nakagin.images.library import Images
from nakagin.images.lists import ManifestLists
from nakagin.images.pull import Pulls
from nakagin.images.push import Pushes
from nakagin.images.refetch import Refetching
from nakagin.kernel.inodes import spread_unjournaled
from nakagin.kernel.namespaces import is_in_chroot
from nakagin.leases import Leases
from nakagin.monitor.launch import Zygote
from nakagin.network.model import Settings as NetworkSettings
from nakagin.network.naming import Naming
from nakagin.network.networks import Networks
from nakagin.registry.policy import PolicySource
from nakagin.registry.proxies import Proxies
from nakagin.registry.registries import Registries
from nakagin.registry.transport import Patience
from nakagin.settings import Settings
from nakagin.spec.docker import LogConfig
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.options import parse_options
from nakagin.storage.partial import Partials
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots
from nakagin.storage.trash import Trash
from nakagin.tasks import drop
from nakagin.upkeep import Upkeep
from nakagin.volumes.volumes import Volumes

log = logging.getLogger("nakagin.engine")

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
    registries: Registries
    attestations: Attestations
    pulls: Pulls
    pushes: Pushes
    manifest_lists: ManifestLists

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.machine = machine.look()
        self.events = EventBus()
        self.leases = Leases(self)
        self._zygote = Zygote()
        self._tasks: list[asyncio.Task[None]] = []
        self._locks: list[int] = []

    async def start(self) -> None:
        """Open the records, start the zygote, recover what a crash left.

        Raises Conflict (another engine uses the data root), Denied, Unavailable (folders that cannot be written).
        """
        self._check_place()
        if self.settings.systemd_cgroups:
            scope.check()
        self._make_folders()
        self._locks = [
            _lock(self.settings.data_root, "data root"),
            _lock(self.settings.exec_root, "exec root"),
        ]
        # First of all: without it nothing else is worth the work.
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
        self.volumes.settle()
        self.naming.start()

    def go_on(self) -> None:
        """Begin what goes on beside the API: housekeeping, the firewall's guard, restart policies."""
        self._begin(self.upkeep.run())
        self._begin(self.networks.watch())
        self._begin(self.containers.resume_policies())
        self._begin(self.containers.timetable.run())
        self._begin(self.leases.sweep())

    def _check_place(self) -> None:
        if os.geteuid() != 0 or "CAP_SYS_ADMIN" not in self.machine.capabilities:
            who = f"user {os.geteuid()}" if os.geteuid() else "root without CAP_SYS_ADMIN"
            raise Denied(f"the engine needs to run as root, not as {who}", hint="sudo nakagin engine")
        if is_in_chroot():
            raise Denied(
                "the engine cannot run in a chroot: processes that join a container would stand in the root outside",
                hint="make the folder the root with pivot_root(8), or run the engine in a container on it",
            )

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
        for folder in (
            f"{settings.data_root}/containers", f"{settings.exec_root}/containers", f"{settings.exec_root}/runtime",
        ):  # fmt: skip
            spread_unjournaled(folder)

    def _open(self) -> None:
        """Wire the rooms together."""
        settings = self.settings
        self.records = Records(os.path.join(settings.data_root, "records.db"))
        self.blobs = Blobs(settings.data_root)
        storage = parse_options(settings.storage_opts)
        self.layers = Layers(settings.data_root, self.records, storage.bounds)
        self.snapshots = Snapshots(settings.data_root, self.records, self.layers)
        self.trash = Trash(settings.data_root)
        self.run_trash = Trash(settings.exec_root)
        self.images = Images(self.records, self.blobs, self.layers, self.snapshots)
        self._open_registries()
        self.volumes = Volumes(self.records, settings.data_root, self.events)
        self.id = self._identity()
        self.networks = Networks(self.records, self._network_settings(), self.events)
        self.cgroups = detect()
        self.naming = Naming(self.networks, settings.exec_root, lambda: self.containers.residents())
        around = Surroundings(
            data_root=settings.data_root, exec_root=settings.exec_root, records=self.records, images=self.images,
            snapshots=self.snapshots, trash=self.trash, run_trash=self.run_trash, volumes=self.volumes,
            networks=self.networks, naming=self.naming, zygote=self._zygote,
            events=self.events, cgroups=self.cgroups, host=self._host(), limits=self.machine.limits,
            logs=LogDefaults(settings.log_driver, tuple(settings.log_opts.items())),
            names=NameService(settings.dns, settings.dns_search, settings.dns_opts, settings.host_gateway_ip),
            foreign_runtimes={
                name: ForeignRuntime(each.program, each.runtime_args) for name, each in settings.runtimes.items()
            },
            default_runtime=settings.default_runtime,
            storage_size=storage.container_size, userland_proxy=settings.userland_proxy,
            cdi_folders=settings.cdi_spec_dirs or cdi.FOLDERS,
        )  # fmt: skip
        around.foreign_runtime(settings.default_runtime)
        logdrivers.check(LogConfig(type=settings.log_driver, config=settings.log_opts))
        for name, runtime in around.foreign_runtimes.items():
            if shutil.which(runtime.path) is None:
                log.warning("runtime %s: %s cannot be executed", name, runtime.path)
        self.containers = Containers(around)
        refetch = Refetching(self.blobs, self.registries, self.arrivals)
        self.upkeep = Upkeep(self, storage.high_water, refetch)
        self.builder = Builder(
            settings.data_root, self.records, self.images, self.containers.steps,
            Elsewhere(self.pulls, self.pushes, self.arrivals, self.registries),
        )  # fmt: skip

    def _open_registries(self) -> None:
        settings = self.settings
        self.partials = Partials(settings.data_root, self.blobs)
        self.registries = Registries(
            PolicySource(settings.registry_mirrors, settings.insecure_registries, settings.registries_file),
            Proxies.read(os.environ, settings.proxies),
        )
        self.arrivals = Arrivals(
            self.layers, self.partials,
            downloads=settings.max_concurrent_downloads, patience=Patience(settings.max_download_attempts),
        )  # fmt: skip
        self.pulls = Pulls(self.images, self.arrivals, self.registries)
        self.attestations = Attestations(self.images, self.registries)
        self.pushes = Pushes(self.images, self.registries, uploads=settings.max_concurrent_uploads)
        self.manifest_lists = ManifestLists(self.records, self.pulls.lookup, self.registries)

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
            hostname=facts.system.nodename, cgroup_parent=settings.cgroup,
            cgroup_prefix=settings.cgroup_prefix, machine=facts.system.machine,
            kernel=facts.system.release, seccomp=_seccomp_profile(settings.seccomp_profile),
            cgroup_namespace=namespace, ipc_mode=settings.default_ipc_mode, ulimits=settings.ulimits,
            most_files=facts.most_files,
            shm_size=settings.shm_size, no_new_privileges=settings.no_new_privileges,
            has_apparmor=facts.has_apparmor, apparmor_profile=apparmor.load() if facts.has_apparmor else "",
            init_path=_find_init(settings.init_path), init_always=settings.init,
        )  # fmt: skip

    def _network_settings(self) -> NetworkSettings:
        settings = self.settings
        # RFC 4193: 40 bits of the engine's own; where this one never changes, its networks' addresses do not either.
        prefix = hashlib.sha256(f"{self.id}".encode()).hexdigest()
        return NetworkSettings(
            instance=settings.instance, bridge_address=settings.bip, bridge_address6=settings.bip6,
            fixed_cidr=settings.fixed_cidr, fixed_cidr_v6=settings.fixed_cidr_v6, ipv6=settings.ipv6, mtu=settings.mtu,
            default_gateway=settings.default_gateway, default_gateway6=settings.default_gateway_v6,
            existing_bridge=settings.bridge, icc=settings.icc, masquerade=settings.ip_masq,
            ip_forward=settings.ip_forward, firewall=settings.iptables, host_binding=settings.ip,
            firewall6=settings.ip6tables, direct_routing=settings.allow_direct_routing,
            network_options=settings.default_network_opts, ula=f"fd{prefix[:2]}:{prefix[2:6]}:{prefix[6:10]}::/48",
            pools=tuple((pool.base, pool.size) for pool in settings.default_address_pools),
        )  # fmt: skip

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # outermost frame of a task: logged, and the engine goes on without it
            log.exception("a task of the engine failed")

    async def stop(self) -> None:
        """Let go of everything. Containers run on, unless the settings say otherwise; without any, nothing is left."""
        if not self._locks:
            return
        if hasattr(self, "containers"):
            if not self.settings.live_restore:
                await self.containers.stop_all(float(self.settings.shutdown_timeout))
            alone = not any(self.containers.counts().get(status) for status in ("running", "paused"))
            await self.containers.close()
            await drop(*self._tasks)
            await self.pulls.close()
            await self.registries.close()
            with contextlib.suppress(NakaginError, OSError):
                await self.upkeep.settle()
                await asyncio.to_thread(self.images.collect)
                await asyncio.to_thread(self.snapshots.empty_trash)
                await asyncio.to_thread(self.run_trash.empty)
            self.naming.close(leave=alone)
            if alone:
                self._leave_nothing()
            self.records.close()
        await self._zygote.stop()
        while self._locks:
            os.close(self._locks.pop())

    def _leave_nothing(self) -> None:
        with contextlib.suppress(NakaginError, OSError):
            self.networks.cleanup()
        with contextlib.suppress(NakaginError, OSError):
            self.snapshots.let_go()
        if not self.settings.systemd_cgroups:
            self._remove_cgroup()
        for name in ("containers", "foreign", "runtime", "seccomp", "shm", "trash", "view"):
            shutil.rmtree(os.path.join(self.settings.exec_root, name), ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.settings.exec_root, "engine.lock"))

    def _remove_cgroup(self) -> None:
        # Foreign runtimes make the group in systemd's own hierarchy too.
        for mount in {*self.cgroups.hierarchies, self.cgroups.v2, "/sys/fs/cgroup/systemd"} - {""}:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(mount, self.settings.cgroup.strip("/")))

    async def info(self) -> dict[str, Any]:
        """The document of GET /info."""
        return machine.info(
            self.machine, self.settings, self.cgroups, id=self.id, containers=self.containers.counts(),
            images=len(self.images.list()), listeners=self.events.listeners,
        )  # fmt: skip

    def resources(self) -> dict[str, Any]:
        """The document of GET /nakagin/system/resources: what this machine has of all that containers use up."""
        return machine.resources(self.machine, self.settings)

    def version(self) -> dict[str, Any]:
        """The document of GET /version."""
        return machine.version(self.machine)

    async def disk_usage(self) -> dict[str, Any]:
        """The document of GET /system/df; walks volumes and writable layers in worker threads."""
        return await self.upkeep.disk_usage()


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
