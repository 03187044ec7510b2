"""A build's progress as BuildKit tells it: vertexes, logs, warnings."""

from __future__ import annotations

import hashlib
import time

from nakagin.api.buildkit.protobuf import encode, moment, present
from nakagin.build import progress

_BESIDE = 0
"""The number of what is no step."""


class Vertexes:
    """Turns events into StatusResponse messages. `name` tells the vertexes of several builds apart."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[int, tuple[str, int, bool]] = {}

    def tell(self, event: progress.Event) -> bytes | None:
        """The message for an event; None where there is nothing to say."""
        match event:
            case progress.Begun():
                place = " ".join(word for word in (event.stage, event.place) if word)
                title = f"[{place}] {event.text}" if place else event.text
                self._known[event.number] = (title, time.time_ns(), False)
                return self._vertex(event.number)
            case progress.Cached():
                title, started, _ = self._known[event.number]
                self._known[event.number] = (title, started, True)
                return self._vertex(event.number)
            case progress.Done():
                return self._vertex(event.number, completed=time.time_ns())
            case progress.Failed():
                return self._vertex(event.number, completed=time.time_ns(), error=event.message)
            case progress.Text():
                return present(3, self._log(event.number, event.stream, event.data))
            case progress.Warned():
                text = f"{event.rule}: {event.message}"
                return present(4, encode([(1, self._digest(1)), (2, 1), (3, text), (4, event.explanation)]))
            case progress.Said() | progress.Noted():
                text = (
                    event.text if isinstance(event, progress.Noted) else str(event.message.get("status", ""))
                )
                return self._beside(text) if text else None
        return None

    def _beside(self, text: str) -> bytes:
        """Words that belong to no step: they have a vertex of their own, which has always just ended."""
        self._known.setdefault(_BESIDE, ("[internal] builder", time.time_ns(), False))
        return self._vertex(_BESIDE, completed=time.time_ns()) + present(
            3, self._log(_BESIDE, 2, f"{text}\n".encode())
        )

    def _digest(self, number: int) -> str:
        return f"sha256:{hashlib.sha256(f'{self._name} {number}'.encode()).hexdigest()}"

    def _vertex(self, number: int, *, completed: int = 0, error: str = "") -> bytes:
        title, started, cached = self._known.get(number, ("", time.time_ns(), False))
        data = encode([(1, self._digest(number)), (3, title), (4, cached)]) + moment(5, started)
        if completed:
            data += moment(6, completed)
        return present(1, data + encode([(7, error)]))

    def _log(self, number: int, stream: int, text: bytes) -> bytes:
        return (
            encode([(1, self._digest(number))]) + moment(2, time.time_ns()) + encode([(3, stream), (4, text)])
        )
