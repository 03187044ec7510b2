"""What the registry counts of itself, in Prometheus' text form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nakagin.spec.exposition import Histogram, family, sample

#: Upper bounds of the buckets of durations, in seconds.
_BOUNDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)


class Metrics:
    """The counters of one registry."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.sent = 0
        self.received = 0
        self.under_way = 0
        self.collections = 0
        self.collected_blobs = 0
        self.collected_bytes = 0
        self.upstream: Counter[str] = Counter()
        self._durations = Histogram(_BOUNDS)

    def request(self, method: str, kind: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests[method, kind, status] += 1
        self._durations.observe(seconds)

    def text(self, uploads: int) -> str:
        """All of it; `uploads` are the unfinished ones."""
        return "\n".join(self._lines(uploads)) + "\n"

    def _lines(self, uploads: int) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests by method, endpoint and status.")
        for (method, kind, status), count in sorted(self.requests.items()):
            labels = {"method": method, "endpoint": kind, "status": str(status)}
            yield sample("nakagin_registry_requests_total", count, labels)
        words = "Time from a request's head to its answer's end."
        yield from _head("request_duration_seconds", "histogram", words)
        yield from self._durations.samples("nakagin_registry_request_duration_seconds")
        for name, kind, words, value in (
            ("requests_under_way", "gauge", "Requests that are not answered yet.", self.under_way),
            ("sent_bytes_total", "counter", "Bytes of answers' bodies.", self.sent),
            ("received_bytes_total", "counter", "Bytes of requests' bodies.", self.received),
            ("uploads", "gauge", "Unfinished uploads.", uploads),
            ("collections_total", "counter", "Garbage collections.", self.collections),
            (
                "collected_blobs_total",
                "counter",
                "Blobs deleted by garbage collections.",
                self.collected_blobs,
            ),
            ("collected_bytes_total", "counter", "Bytes freed by garbage collections.", self.collected_bytes),
        ):
            yield from _head(name, kind, words)
            yield sample(f"nakagin_registry_{name}", value)
        if self.upstream:
            yield from _head(
                "upstream_total", "counter", "What was asked of upstream registries, by outcome."
            )
            for outcome, count in sorted(self.upstream.items()):
                yield sample("nakagin_registry_upstream_total", count, {"outcome": outcome})


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return family(f"nakagin_registry_{name}", kind, words)
