"""`pull`, `push` and a second `pull` of a Debian image, from and to a local docker-registry: every engine and podman.

The same image, the same registry program, in turns. What a pull needs to be a pull again (removing the image) and a
push a push (a registry that has nothing yet) happens outside the measured time.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine
from tests.transfer.peers import LocalRegistry

from bench import archives, debian
from bench.measure import Row, in_turns, say
from bench.memory import megabytes

_LARGE = 1 << 30
Command = Callable[..., None]


def rows(rounds: int) -> list[Row]:
    """Pull, pull again, push; and the memory that one layer of a gigabyte takes."""
    archive = debian.archive()
    with archives.place() as folder, LocalRegistry() as registry:
        peers = [
            ScratchEngine(parent=folder, log_level="info"),
            ScratchDockerd(parent=folder, log_level="info"),
        ]
        try:
            for peer in peers:
                peer.start()
            commands: dict[str, Command] = {peer.name: archives.docker(peer) for peer in peers}
            commands["podman"] = _trusting(archives.podman(folder))
            found = _transfers(commands, peers, folder, registry, archive, max(2, rounds // 5))
            found.append(_memory(peers, registry, folder))
        finally:
            for peer in peers:
                for line in peer.close():
                    say(f"{peer.name} left behind: {line}")
    return found


def _trusting(podman: Command) -> Command:
    """podman asks for TLS on loopback too."""

    def run(verb: str, *words: str) -> None:
        podman(verb, *(["--tls-verify=false"] if verb in ("pull", "push") else []), *words)

    return run


def _transfers(
    commands: dict[str, Command],
    peers: list[ScratchEngine],
    folder: str,
    registry: LocalRegistry,
    archive: str,
    rounds: int,
) -> list[Row]:
    ours = peers[0]
    name = f"{registry.host}/debian:1"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{name}"],
        check=True, timeout=300,
    )  # fmt: skip
    pull: dict[str, list[float]] = {peer: [] for peer in commands}
    work: dict[str, list[float]] = {peer.name: [] for peer in peers}
    push: dict[str, list[float]] = {peer: [] for peer in commands}
    for turn in range(rounds + 1):
        for peer, command in commands.items():
            subprocess.run(["sync", "-f", folder], check=True)
            before = {each.name: archives.processor_time(each) for each in peers}
            taken = in_turns({peer: partial(command, "pull", "-q", name)}, 1, warm=0)[peer]
            for each in peers:
                if each.name == peer:
                    work[peer].append(archives.processor_time(each) - before[peer])
            if turn < rounds:
                command("rmi", name)
                pull[peer] += taken
        if turn == rounds:
            again = in_turns(
                {peer: partial(c, "pull", "-q", name) for peer, c in commands.items()}, rounds * 5
            )
            words = {ours.name: lambda: ours.nakagin("pull", "-q", name)}
            own = in_turns(words, rounds * 5)
    for command in commands.values():
        command("rmi", name)
    for _ in range(rounds):
        for peer, command in commands.items():
            push[peer].append(_push(command, archive))
    return [
        Row("docker pull, Debian 300 MB", "ms", pull, target=1 / 2),
        Row("processor time of that pull", "ms", work, target=1 / 2),
        Row("docker push, Debian 300 MB", "ms", push, target=1 / 2),
        Row("docker pull, image present", "ms", again, target=50, absolute=True),
        Row("nakagin pull, image present", "ms", own, target=50, absolute=True),
    ]


def _push(command: Command, archive: str) -> float:
    """Milliseconds to bring a just loaded image to a registry that has nothing yet."""
    command("load", "-q", "-i", archive)
    with LocalRegistry() as target:
        name = f"{target.host}/debian:1"
        command("tag", debian.NAME, name)
        (taken,) = in_turns({"": lambda: command("push", "-q", name)}, 1, warm=0)[""]
        command("rmi", name)
    command("rmi", debian.NAME)
    return taken


def _memory(peers: list[ScratchEngine], registry: LocalRegistry, folder: str) -> Row:
    """The most that an engine's processes have while they pull one layer of a gigabyte."""
    name = f"{registry.host}/large:1"
    path = os.path.join(folder, "large.tar")
    with open(f"{path}.data", "wb") as file:
        file.writelines(secrets.token_bytes(1 << 20) for _ in range(_LARGE >> 20))
    with tarfile.open(path, "w") as tar:
        tar.add(f"{path}.data", "data")
    os.unlink(f"{path}.data")
    peers[0].docker("import", path, name, timeout=300)
    os.unlink(path)
    peers[0].docker("push", "-q", name, timeout=300)
    peers[0].docker("rmi", name)
    samples: dict[str, list[float]] = {}
    for peer in peers:
        with _peak(peer) as seen:
            peer.docker("pull", "-q", name, timeout=300)
        samples[peer.name] = [max(seen)]
        peer.docker("rmi", name)
    return Row("memory while pulling a layer of 1 GB", "MB", samples, target=150, absolute=True)


@contextmanager
def _peak(peer: ScratchEngine) -> Iterator[list[float]]:
    """Megabytes of a peer's processes, looked at twenty times a second."""
    seen = [megabytes(peer)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(megabytes(peer))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
