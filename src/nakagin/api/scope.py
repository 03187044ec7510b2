"""Scoped sockets: what the clients of one socket may do, from its address ("unix:///run/ci.sock?allow=read,run&own").

`allow` names kinds of requests, `label` and `own` which containers there are at all for these clients: others are not
found, not listed, not heard of in events, and what is created gets the label. Who may create containers but is not
`trusted` may not ask for what would make the host theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from nakagin.errors import Denied, Invalid, NotFound
from nakagin.spec.docker import ContainerCreate, ExecCreate, VolumeCreate
from nakagin.spec.labels import has_labels

if TYPE_CHECKING:
    from nakagin.api.call import Call

#: The label of what was created through a socket with `own`.
OWN = "nakagin.scope"

KINDS = (
    "read", "files", "create", "start", "stop", "remove", "exec", "update", "images", "build", "volumes", "networks",
    "prune", "all",
)  # fmt: skip
#: Words that stand for several kinds.
_GROUPS = {"run": ("read", "create", "start", "stop", "remove", "exec")}

_VERBS = {
    "start": "start", "stop": "stop", "kill": "stop", "restart": "stop", "pause": "stop", "unpause": "stop",
    "wait": "read", "attach": "exec", "ws": "exec", "exec": "exec", "resize": "exec", "update": "update",
    "rename": "update", "archive": "files", "export": "files", "create": "create", "prune": "prune", "ports": "update",
}  # fmt: skip
_NOUNS = {
    "images": "images", "build": "build", "session": "build", "grpc": "build", "volumes": "volumes",
    "networks": "networks", "commit": "images", "auth": "images", "distribution": "images",
}  # fmt: skip


class Scope(NamedTuple):
    """What one socket gives away. `labels` are "KEY" or "KEY=VALUE" that a container must have."""

    allow: frozenset[str] = frozenset({"read"})
    labels: tuple[str, ...] = ()
    trusted: bool = False

    def require(self, kind: str, what: str) -> None:
        """Raise Denied unless requests of this kind are allowed."""
        if kind not in self.allow and "all" not in self.allow:
            raise Denied(f"this socket does not allow {what}", hint=f"it would need allow={kind}")

    async def admit(self, call: Call, method: str, path: str) -> None:
        """Let a request in, with its view narrowed, or raise Denied or NotFound."""
        parts = path.strip("/").split("/")
        if parts[0] in {"_ping", "version"}:  # without these no client would begin
            return
        self.require(kind_of(method, parts), f"{method} /{'/'.join(parts)}")
        if parts[0] == "nakagin":
            parts = parts[1:]
        if not self.labels:
            return
        call.forced = {"label": list(self.labels)}
        if parts[0] == "containers" and call.name:
            await self._require_own(call, call.name)
        elif parts[0] == "exec":
            shown = await call.engine.containers.exec_inspect(call.name)
            await self._require_own(call, shown["ContainerID"])
        elif parts[0] == "commit":
            await self._require_own(call, call.text("container"))
        elif parts[0] == "networks" and parts[-1] in {"connect", "disconnect"}:
            await self._require_own(call, str((await call.document()).get("Container", "")))
        elif parts[:2] == ["system", "df"]:
            raise Denied("this socket shows some containers only, and so no disk usage")

    async def _require_own(self, call: Call, reference: str) -> None:
        shown = await call.engine.containers.inspect(reference)
        if not has_labels(shown["Config"]["Labels"], self.labels):
            raise NotFound(f"No such container: {reference}")

    def created(self, body: ContainerCreate) -> ContainerCreate:
        """A create request with the socket's labels; Denied for what is not for these clients."""
        if not self.trusted:
            for what in _claims(body, named_volumes="volumes" in self.allow or "all" in self.allow):
                raise Denied(f"this socket does not allow {what}", hint="a socket with trusted=1 would")
        forced = dict(label.partition("=")[::2] for label in self.labels)
        return msgspec.structs.replace(body, labels={**body.labels, **forced})

    def executed(self, body: ExecCreate) -> None:
        """Raise Denied for a command with more rights than its container."""
        if body.privileged and not self.trusted:
            raise Denied(
                "this socket does not allow privileged commands", hint="a socket with trusted=1 would"
            )

    def volume(self, body: VolumeCreate) -> None:
        """Raise Denied for a volume that is a place on the host."""
        if not self.trusted and (body.driver_opts or body.driver not in {"", "local"}):
            raise Denied(
                "this socket does not allow volumes with options", hint="a socket with trusted=1 would"
            )


def kind_of(method: str, parts: list[str]) -> str:
    """The kind of a request; "all" for what nobody has thought of."""
    noun, verb = parts[0], parts[-1]
    if noun == "nakagin" and len(parts) > 2:
        noun = parts[1]
    reads = method in {"GET", "HEAD"}
    if verb == "prune":
        return "prune"
    if noun in {"containers", "exec"}:
        if method == "DELETE":
            return "stop" if verb == "logs" else "remove"
        if noun == "exec" and not reads:
            return "exec"
        if len(parts) == 2 and verb == "create":
            return "create"
        if len(parts) > 2 and verb in _VERBS and not (reads and verb in {"ports", "exec"}):
            return _VERBS[verb]
        return "read" if reads else "all"
    if reads:
        return "files" if noun == "images" and verb == "get" else "read"
    return _NOUNS.get(noun, "all")


def _claims(body: ContainerCreate, *, named_volumes: bool) -> Iterator[str]:
    """What of a request reaches beyond the container."""
    host = body.host_config
    if host.privileged:
        yield "privileged containers"
    for name, mode in (
        ("pid", host.pid_mode), ("ipc", host.ipc_mode), ("uts", host.uts_mode), ("network", host.network_mode),
        ("userns", host.userns_mode), ("cgroupns", host.cgroupns_mode),
    ):  # fmt: skip
        if mode == "host" or mode.partition(":")[0] in {"container", "ns"}:
            yield f"{name} mode {mode}"
    for name, value in (
        ("devices", host.devices or host.device_requests), ("device rules", host.device_cgroup_rules),
        ("capabilities", host.cap_add), ("security options", host.security_opt), ("sysctls", host.sysctls),
        ("volumes of other containers", host.volumes_from), ("cgroup parents", host.cgroup_parent),
        ("links", host.links), ("another rootfs", body.nakagin.rootfs), ("log drivers", _foreign_log(body)),
        ("unmasked paths", host.masked_paths is not None or host.readonly_paths is not None),
        ("other runtimes", host.runtime not in {"", "nakagin", "runc"}),
        ("a lower OOM score", host.oom_score_adj < 0),
    ):  # fmt: skip
        if value:
            yield name
    yield from _mount_claims(body, named_volumes=named_volumes)


def _foreign_log(body: ContainerCreate) -> bool:
    return body.host_config.log_config.type not in {"", "json-file", "local", "none"}


def _mount_claims(body: ContainerCreate, *, named_volumes: bool) -> Iterator[str]:
    for bind in body.host_config.binds:
        source, colon, _ = bind.partition(":")
        if colon and source.startswith(("/", ".", "~")):
            yield f"bind mounts ({source})"
        elif colon and not named_volumes:
            yield f"named volumes ({source})"
    for mount in body.host_config.mounts:
        if mount.type not in {"volume", "tmpfs", "image"}:
            yield f"{mount.type} mounts ({mount.source})"
        elif mount.type == "volume" and mount.source and not named_volumes:
            yield f"named volumes ({mount.source})"
        if (
            mount.volume_options
            and mount.volume_options.driver_config
            and mount.volume_options.driver_config.options
        ):
            yield "volumes with options"
    if body.host_config.volume_driver not in {"", "local"}:
        yield "volume drivers"


def parse(address: str) -> tuple[str, Scope | None]:
    """(the address alone, its scope) of a -H; no scope where there is no "?". Raises Invalid."""
    bare, mark, query = address.partition("?")
    if not mark:
        return address, None
    allow: set[str] = set()
    labels: list[str] = []
    trusted = False
    for key, value in parse_qsl(query, keep_blank_values=True):
        match key:
            case "allow":
                allow.update(_kinds(value, address))
            case "label" if value:
                labels.append(value)
            case "own":
                labels.append(f"{OWN}={value or os.path.basename(bare)}")
            case "trusted":
                trusted = value not in {"0", "false"}
            case _:
                raise Invalid(f"invalid bind address ({address}): {key}", hint="allow, label, own, trusted")
    return bare, Scope(frozenset(allow or {"read"}), tuple(labels), trusted)


def _kinds(value: str, address: str) -> Iterator[str]:
    for word in value.split(","):
        if word not in KINDS and word not in _GROUPS:
            known = ", ".join((*KINDS, *_GROUPS))
            raise Invalid(f"invalid bind address ({address}): {word!r} cannot be allowed", hint=known)
        yield from _GROUPS.get(word, (word,))
