"""What the containers stand on: the rooms below, the paths, and the facts of the machine. Made by the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from nakagin.containers import cdi
from nakagin.containers.bundle import Host
from nakagin.containers.resources import HostLimits
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.events import EventBus
    from nakagin.images.library import Images
    from nakagin.monitor.launch import Zygote
    from nakagin.network.naming import Naming
    from nakagin.network.networks import Networks
    from nakagin.storage.records import Records
    from nakagin.storage.snapshots import Snapshots
    from nakagin.storage.trash import Trash
    from nakagin.volumes.volumes import Volumes


class LogDefaults(NamedTuple):
    """The log driver and its options for containers that name none."""

    driver: str = "json-file"
    options: tuple[tuple[str, str], ...] = ()


class NameService(NamedTuple):
    """The engine's --dns, --dns-search, --dns-opt and --host-gateway-ip."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    host_gateway: str = ""


class ForeignRuntime(NamedTuple):
    """An OCI runtime of another's making: its program and the arguments that come before every command."""

    path: str
    arguments: tuple[str, ...] = ()


# All of these are the runtime inside; Docker's clients know it by Docker's names for its own.
OWN_RUNTIMES = ("nakagin", "runc", "io.containerd.runc.v2")


class Surroundings(NamedTuple):
    """Everything that the verbs of a container need from outside their own room.

    What a verb removes goes to the `trash` of the data root, or the `run_trash` of the exec root, by one rename.
    """

    data_root: str
    exec_root: str
    records: Records
    images: Images
    snapshots: Snapshots
    trash: Trash
    run_trash: Trash
    volumes: Volumes
    networks: Networks
    naming: Naming
    zygote: Zygote
    events: EventBus
    cgroups: Layout
    host: Host
    limits: HostLimits
    logs: LogDefaults = LogDefaults()
    names: NameService = NameService()
    foreign_runtimes: Mapping[str, ForeignRuntime] = {}
    default_runtime: str = "nakagin"
    userland_proxy: bool = True
    cdi_folders: tuple[str, ...] = cdi.FOLDERS
    storage_size: int = 0
    """How much a container may write that asks for no bound of its own, in bytes; 0: no bound."""

    def foreign_runtime(self, name: str) -> ForeignRuntime | None:
        """Whom `--runtime name` means; None is the runtime inside. Raises Invalid for an unknown name."""
        found = self.foreign_runtimes.get(name)
        if found is None and name not in OWN_RUNTIMES:
            known = ", ".join(sorted({*OWN_RUNTIMES[:2], *self.foreign_runtimes}))
            raise Invalid(
                f"unknown or invalid runtime name: {name}", hint=f"one of {known}; see --add-runtime"
            )
        return found

    def data_dir(self, id: str) -> str:
        """The container's folder on disk: its log."""
        return os.path.join(self.data_root, "containers", id)

    def run_dir(self, id: str) -> str:
        """The container's folder in memory: config.json, its network files, the monitor's socket and exit.json."""
        return os.path.join(self.exec_root, "containers", id)

    def runtime_root(self) -> str:
        """Where the runtime inside keeps its state."""
        return os.path.join(self.exec_root, "runtime")

    def foreign_root(self, name: str) -> str:
        """Where the foreign runtime of this name keeps its state."""
        return os.path.join(self.exec_root, "foreign", name)

    def log_path(self, id: str) -> str:
        """The container's log file."""
        return os.path.join(self.data_dir(id), f"{id}-json.log")
