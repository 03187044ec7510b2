"""The words of capacity: what a machine has, what one container takes, and how often that goes in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Amounts:
    """So much of each factor: processors, bytes of memory and disk, counts, bits per second."""

    cpu: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    network: float = 0.0
    pids: float = 0.0
    files: float = 0.0
    inotify: float = 0.0
    addresses: float = 0.0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in FACTORS})

    def times(self, factor: float) -> Amounts:
        """All of it so many times."""
        return Amounts(**{name: getattr(self, name) * factor for name in FACTORS})


FACTORS = tuple(field.name for field in fields(Amounts))


class Host(NamedTuple):
    """A machine: what it has and what of that is free. `unknown` are factors that it does not tell."""

    total: Amounts
    free: Amounts
    unknown: frozenset[str] = frozenset()


class Demand(NamedTuple):
    """What a copy takes, and where that is known from. Layers of its image are shared, so they count for nobody."""

    each: Amounts
    source: dict[str, str]


class Row(NamedTuple):
    """One factor of the answer: what there is, what a copy takes, how many copies that makes, and what to do."""

    factor: str
    total: float
    free: float
    each: float
    fits: int
    source: str
    advice: str


class Answer(NamedTuple):
    """How many fit, by which factor, and every factor's row, the scarcest first.

    `sharing` is how many fit where copies share processors and link, each of them slower; `ends` what ends that.
    """

    fits: int
    binding: str
    rows: tuple[Row, ...]
    sharing: int
    ends: str

    def headroom(self, row: Row) -> float:
        """The part of what is free of a factor that is still free when all copies run: 0 to 1."""
        return max(0.0, 1 - self.fits * row.each / row.free) if row.free > 0 else 0.0


# Of these each gets less when more want some; of the others there is some or there is none.
_DIVISIBLE = frozenset({"cpu", "network"})
ADVICE = {
    "cpu": "lower --cpus, or let copies share: an idle one takes none",
    "memory": "lower -m, or use a program that needs less; swap and zram only help idle copies",
    "disk": "share layers (same base image), write to volumes elsewhere, bound the logs (--log-opt max-size)",
    "network": "a faster link, or less traffic for each copy",
    "pids": "raise kernel.pid_max and kernel.threads-max, or let each copy have fewer threads",
    "files": "raise fs.file-max",
    "inotify": "raise fs.inotify.max_user_instances",
    "addresses": "a network with a larger --subnet, or several networks",
}


def answer(host: Host, demand: Demand) -> Answer:
    """Divide what is free by what a copy takes; the smallest quotient is the answer."""
    rows = []
    for factor in FACTORS:
        each = getattr(demand.each, factor)
        free = max(getattr(host.free, factor), 0.0)
        bounded = each > 0 and factor not in host.unknown
        fits = int(free / each + 1e-9) if bounded else UNLIMITED
        total, source = getattr(host.total, factor), demand.source.get(factor, "")
        rows.append(Row(factor, total, free, each, fits, source, ADVICE[factor]))
    rows.sort(key=lambda row: row.fits)
    scarce = rows[0]
    hard = next(row for row in rows if row.factor not in _DIVISIBLE)
    return Answer(scarce.fits, _named(scarce), tuple(rows), hard.fits, _named(hard))


def _named(row: Row) -> str:
    return row.factor if row.fits < UNLIMITED else ""


def bounded(host: Host, budget: dict[str, float]) -> Host:
    """The machine as if only so much of some factors were there to be used."""
    changes = {name: min(getattr(host.free, name), most) for name, most in budget.items()}
    free = Amounts(**{name: changes.get(name, getattr(host.free, name)) for name in FACTORS})
    return Host(host.total, free, host.unknown - budget.keys())
