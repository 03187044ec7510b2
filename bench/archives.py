"""`load` and `save` of a Debian image, by docker's command line against each engine and by podman.

Everything lies on a file system of its own: ext4 is slow at making files where many were deleted a moment ago, and
then the figures would show the order of the peers rather than the peers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine

from bench import debian
from bench.measure import Row, in_turns, say

_SIZE = "16G"


def rows(rounds: int) -> list[Row]:
    """A row each for load and save; an image is removed again outside the measured time."""
    if shutil.which("podman") is None:
        say("no podman: it is left out")
    path = debian.archive()
    with place() as folder:
        peers = [
            ScratchEngine(parent=folder, log_level="info"),
            ScratchDockerd(parent=folder, log_level="info"),
        ]
        try:
            for peer in peers:
                peer.start()
            return _measured(peers, folder, path, max(2, rounds // 5))
        finally:
            for peer in peers:
                for line in peer.close():
                    say(f"{peer.name} left behind: {line}")


def _measured(peers: list[ScratchEngine], folder: str, path: str, rounds: int) -> list[Row]:
    commands: dict[str, Callable[..., None]] = {peer.name: docker(peer) for peer in peers}
    if shutil.which("podman"):
        commands["podman"] = podman(folder)
    load: dict[str, list[float]] = {name: [] for name in commands}
    work: dict[str, list[float]] = {peer.name: [] for peer in peers}
    save: dict[str, list[float]] = {name: [] for name in commands}
    out = os.path.join(folder, "saved.tar")
    for turn in range(rounds):
        for name, command in commands.items():
            if turn:
                command("rmi", debian.NAME)
            subprocess.run(["sync", "-f", folder], check=True)
            before = {peer.name: processor_time(peer) for peer in peers}
            load[name] += _timed(command, "load", "-q", "-i", path)
            for peer in peers:
                if peer.name == name:
                    work[name].append(processor_time(peer) - before[name])
            save[name] += _timed(command, "save", "-o", out, debian.NAME)
            os.unlink(out)
    return [
        Row("docker load, Debian 300 MB", "ms", load, target=1 / 1.5),
        Row("processor time of that load", "ms", work, target=1 / 1.5),
        Row("docker save, Debian 300 MB", "ms", save, target=1 / 1.5),
    ]


def _timed(command: Callable[..., None], *words: str) -> list[float]:
    return in_turns({"": partial(command, *words)}, 1, warm=0)[""]


def processor_time(peer: ScratchEngine) -> float:
    """Milliseconds that a peer's processes, and those that they waited for, have computed (proc_pid_stat(5))."""
    ticks = 0
    for pid in peer.processes():
        with suppress(OSError), open(f"/proc/{pid}/stat") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def docker(peer: ScratchEngine) -> Callable[..., None]:
    """docker's command line against a peer, as a function of its words."""

    def run(*words: str) -> None:
        peer.docker(*words, timeout=300)

    return run


def podman(folder: str) -> Callable[..., None]:
    """podman with a store below the folder, as a function of its words."""
    flags = ["--root", f"{folder}/p/r", "--runroot", f"{folder}/p/x", "--tmpdir", f"{folder}/p/t",
             "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]  # fmt: skip

    def run(*words: str) -> None:
        subprocess.run(["podman", *flags, *words], check=True, capture_output=True, timeout=300)

    return run


@contextmanager
def place() -> Iterator[str]:
    """A fresh ext4 in a file; the bench's own mount namespace has it alone."""
    folder = tempfile.mkdtemp(prefix="nkb-", dir="/var/tmp")
    disk = f"{folder}.img"
    try:
        subprocess.run(["truncate", "-s", _SIZE, disk], check=True)
        subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        subprocess.run(["mount", "-o", "loop", disk, folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)
        os.unlink(disk)
        os.rmdir(folder)
