"""How many requests an address may send: a bucket of tokens that fills up again, one for each address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

#: Addresses that are remembered; the one that was silent longest is forgotten first.
_MOST = 10_000


class Pace:
    """`per_minute` requests for each address, in bursts of as many."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._rate = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float | None = None) -> int:
        """Count a request; 0, or the seconds until the next one is welcome."""
        moment = time.monotonic() if now is None else now
        tokens, before = self._buckets.pop(address, (self._most, moment))
        tokens = min(self._most, tokens + (moment - before) * self._rate)
        wait = 0 if tokens >= 1 else math.ceil((1 - tokens) / self._rate)
        self._buckets[address] = (tokens if wait else tokens - 1, moment)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return wait
