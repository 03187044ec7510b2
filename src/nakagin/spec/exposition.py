"""Prometheus' text form (its "Exposition formats", version 0.0.4): families of samples, and histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Durations, counted by the upper bounds of buckets, in seconds."""

    __slots__ = ("_bounds", "_buckets", "_seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._buckets = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self._buckets[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def samples(self, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """Its lines below `family`'s: buckets, sum and count."""
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._buckets, strict=True):
            total += count
            yield sample(f"{name}_bucket", total, {**(labels or {}), "le": bound})
        yield sample(f"{name}_sum", round(self._seconds, 6), labels)
        yield sample(f"{name}_count", total, labels)


def family(name: str, kind: str, words: str) -> tuple[str, str]:
    """The lines above the samples of a name; `kind` is "counter", "gauge" or "histogram"."""
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"


def sample(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    """One line."""
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in (labels or {}).items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
