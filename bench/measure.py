"""Samples, taken in turns so that a change of the machine's mood meets all peers alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Row:
    """One measured thing: samples per peer. `target` bounds ours / reference, or ours alone (`absolute`)."""

    name: str
    unit: str
    samples: Mapping[str, list[float]]
    reference: str = "dockerd"
    target: float | None = None
    absolute: bool = False
    higher_is_better: bool = False
    notes: list[str] = field(default_factory=list)

    def median(self, peer: str) -> float | None:
        """The median of a peer's samples, None where it has none."""
        return statistics.median(self.samples[peer]) if self.samples.get(peer) else None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the reference."""
        ours, theirs = self.median("nakagin"), self.median(self.reference)
        return ours / theirs if ours is not None and theirs else None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target or a figure."""
        figure = self.median("nakagin") if self.absolute else self.ratio
        if figure is None or self.target is None:
            return None
        return figure >= self.target if self.higher_is_better else figure <= self.target

    def document(self) -> dict[str, object]:
        """For the JSON file."""
        medians = {peer: self.median(peer) for peer in self.samples}
        return {**asdict(self), "medians": medians, "ratio": self.ratio, "reached": self.reached}


#: Seconds before each deed: what an engine still does after its answer is not charged to the next one's peer.
_PAUSE = 0.02


def in_turns(deeds: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1) -> dict[str, list[float]]:
    """Milliseconds of each deed, `rounds` times in turns after `warm` unmeasured ones."""
    samples: dict[str, list[float]] = {peer: [] for peer in deeds}
    for number in range(warm + rounds):
        for peer, deed in deeds.items():
            time.sleep(_PAUSE)
            begun = time.perf_counter()
            deed()
            elapsed = (time.perf_counter() - begun) * 1000
            if number >= warm:
                samples[peer].append(elapsed)
    return samples


def say(text: str) -> None:
    """Progress, beside the result."""
    print(text, file=sys.stderr, flush=True)
