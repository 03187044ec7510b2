"""What the engine knows of a container: frozen facts, a status derived from them, and what may follow what.

created ──start──> running ──exit──> exited ──start──> running
                    │  ▲  │             │
                 pause unpause          ├─ restart policy ─> restarting ──> running
                    ▼  │                │
                   paused               └──remove──> removing ──> (gone)
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec

from nakagin.errors import Conflict, NotModified
from nakagin.monitor.logfile import timestamp
from nakagin.spec.docker import ContainerConfig, EndpointSettings, Extension, Health, HostConfig

NEVER = "0001-01-01T00:00:00Z"

BUILD = "build"

Status = Literal["created", "running", "paused", "restarting", "exited", "removing", "dead"]
Verb = Literal["start", "stop", "kill", "pause", "unpause", "exec", "attach", "remove", "resize", "top"]
Intent = Literal["creating", "kept", "removing"]


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has happened to a container. Times are RFC 3339 in UTC with nanoseconds, `pid` is the host's number.

    `healing` means that it was ended because it was unhealthy, to be started again.
    `intent` is "creating" until the container exists as a whole and "removing" from the moment when it must go:
    recovery finishes the one by undoing it and the other by removing again (anonymous volumes as `volumes_too` says).
    """

    intent: Intent = "kept"
    pid: int = 0
    started_at: str = NEVER
    finished_at: str = NEVER
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    paused: bool = False
    restarting: bool = False
    restart_count: int = 0
    stopped_by_user: bool = False
    healing: bool = False
    volumes_too: bool = False
    health: Health | None = None


class MountSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mount of a container as settled at its creation; `source` is a host path ("" for tmpfs and images).

    `name` is the volume's, or what the image was called, and `chain` its topmost layer; `options` are those of a tmpfs,
    or of an overlay once it is prepared, as mount(8) takes them; `origin` says who asked for it. `owner` ("uid.gid")
    is whose the files of a bind are on the machine that are the container's user's inside. `overlay`: a bind that is
    written over, not into (overlays.py).
    """

    type: Literal["bind", "volume", "tmpfs", "image"]
    target: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    no_copy: bool = False
    subpath: str = ""
    chain: str = ""
    owner: str = ""
    recursive: bool = True
    recursive_read_only: bool = False
    create_source: bool = False
    overlay: bool = False
    anonymous: bool = False
    options: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    driver_options: dict[str, str] = {}
    origin: Literal["bind", "mount", "tmpfs", "image", "from"] = "bind"


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a container: what was asked for, merged with its image, and what has happened."""

    id: str
    name: str
    created: str
    image_id: str
    chain_id: str = ""
    config: ContainerConfig
    host_config: HostConfig
    endpoints: dict[str, EndpointSettings] = {}
    extension: Extension = Extension()
    mounts: tuple[MountSpec, ...] = ()
    platform: str = "linux"
    asked_platform: str = ""
    """os/architecture[/variant] that was asked for by --platform; "" where none was."""
    purpose: str = ""
    """BUILD: it runs one step of a build, is not listed, and is removed when an engine finds it at its start."""
    facts: Facts = Facts()

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return (*(self.config.entrypoint or ()), *(self.config.cmd or ()))

    @property
    def status(self) -> Status:
        """The status in Docker's words."""
        return status_of(self.facts)

    @property
    def running(self) -> bool:
        """Whether its processes exist (paused ones too)."""
        return self.facts.pid != 0

    @property
    def network_mode(self) -> str:
        """Docker's network mode with "default" replaced by what it means here."""
        mode = self.host_config.network_mode
        return "bridge" if mode in {"", "default"} else mode

    def with_facts(self, **changes: object) -> Container:
        """The same container with some facts changed."""
        return msgspec.structs.replace(self, facts=msgspec.structs.replace(self.facts, **changes))


def status_of(facts: Facts) -> Status:
    """The one status that follows from the facts."""
    if facts.intent == "removing":
        return "removing"
    if facts.paused:
        return "paused"
    if facts.pid:
        return "running"
    if facts.restarting:
        return "restarting"
    return "created" if facts.started_at == NEVER else "exited"


_ALIVE: frozenset[Status] = frozenset({"running", "paused", "restarting"})

#: From which statuses each verb may go on.
ALLOWED: dict[Verb, frozenset[Status]] = {
    "start": frozenset({"created", "exited", "restarting", "dead"}),
    "stop": _ALIVE,
    "kill": _ALIVE,
    "pause": frozenset({"running"}),
    "unpause": frozenset({"paused"}),
    "exec": frozenset({"running"}),
    "attach": frozenset({"created", "exited", "running"}),
    "resize": _ALIVE,
    "top": frozenset({"running", "paused"}),
    "remove": frozenset({"created", "exited", "dead"}),
}


def require(container: Container, verb: Verb) -> None:
    """Raise Conflict (NotModified where it already is so) if `verb` may not follow the container's status."""
    status = container.status
    if status in ALLOWED[verb]:
        return
    if verb == "start" and status == "running":
        raise NotModified(f"container {container.name} is already running")
    if verb == "stop":
        raise NotModified(f"container {container.name} is not running")
    raise Conflict(_refusal(container, verb, status), hint=_HINTS.get((verb, status)))


def _refusal(container: Container, verb: Verb, status: Status) -> str:
    """Why not, in Docker's words where clients know them."""
    match verb, status:
        case "start", "paused":
            return "cannot start a paused container, try unpause instead"
        case "start", "removing":
            return "container is marked for removal and cannot be started"
        case "remove", "removing":
            return f"removal of container {container.id} is already in progress"
        case "remove", _:
            return f'cannot remove container "{container.name}": container is {status}'
        case "exec", "paused":
            return f"container {container.name} is paused, unpause the container before exec"
        case "pause", "paused":
            return f"Container {container.id} is already paused"
        case "unpause", _:
            return f"Container {container.id} is not paused"
        case _, "restarting":
            return f"container {container.id} is restarting, wait until the container is running"
        case _:
            return f"container {container.id} is not running"


_HINTS: dict[tuple[Verb, Status], str] = {
    ("remove", "running"): "stop the container before removing or force remove",
    ("remove", "restarting"): "stop the container before removing or force remove",
    ("remove", "paused"): "unpause and then stop the container before removing or force remove",
}


def now() -> str:
    """The present time as a timestamp."""
    return timestamp(time.time_ns())


@lru_cache(8192)  # each listing asks for the same times again
def nanoseconds(stamp: str) -> int:
    """Nanoseconds since the epoch of a timestamp in UTC; 0 for NEVER."""
    if stamp == NEVER or not stamp:
        return 0
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
