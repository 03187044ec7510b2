"""Containers as documents: the whole one of inspect, and the line of ps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nakagin.containers import bundle, links, security
from nakagin.containers.model import nanoseconds
from nakagin.containers.netfiles import network_owner
from nakagin.errors import NakaginError, NotFound
from nakagin.images.describe import manifest_descriptor
from nakagin.spec.gojson import document

if TYPE_CHECKING:
    from nakagin.containers.model import Container, MountSpec
    from nakagin.containers.shelf import Shelf
    from nakagin.containers.surroundings import Surroundings

Document = dict[str, Any]


def inspection(shelf: Shelf, around: Surroundings, record: Container, exec_ids: Sequence[str]) -> Document:
    """The document of GET /containers/{id}/json."""
    command = record.command
    run_dir = around.run_dir(network_owner(shelf, record).id)
    shown = record.running
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": command[0] if command else "",
        "Args": list(command[1:]),
        "State": state(record),
        "Image": record.image_id,
        "ImageManifestDescriptor": _manifest(around, record),
        "ResolvConfPath": os.path.join(run_dir, "resolv.conf") if shown else "",
        "HostnamePath": os.path.join(run_dir, "hostname") if shown else "",
        "HostsPath": os.path.join(run_dir, "hosts") if shown else "",
        "LogPath": "" if record.host_config.log_config.type == "none" else around.log_path(record.id),
        "Name": f"/{record.name}",
        "RestartCount": record.facts.restart_count,
        "Driver": "overlay2",
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": _apparmor(around, record),
        "ExecIDs": sorted(exec_ids) or None,
        "HostConfig": document(record.host_config) | {"Links": links.shown(shelf, record)},
        "GraphDriver": _graph_driver(around, record),
        "Mounts": mount_points(record),
        "Config": _config(around, record),
        "NetworkSettings": network_settings(around, record),
    }


def _config(around: Surroundings, record: Container) -> Document:
    config = document(record.config)
    config["Hostname"] = bundle.hostname(record, around.host)
    return config


def _apparmor(around: Surroundings, record: Container) -> str:
    """The profile that is applied."""
    options = security.parse_options(record.host_config.security_opt)
    return bundle.apparmor_profile(record, around.host, options)


def state(record: Container) -> Document:
    """The State of an inspection."""
    facts, status = record.facts, record.status
    shown: Document = {
        "Status": status,
        "Running": record.running or facts.restarting,
        "Paused": facts.paused,
        "Restarting": facts.restarting,
        "OOMKilled": facts.oom_killed,
        "Dead": status == "dead",
        "Pid": facts.pid,
        "ExitCode": facts.exit_code,
        "Error": facts.error,
        "StartedAt": facts.started_at,
        "FinishedAt": facts.finished_at,
    }
    if facts.health is not None:
        shown["Health"] = {
            "Status": facts.health.status,
            "FailingStreak": facts.health.failing_streak,
            "Log": [
                {"Start": each.start, "End": each.end, "ExitCode": each.exit_code, "Output": each.output}
                for each in facts.health.log
            ],
        }
    return shown


def _health(record: Container) -> Document:
    health = record.facts.health
    return {
        "Status": health.status if health else "none",
        "FailingStreak": health.failing_streak if health else 0,
    }


def mount_points(record: Container) -> list[Document]:
    """The Mounts of an inspection or listing; those of --tmpfs stand in the HostConfig alone, as in Docker."""
    return [_mount_point(spec) for spec in record.mounts if spec.origin != "tmpfs"]


def _mount_point(spec: MountSpec) -> Document:
    shown: Document = {"Type": spec.type}
    if spec.type == "volume":
        shown |= {"Name": spec.name}
    source = spec.name if spec.type == "image" else spec.source
    shown |= {"Source": source, "Destination": spec.target}
    if spec.type == "volume":
        shown |= {"Driver": spec.driver or "local"}
    return shown | {"Mode": spec.mode, "RW": not spec.read_only, "Propagation": spec.propagation}


def _graph_driver(around: Surroundings, record: Container) -> Document:
    if record.extension.rootfs:
        return {"Name": "overlay2", "Data": None}
    return {"Name": "overlay2", "Data": {"UpperDir": around.snapshots.upper(record.id)}}


def network_settings(around: Surroundings, record: Container) -> Document:
    """The NetworkSettings of an inspection."""
    mode = record.network_mode
    if mode.startswith("container:"):
        return {"SandboxID": "", "SandboxKey": "", "Ports": {}, "Networks": {}}
    endpoints = {} if record.config.network_disabled else record.endpoints
    shown = around.networks.settings_document(record.id, endpoints, tuple(record.config.exposed_ports))
    if record.running:
        shown["SandboxKey"] = f"/proc/{record.facts.pid}/ns/net"
    for name, settings in endpoints.items():
        place = shown["Networks"][name]
        place["IPAMConfig"] = document(settings.ipam_config) if settings.ipam_config else None
        place["Links"], place["Aliases"] = list(settings.links) or None, list(settings.aliases) or None
        place["DriverOpts"], place["GwPriority"] = dict(settings.driver_opts) or None, settings.gw_priority
        place["MacAddress"] = place["MacAddress"] or settings.mac_address
    return shown


KnownImages = dict[tuple[str, str], tuple[str, Document | None]]


def summary(around: Surroundings, record: Container, aliases: Sequence[str], known: KnownImages) -> Document:
    """The document of one container in GET /containers/json; `aliases` are its names by the links of others.

    `known` remembers name and manifest of the images of one listing: a thousand containers have few images.
    """
    key = record.config.image, record.image_id
    if key not in known:
        known[key] = _image_name(around, record), _manifest(around, record)
    name, manifest = known[key]
    settings = network_settings(around, record)
    return {
        "Id": record.id,
        "Names": [f"/{record.name}", *aliases],
        "Image": name or record.extension.rootfs,
        "ImageID": record.image_id,
        "ImageManifestDescriptor": manifest,
        "Command": " ".join(map(_quoted, record.command)),
        "Created": nanoseconds(record.created) // 1_000_000_000,
        "Ports": _ports(settings.get("Ports") or {}),
        "Labels": record.config.labels,
        "State": record.status,
        "Status": status_text(record),
        "HostConfig": {"NetworkMode": record.network_mode}
        | ({"Annotations": dict(record.host_config.annotations)} if record.host_config.annotations else {}),
        "NetworkSettings": {"Networks": settings.get("Networks", {})},
        "Mounts": mount_points(record),
        "Health": _health(record),
    }


def _manifest(around: Surroundings, record: Container) -> Document | None:
    """ImageManifestDescriptor; None where the image is gone, came without a manifest, or has lost it."""
    image = around.images.find(record.image_id)
    try:
        return manifest_descriptor(image, around.images.blobs.size) if image else None
    except NotFound:
        return None


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word or not word else word


def _image_name(around: Surroundings, record: Container) -> str:
    """The name asked for while it still means this image, else the id; "" for a container on a folder."""
    if not record.image_id:
        return ""
    try:
        same = record.image_id in {each.id for each in around.images.members(record.config.image)}
    except NakaginError:
        same = False
    return record.config.image if same else record.image_id


def _ports(mappings: Mapping[str, Sequence[Mapping[str, str]] | None]) -> list[Document]:
    found: list[Document] = []
    for spec, bindings in sorted(
        mappings.items(), key=lambda item: (int(item[0].partition("/")[0]), item[0])
    ):
        number, _, protocol = spec.partition("/")
        if not bindings:
            found.append({"PrivatePort": int(number), "Type": protocol})
        found += [
            {
                "IP": each["HostIp"],
                "PrivatePort": int(number),
                "PublicPort": int(each["HostPort"]),
                "Type": protocol,
            }
            for each in bindings or ()
        ]
    return found


def status_text(record: Container) -> str:
    """The STATUS column: "Up 5 minutes (healthy)", "Exited (0) 3 hours ago" …"""
    facts = record.facts
    match record.status:
        case "created":
            return "Created"
        case "removing":
            return "Removal In Progress"
        case "dead":
            return "Dead"
        case "restarting":
            return f"Restarting ({facts.exit_code}) {age(nanoseconds(facts.finished_at))} ago"
        case "exited":
            return f"Exited ({facts.exit_code}) {age(nanoseconds(facts.finished_at))} ago"
        case status:
            words = f"Up {age(nanoseconds(facts.started_at))}"
            if status == "paused":
                return f"{words} (Paused)"
            if facts.health is not None:
                shown = "health: starting" if facts.health.status == "starting" else facts.health.status
                return f"{words} ({shown})"
            return words


def age(since_ns: int) -> str:
    """How long ago, in the words of `docker ps`: "5 minutes"."""
    seconds = max(0, (time.time_ns() - since_ns) // 1_000_000_000)
    for limit, size, word in _AGES:
        if seconds < limit:
            return word if not size else f"{seconds // size} {word}"
    return f"{seconds // (365 * 86400)} years"


_AGES = (
    (1, 0, "Less than a second"), (2, 0, "1 second"), (60, 1, "seconds"), (120, 0, "About a minute"),
    (3600, 60, "minutes"), (7200, 0, "About an hour"), (48 * 3600, 3600, "hours"), (14 * 86400, 86400, "days"),
    (60 * 86400, 7 * 86400, "weeks"), (2 * 365 * 86400, 30 * 86400, "months"),
)  # fmt: skip
