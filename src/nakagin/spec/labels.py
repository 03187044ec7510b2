"""Labels as filters name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: The container label by which the engine starts a container on a schedule, and the one that names its time zone.
SCHEDULE = "nakagin.schedule"
SCHEDULE_ZONE = "nakagin.schedule.zone"


def has_labels(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether every one of "name" (with any value) and "name=value" is among `labels`."""
    for text in wanted:
        name, separator, value = text.partition("=")
        if name not in labels or (separator and labels[name] != value):
            return False
    return True
