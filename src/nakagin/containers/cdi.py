"""The Container Device Interface: `--device vendor.com/class=name` and `--gpus`, from vendors' files to config.json.

A specification says what a device adds to a container: nodes, mounts, variables, hooks, groups.
Source: cncf-tags/container-device-interface, SPEC.md 0.8 (JSON form; YAML where PyYAML is installed).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers.devices import node
from nakagin.errors import Invalid, NakaginError

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

_GROUP = "org.mobyproject.buildkit.device.class"
FOLDERS = ("/etc/cdi", "/var/run/cdi")


class DeviceNode(msgspec.Struct, frozen=True, rename="camel"):
    """A node; what is left out is as on the host."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = "rwm"
    uid: int | None = None
    gid: int | None = None


class Mount(msgspec.Struct, frozen=True, rename="camel"):
    """A mount; a bind one where no type is given."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


class Hook(msgspec.Struct, frozen=True, rename="camel"):
    """A program to run at one of the moments of the OCI specification."""

    hook_name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Edits(msgspec.Struct, frozen=True, rename="camel"):
    """What is added to a container."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = msgspec.field(default=(), name="additionalGIDs")


class Device(msgspec.Struct, frozen=True, rename="camel"):
    """One of a specification's devices."""

    name: str
    container_edits: Edits = Edits()
    annotations: dict[str, str] = {}


class Specification(msgspec.Struct, frozen=True, rename="camel"):
    """A vendor's file: devices of one kind ("vendor.com/class"), and what each of them needs besides."""

    kind: str
    cdi_version: str = ""
    devices: tuple[Device, ...] = ()
    container_edits: Edits = Edits()
    annotations: dict[str, str] = {}


def read(folders: Sequence[str]) -> tuple[dict[str, tuple[Device, Specification]], list[str]]:
    """(devices by full name, complaints about files that cannot be read); later folders win."""
    found: dict[str, tuple[Device, Specification]] = {}
    complaints = []
    for folder in folders:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if not name.endswith((".json", ".yaml", ".yml")):
                continue
            path = os.path.join(folder, name)
            try:
                specification = _parse(path)
            except (OSError, NakaginError, msgspec.MsgspecError) as error:
                complaints.append(f"{path}: {error}")
                continue
            for device in specification.devices:
                found[f"{specification.kind}={device.name}"] = device, specification
    return found, complaints


def _parse(path: str) -> Specification:
    with open(path, "rb") as file:
        text = file.read()
    if path.endswith(".json"):
        return msgspec.json.decode(text, type=Specification)
    try:
        return msgspec.yaml.decode(text, type=Specification)
    except ImportError:
        raise Invalid("YAML cannot be read here", hint="install PyYAML, or write JSON") from None


def names(requests: Iterable[docker.DeviceRequest], known: Mapping[str, Any]) -> list[str]:
    """The full names that DeviceRequests mean: those of driver cdi, and GPUs by count or id. Invalid for others."""
    found: list[str] = []
    for request in requests:
        if request.driver == "cdi":
            found += request.device_ids
        else:
            found += _gpus(request, known)
    for name in found:
        if name not in known:
            hint = f"known: {', '.join(sorted(known))}" if known else "no specification is in the CDI folders"
            raise Invalid(f"CDI device injection failed: unresolvable CDI devices {name}", hint=hint)
    return found


def matching(wanted: str, known: Mapping[str, tuple[Device, Specification]]) -> list[str]:
    """The full names that a build means by `vendor.com/class[=name]`: without a name the first of the class, with *
    all of it, else that device, or those whose annotation says that they belong to it."""
    kind, _, name = wanted.partition("=")
    alike = sorted(each for each in known if each.startswith(f"{kind}="))
    if name in ("", "*"):
        return alike if name else alike[:1]
    return [wanted] if wanted in known else [each for each in alike if _group(*known[each]) == name]


def places(chosen: Sequence[str], known: Mapping[str, tuple[Device, Specification]]) -> list[str]:
    """Where in a container the devices put something."""
    added = edits(chosen, known)
    nodes = [node.path for each in added for node in each.device_nodes]
    return nodes + [mount.container_path for each in added for mount in each.mounts]


def _group(device: Device, specification: Specification) -> str:
    return {**specification.annotations, **device.annotations}.get(_GROUP, "")


def _gpus(request: docker.DeviceRequest, known: Mapping[str, Any]) -> list[str]:
    """Devices of the class "gpu": of the driver's vendor, else NVIDIA's, else the first there is."""
    kinds = sorted({name.partition("=")[0] for name in known if name.partition("=")[0].endswith("/gpu")})
    wanted = request.driver or "nvidia"
    kind = next(
        (each for each in kinds if each.startswith(f"{wanted}.")),
        "" if request.driver else next(iter(kinds), ""),
    )
    if not any("gpu" in each for each in request.capabilities) or not kind:
        capabilities = "[" + " ".join(f"[{' '.join(each)}]" for each in request.capabilities) + "]"
        raise Invalid(
            f'could not select device driver "{request.driver}" with capabilities: {capabilities}',
            hint="no CDI specification of a gpu is in /etc/cdi or /var/run/cdi",
        )
    if request.device_ids:
        return [f"{kind}={each}" for each in request.device_ids]
    if request.count < 0:
        everything = f"{kind}=all"
        return (
            [everything] if everything in known else [name for name in known if name.startswith(f"{kind}=")]
        )
    single = [name for name in known if name.startswith(f"{kind}=") and not name.endswith("=all")]
    if len(single) < request.count:
        raise Invalid(
            f"{request.count} GPUs were asked for, and there are {len(single)}", hint=", ".join(single)
        )
    return sorted(single)[: request.count]


def edits(chosen: Sequence[str], known: Mapping[str, tuple[Device, Specification]]) -> list[Edits]:
    """What the devices add: each specification's common part once, then each device's own."""
    found: list[Edits] = []
    seen: set[int] = set()
    for name in dict.fromkeys(chosen):
        device, specification = known[name]
        if id(specification) not in seen:
            seen.add(id(specification))
            found.append(specification.container_edits)
        found.append(device.container_edits)
    return found


def apply(config: oci.Config, added: Iterable[Edits]) -> None:
    """Write them into config.json. Raises Invalid for a node that is not there."""
    process, linux = config["process"], config["linux"]
    for each in added:
        names = {text.partition("=")[0] for text in each.env}
        process["env"] = [
            *(text for text in process["env"] if text.partition("=")[0] not in names),
            *each.env,
        ]
        for wanted in each.device_nodes:
            device = _node(wanted)
            linux.setdefault("devices", []).append(device)
            rule: oci.DeviceRule = {
                "allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"],
                "access": wanted.permissions or "rwm",
            }  # fmt: skip
            linux.setdefault("resources", {}).setdefault("devices", []).append(rule)
        for mount in each.mounts:
            kind = mount.type or "bind"
            options = list(mount.options) or (["rbind", "ro"] if kind == "bind" else [])
            config["mounts"].append(
                {
                    "destination": mount.container_path,
                    "source": mount.host_path,
                    "type": kind,
                    "options": options,
                }
            )
        for hook in each.hooks:
            _add_hook(config, hook)
        if each.additional_gids:
            user = process["user"]
            user["additionalGids"] = [*user.get("additionalGids", ()), *each.additional_gids]


def _node(wanted: DeviceNode) -> oci.Device:
    if wanted.type and wanted.type != "p" and (wanted.major or wanted.minor):
        found: oci.Device = {
            "type": wanted.type,
            "path": wanted.path,
            "major": wanted.major,
            "minor": wanted.minor,
        }
    else:
        found = node(wanted.host_path or wanted.path, wanted.path)
    if wanted.file_mode is not None:
        found["fileMode"] = wanted.file_mode
    if wanted.uid is not None:
        found["uid"] = wanted.uid
    if wanted.gid is not None:
        found["gid"] = wanted.gid
    return found


_MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def _add_hook(config: oci.Config, hook: Hook) -> None:
    if hook.hook_name not in _MOMENTS:
        raise Invalid(f"CDI: unknown hook {hook.hook_name}", hint=", ".join(_MOMENTS))
    made: oci.Hook = {"path": hook.path, "args": list(hook.args) or [hook.path], "env": list(hook.env)}
    if hook.timeout is not None:
        made["timeout"] = hook.timeout
    hooks = config.setdefault("hooks", {})
    hooks.setdefault(hook.hook_name, []).append(made)  # type: ignore[misc]  # one of _MOMENTS
