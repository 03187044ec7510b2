"""Containers as documents: the whole one of inspect, the line of ps, and the filters of ps."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nakagin.containers import request
from nakagin.containers.launch import network_owner
from nakagin.containers.model import nanoseconds
from nakagin.errors import Invalid, NakaginError
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
        "AppArmorProfile": "",
        "ExecIDs": sorted(exec_ids) or None,
        "HostConfig": document(record.host_config),
        "GraphDriver": _graph_driver(around, record),
        "Mounts": [mount_point(spec) for spec in record.mounts],
        "Config": _config(record),
        "NetworkSettings": _network_settings(around, record),
    }


def _config(record: Container) -> Document:
    config = document(record.config)
    config["Hostname"] = config["Hostname"] or record.id[:12]
    return config


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


def mount_point(spec: MountSpec) -> Document:
    """One of the Mounts of an inspection or listing."""
    shown: Document = {"Type": spec.type}
    if spec.type == "volume":
        shown |= {"Name": spec.name}
    shown |= {"Source": spec.source, "Destination": spec.target}
    if spec.type == "volume":
        shown |= {"Driver": spec.driver or "local"}
    return shown | {"Mode": spec.mode, "RW": not spec.read_only, "Propagation": spec.propagation}


def _graph_driver(around: Surroundings, record: Container) -> Document:
    if record.extension.rootfs:
        return {"Name": "overlay2", "Data": None}
    return {"Name": "overlay2", "Data": {"UpperDir": around.snapshots.upper(record.id)}}


def _network_settings(around: Surroundings, record: Container) -> Document:
    mode = record.network_mode
    if mode.startswith("container:"):
        return {"SandboxID": "", "SandboxKey": "", "Ports": {}, "Networks": {}}
    shown = around.networks.settings_document(record.id, mode, tuple(record.config.exposed_ports))
    for name, settings in record.endpoints.items():
        if name in shown.get("Networks", {}):
            shown["Networks"][name]["Aliases"] = list(settings.aliases) or None
    return shown


def summary(around: Surroundings, record: Container) -> Document:
    """The document of one container in GET /containers/json."""
    settings = _network_settings(around, record)
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": _image_name(around, record),
        "ImageID": record.image_id,
        "Command": " ".join(map(_quoted, record.command)),
        "Created": nanoseconds(record.created) // 1_000_000_000,
        "Ports": _ports(settings.get("Ports") or {}),
        "Labels": record.config.labels,
        "State": record.status,
        "Status": status_text(record),
        "HostConfig": {"NetworkMode": record.network_mode}
        | ({"Annotations": dict(record.host_config.annotations)} if record.host_config.annotations else {}),
        "NetworkSettings": {"Networks": settings.get("Networks", {})},
        "Mounts": [mount_point(spec) for spec in record.mounts],
    }


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word or not word else word


def _image_name(around: Surroundings, record: Container) -> str:
    """The name asked for while it still means this image, else the id."""
    if not record.image_id:
        return record.extension.rootfs
    try:
        same = around.images.resolve(record.config.image).id == record.image_id
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
        for binding in bindings or ():
            found.append(
                {
                    "IP": binding["HostIp"],
                    "PrivatePort": int(number),
                    "PublicPort": int(binding["HostPort"]),
                    "Type": protocol,
                }
            )
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


# -- filters -----------------------------------------------------------------------------------------


class Selection:
    """The filters of GET /containers/json; `keep` says whether a container passes."""

    def __init__(
        self, shelf: Shelf, around: Surroundings, filters: Mapping[str, Sequence[str]] | None
    ) -> None:
        self._shelf = shelf
        self._around = around
        self._filters = {key: tuple(values) for key, values in (filters or {}).items() if values}
        for key in self._filters:
            if key not in _FILTERS:
                raise Invalid(f"invalid filter '{key}'", hint=f"known filters: {', '.join(sorted(_FILTERS))}")
        for value in self._filters.get("status", ()):
            if value not in _STATUSES:
                raise Invalid(f"invalid filter 'status={value}'", hint=f"one of {', '.join(_STATUSES)}")
        for value in self._filters.get("exited", ()):
            if not value.lstrip("-").isdecimal():
                raise Invalid(f"invalid filter 'exited={value}'")
        for value in self._filters.get("health", ()):
            if value not in {"none", "starting", "healthy", "unhealthy"}:
                raise Invalid(f"invalid filter 'health={value}'")
        bounds = {key: self._created(key) for key in ("before", "since") if key in self._filters}
        self._before, self._since = bounds.get("before"), bounds.get("since")

    def _created(self, key: str) -> int:
        return min(nanoseconds(self._shelf.find(value).record.created) for value in self._filters[key])

    @property
    def wants_stopped(self) -> bool:
        """Whether a filter also means containers that do not run (as `ps` without -a shows)."""
        return bool({"status", "exited"} & set(self._filters))

    def keep(self, record: Container) -> bool:
        """Whether it passes every filter."""
        created = nanoseconds(record.created) if self._before is not None or self._since is not None else 0
        if self._before is not None and created >= self._before:
            return False
        if self._since is not None and created <= self._since:
            return False
        return all(_FILTERS[key](self, record, values) for key, values in self._filters.items())

    def by_ancestor(self, record: Container, values: Sequence[str]) -> bool:
        """Whether it was made from one of these images, or from one that is built upon them."""
        for value in values:
            if value == record.config.image:
                return True
            try:
                image = self._around.images.resolve(value)
            except NakaginError:
                continue
            if image.id == record.image_id:
                return True
            try:
                own = self._around.images.resolve(record.image_id).diff_ids if record.image_id else ()
            except NakaginError:
                continue
            if image.diff_ids and tuple(own[: len(image.diff_ids)]) == tuple(image.diff_ids):
                return True
        return False

    def by_network(self, record: Container, values: Sequence[str]) -> bool:
        """Whether it is on one of these networks (name, id or id prefix)."""
        wanted = set(values)
        for value in values:
            try:
                wanted.add(self._around.networks.get(value).name)
            except NakaginError:
                continue
        return record.network_mode in wanted

    def by_publish(self, record: Container, values: Sequence[str]) -> bool:
        """Whether one of these ports is published."""
        published = {
            key
            for key, bound in (_network_settings(self._around, record).get("Ports") or {}).items()
            if bound
        }
        return any(port in published for value in values for port in _port_keys(value))


def _port_keys(text: str) -> list[str]:
    first, last, protocol = request.parse_port(text)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def has_labels(labels: Mapping[str, str], values: Sequence[str]) -> bool:
    """Whether all of "name" and "name=value" are among the labels."""
    for value in values:
        name, separator, wanted = value.partition("=")
        if name not in labels or (separator and labels[name] != wanted):
            return False
    return True


def _health(record: Container) -> str:
    return record.facts.health.status if record.facts.health else "none"


def _uses_volume(record: Container, values: Sequence[str]) -> bool:
    return any(
        value in {spec.name, spec.target, spec.source} for spec in record.mounts for value in values if value
    )


_STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")

_FILTERS: dict[str, Callable[[Selection, Container, Sequence[str]], bool]] = {
    "ancestor": Selection.by_ancestor,
    "before": lambda _, __, ___: True,
    "exited": lambda _, r, values: r.status == "exited" and str(r.facts.exit_code) in values,
    "expose": lambda _, r, values: any(
        p in r.config.exposed_ports for value in values for p in _port_keys(value)
    ),
    "health": lambda _, r, values: _health(r) in values,
    "id": lambda _, r, values: any(r.id.startswith(value) for value in values),
    "is-task": lambda _, __, values: all(value.lower() in {"false", "0"} for value in values),
    "isolation": lambda _, __, values: "default" in values,
    "label": lambda _, r, values: has_labels(r.config.labels, values),
    "name": lambda _, r, values: any(_name_matches(r.name, value) for value in values),
    "network": Selection.by_network,
    "publish": Selection.by_publish,
    "since": lambda _, __, ___: True,
    "status": lambda _, r, values: r.status in values,
    "volume": lambda _, r, values: _uses_volume(r, values),
}


def _name_matches(name: str, pattern: str) -> bool:
    try:
        return re.search(pattern, name) is not None or re.search(pattern, f"/{name}") is not None
    except re.error:
        return pattern in name


def parse_moment(text: str) -> int:
    """Nanoseconds since the epoch of the filter `until`: a unix time, an RFC 3339 time, or "24h" ago."""
    if text.replace(".", "", 1).isdecimal():
        return int(float(text) * 1e9)
    total, number = 0.0, ""
    sizes = {"h": 3600, "m": 60, "s": 1, "d": 86400}
    for letter in text:
        if letter.isdecimal() or letter == ".":
            number += letter
        elif letter in sizes and number:
            total += float(number) * sizes[letter]
            number = ""
        else:
            break
    else:
        if total and not number:
            return time.time_ns() - int(total * 1e9)
    try:
        return nanoseconds(text)
    except ValueError:
        raise Invalid(
            f"invalid time {text!r}", hint="a unix time, an RFC 3339 time, or a span such as 24h"
        ) from None
