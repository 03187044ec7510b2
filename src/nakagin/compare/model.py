"""The words of the comparison: what was measured on either side, and the table that it makes. Pure."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from nakagin.errors import Unavailable

_TRANSLATED = ", with the buffer of translated code that emulation needs"
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


class Told(NamedTuple):
    """What the program says about where it runs: the kernel's release and boot id, its namespaces by kind.

    `computing` are the seconds that its computation took there.
    """

    release: str
    boot: str
    namespaces: dict[str, str]
    computing: float = 0.0


class Side(NamedTuple):
    """One side: seconds of each start, bytes of what it starts from and of one running, processors of one idle.

    `disk` are the bytes that one running wrote to disk.
    """

    starts: tuple[float, ...]
    told: Told
    size: int
    memory: int
    cpu: float
    disk: int


class Comparison(NamedTuple):
    """Both sides, the host they ran on (its own words, its free memory), and how the machine was run."""

    container: Side
    machine: Side
    host: Told
    free: int
    accelerator: str
    reason: str
    guest_memory: int
    window: float


class Row(NamedTuple):
    """One line of the table. `ratio` is how many times the container is ahead; None where it can't be said."""

    name: str
    container: str
    machine: str
    ratio: float | None
    how: str


def told(text: str) -> Told:
    """From the program's lines "release 6.1", "boot ID", "ns net:[4026531840]", "computed 7.01 7.42" (by the clock).

    Unavailable where some are missing.
    """
    found: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    for line in text.replace("\r", "").splitlines():
        word, _, rest = line.partition(" ")
        if word in {"release", "boot", "computed"}:
            found[word] = rest
        elif word == "ns":
            namespaces[rest.partition(":")[0]] = rest
    if not {"release", "boot"} <= found.keys():
        raise Unavailable(f"the program did not say where it runs; it said: {text[-500:]!r}")
    begun, _, ended = found.get("computed", "0 0").partition(" ")
    return Told(found["release"], found["boot"], namespaces, float(ended) - float(begun))


def duration(seconds: float) -> str:
    """ "41 ms", "12.3 s"."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def size(amount: float) -> str:
    """ "1.9 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB"


def rows(found: Comparison) -> tuple[Row, ...]:
    """The table, in the order in which introductions show it."""
    ours, theirs = found.container, found.machine
    start, boot = median(ours.starts), median(theirs.starts)
    many, few = (found.free // max(side.memory, 1) for side in (ours, theirs))
    return (
        Row(
            "start to first answer", duration(start), duration(boot), _times(boot, start),
            f"median of {len(ours.starts)} (create, attach, start, first byte of output) and of {len(theirs.starts)} "
            "(QEMU's start to the first byte of the program on its console)",
        ),
        Row(
            "size", size(ours.size), size(theirs.size), _times(theirs.size, ours.size),
            "the image's layers; kernel and initramfs with the same files (a usual disk image is far larger)",
        ),
        Row(
            "memory of one", size(ours.memory), size(theirs.memory), _times(theirs.memory, ours.memory),
            "its cgroup without pages of files, what its monitor has for itself, 0.64 MiB of the kernel's own; what "
            f"QEMU has for itself, its guest given {found.guest_memory} MiB"
            f"{_TRANSLATED if found.accelerator == 'tcg' else ''}",
        ),
        Row(
            "CPU of one idle", f"{ours.cpu:.2%}", f"{theirs.cpu:.2%}", _times(theirs.cpu, ours.cpu),
            f"of one processor over {found.window:g} s: its cgroup and monitor; QEMU's threads",
        ),
        Row(
            "the same computation", duration(ours.told.computing), duration(theirs.told.computing),
            _times(theirs.told.computing, ours.told.computing),
            f"a shell counts, by the clock there; on this host itself {duration(found.host.computing)}",
        ),
        Row(
            "disk of one more", size(ours.disk), f"{size(theirs.disk)}: it has no disk", None,
            "what it wrote over its image; a usual machine has a disk image for itself alone",
        ),
        Row(
            "density", f"{many:,}", f"{few:,}", _times(many, few),
            f"how many of that memory go into the {size(found.free)} that are free (computed, not started)",
        ),
        Row(
            "kernel", _kernel(ours.told, found.host), _kernel(theirs.told, found.host), None,
            "uname -r inside; it is the host's where /proc/sys/kernel/random/boot_id is the same",
        ),
        Row(
            "own namespaces", _own(ours.told, found.host), "all: nothing of the host's kernel", None,
            "/proc/self/ns inside against this command's",
        ),
    )  # fmt: skip


def _times(slow: float, fast: float) -> float | None:
    return slow / fast if fast > 0 else None


def shares_kernel(inside: Told, host: Told) -> bool:
    """Whether both run on one kernel: a boot id is made anew at each boot."""
    return inside.boot == host.boot


def _kernel(inside: Told, host: Told) -> str:
    return f"{'shared' if shares_kernel(inside, host) else 'own'}: {inside.release}"


def own(inside: Told, host: Told) -> list[str]:
    """The kinds of namespaces that are not the host's."""
    return [kind for kind in KINDS if inside.namespaces.get(kind) != host.namespaces.get(kind)]


def _own(inside: Told, host: Told) -> str:
    separate = own(inside, host)
    shared = [kind for kind in KINDS if kind not in separate]
    return " ".join(separate) + (f"; shared: {' '.join(shared)}" if shared else "")
