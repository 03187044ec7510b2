"""Which containers are meant: the filters of listing and pruning, in Docker's words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nakagin.containers import request
from nakagin.containers.inspect import network_settings
from nakagin.containers.model import nanoseconds
from nakagin.errors import Invalid, NakaginError
from nakagin.spec.duration import parse_duration
from nakagin.spec.labels import has_labels

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.images.model import Image


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
        for value in self._filters.get("is-task", ()):
            if value.lower() not in {"true", "false", "1", "0"}:
                raise Invalid(f"invalid filter 'is-task={value}'", hint="true or false")
        for value in (*self._filters.get("publish", ()), *self._filters.get("expose", ())):
            _port_keys(value)  # so that what is no port is refused also where no container is asked for it
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
                own = self._around.images.resolve(record.image_id) if record.image_id else None
            except NakaginError:
                continue
            if own is not None and _is_built_upon(own, image):
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
        return record.network_mode in wanted or any(name in wanted for name in record.endpoints)

    def by_publish(self, record: Container, values: Sequence[str]) -> bool:
        """Whether one of these ports is published."""
        published = {
            key for key, bound in (network_settings(self._around, record).get("Ports") or {}).items() if bound
        }
        return any(port in published for value in values for port in _port_keys(value))


def prunable(shelf: Shelf, filters: Mapping[str, Sequence[str]]) -> list[Capsule]:
    """The stopped containers that POST /containers/prune means. Raises Invalid."""
    wanted = dict(filters)
    until = min((parse_moment(text) for text in wanted.pop("until", ())), default=None)
    labels, unlabelled = wanted.pop("label", ()), wanted.pop("label!", ())
    if wanted:
        raise Invalid(f"invalid filter '{next(iter(wanted))}'", hint="until, label or label!")
    return [
        capsule
        for capsule in shelf
        if (record := capsule.record).status in {"created", "exited", "dead"}
        and has_labels(record.config.labels, labels)
        and not any(has_labels(record.config.labels, [label]) for label in unlabelled)
        and (until is None or nanoseconds(record.created) < until)
    ]


def _is_built_upon(image: Image, base: Image) -> bool:
    """Whether it begins as `base`: by its layers, and by its history, as there are steps that add no layer."""
    layers, steps = len(base.diff_ids), len(base.history)
    same_layers = tuple(image.diff_ids[:layers]) == tuple(base.diff_ids)
    return layers > 0 and same_layers and tuple(image.history[:steps]) == tuple(base.history)


def _port_keys(text: str) -> list[str]:
    first, last, protocol = request.parse_port(text)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


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
    """Nanoseconds since the epoch of the filter `until`: a unix or RFC 3339 time, or "24h" ago. Raises Invalid."""
    if text.replace(".", "", 1).isdecimal():
        return int(float(text) * 1e9)
    try:
        return time.time_ns() - parse_duration(text)
    except Invalid:
        pass  # then it is a date
    try:
        return nanoseconds(text)
    except ValueError:
        raise Invalid(
            f"invalid time {text!r}", hint="a unix time, an RFC 3339 time, or a span such as 24h"
        ) from None
