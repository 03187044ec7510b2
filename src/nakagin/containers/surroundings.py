"""What the containers stand on: the rooms below, the paths, and the facts of the machine. Made by the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from nakagin.containers.bundle import Host
from nakagin.containers.resources import HostLimits

if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.events import EventBus
    from nakagin.images.library import Images
    from nakagin.monitor.launch import Zygote
    from nakagin.network.networks import Networks
    from nakagin.storage.records import Records
    from nakagin.storage.snapshots import Snapshots
    from nakagin.volumes import Volumes


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


class Surroundings(NamedTuple):
    """Everything that the verbs of a container need from outside their own room."""

    data_root: str
    exec_root: str
    records: Records
    images: Images
    snapshots: Snapshots
    volumes: Volumes
    networks: Networks
    zygote: Zygote
    events: EventBus
    cgroups: Layout
    host: Host
    limits: HostLimits
    logs: LogDefaults = LogDefaults()
    names: NameService = NameService()
    runtimes: tuple[str, ...] = ("nakagin", "runc", "io.containerd.runc.v2")
    foreign_runtimes: tuple[str, ...] = ()
    default_runtime: str = "nakagin"

    def data_dir(self, id: str) -> str:
        """The container's folder on disk: its log."""
        return os.path.join(self.data_root, "containers", id)

    def run_dir(self, id: str) -> str:
        """The container's folder in memory: config.json, its network files, the monitor's socket and exit.json."""
        return os.path.join(self.exec_root, "containers", id)

    def runtime_root(self) -> str:
        """Where the runtime keeps its state."""
        return os.path.join(self.exec_root, "runtime")

    def log_path(self, id: str) -> str:
        """The container's log file."""
        return os.path.join(self.data_dir(id), f"{id}-json.log")
