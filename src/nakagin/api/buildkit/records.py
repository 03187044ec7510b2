"""What the build cache and the chronicle have, as BuildKit's messages. Pure.

UsageRecord, BuildHistoryRecord: api/services/control/control.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.api.buildkit.http2 import UNKNOWN
from nakagin.api.buildkit.protobuf import encode, entries, moment, present
from nakagin.images.model import moment as moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.build.chronicle import Told
    from nakagin.build.cleanup import Stored

_STARTED, _COMPLETE = 0, 1


def usage_record(thing: Stored) -> bytes:
    """A thing in the cache."""
    fields = encode([(1, thing.id), (3, thing.in_use), (4, thing.size)])
    times = _time(6, thing.created) + _time(7, thing.used)
    rest: list[tuple[int, int | str]] = [
        (8, thing.uses),
        (9, thing.description),
        (10, thing.type),
        (11, thing.shared),
    ]
    return fields + times + encode(rest)


def _time(number: int, text: str) -> bytes:
    return moment(number, int(moment_of(text).timestamp() * 1e9)) if text else b""


def filters_of(texts: Iterable[str], *, unused_for: int = 0) -> dict[str, list[str]]:
    """containerd's filters (`type==regular`, `id~=…`) as ours; `unused_for` in nanoseconds."""
    found: dict[str, list[str]] = {}
    for text in texts:
        for part in text.split(","):
            name, _, value = part.partition("==" if "==" in part else "~=" if "~=" in part else "=")
            found.setdefault(name.strip().lower(), []).append(value.strip() or "true")
    if unused_for:
        found["unused-for"] = [f"{unused_for // 10**9}s"]
    return found


def history_event(told: Told) -> bytes:
    """A build, begun or over."""
    running = told.state == "running"
    record = encode([(1, told.id), (2, "dockerfile.v0")]) + entries(3, told.attributes)
    if told.state in ("failed", "canceled"):
        code, words = (1, "context canceled") if told.state == "canceled" else (UNKNOWN, told.error)
        record += present(5, encode([(1, code), (2, words)]))
    record += moment(6, int(told.began * 1e9))
    if not running:
        record += moment(7, int((told.began + told.seconds) * 1e9))
    record += encode([(15, told.cached), (16, told.steps), (17, told.ended), (19, told.warnings)])
    return encode([(1, _STARTED if running else _COMPLETE)]) + present(2, record)
