"""The deed: containers over the client, machines with QEMU, and a look at what one of each takes while it idles."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from contextlib import contextmanager

from nakagin.capacity.measure import demand
from nakagin.compare import kernel as kernels
from nakagin.compare import program
from nakagin.compare.machine import Machine, accelerator
from nakagin.compare.model import KINDS, Comparison, Side, Told, shares_kernel, told
from nakagin.errors import Unavailable, Unsupported
from nakagin.kernel.usage import private_set, processor_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nakagin.client import Client
    from nakagin.client.containers import Container

_PATIENCE = 60.0


def compare(
    client: Client,
    *,
    runs: int,
    boots: int,
    window: float,
    memory: int,
    kernel: str,
    tell: Callable[[str], None],
) -> Comparison:
    """Measure both sides, `runs` containers and `boots` machines of `memory` MiB; nothing of them stays.

    Unsupported says what is missing on this machine, Unavailable what did not answer.
    """
    qemu = kernels.emulator()
    image = kernel or kernels.kernel()
    if not os.access(image, os.R_OK):
        raise Unsupported(f"{image} cannot be read", hint="--kernel names another kernel")
    binary = program.busybox()
    host = _here()
    tell(f"{runs} containers")
    ours = _containers(client, binary, runs, window, host)
    with tempfile.TemporaryDirectory(prefix="nakagin-compare-") as folder:
        initramfs = os.path.join(folder, "initramfs")
        with open(initramfs, "wb") as file:
            file.write(program.as_initramfs(binary))
        tell("does KVM work?")
        how, reason = accelerator(qemu, image, initramfs, memory)

        def machine() -> Machine:
            return Machine(qemu, image, initramfs, how, memory)

        size = os.path.getsize(image) + os.path.getsize(initramfs)
        theirs = _machines(machine, boots, window, size, tell)
    free = client.resources()["Memory"]["Free"]
    return Comparison(ours, theirs, host, free, how, reason, memory, window)


def _here() -> Told:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    namespaces = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}
    done = subprocess.run(
        [program.installed(), "sh", "-c", program.COMPUTATION], capture_output=True, text=True, check=False
    )
    return told(f"release {os.uname().release}\nboot {boot}\n{done.stdout}")._replace(namespaces=namespaces)


def _containers(client: Client, binary: bytes, runs: int, window: float, host: Told) -> Side:
    # The lease takes the containers away even where this process is killed.
    with _image(client, binary) as (name, size), client.lease():
        starts = []
        for _ in range(runs - 1):
            with _container(client, name) as (_, seconds, _said):
                starts.append(seconds)
        with _container(client, name) as (container, seconds, said):
            starts.append(seconds)
            inside = told(said)
            if not shares_kernel(inside, host):
                raise Unsupported(
                    "the engine runs on another machine, so there is nothing to compare with",
                    hint="run the command where the engine is",
                )
            monitor = container.explain()["Monitor"]
            before, began = processor_seconds(monitor), time.monotonic()
            taken = demand(container, window)
            disk = int(taken.each.disk)
            watched = (processor_seconds(monitor) - before) / (time.monotonic() - began)
        return Side(tuple(starts), inside, size, int(taken.each.memory), taken.each.cpu + watched, disk)


@contextmanager
def _image(client: Client, binary: bytes) -> Iterator[tuple[str, int]]:
    """(name, bytes of its layers) of an image with the program, while entered."""
    name = f"nakagin-compare:{secrets.token_hex(4)}"
    for _ in client.images.import_(program.as_layer(binary), name):
        pass
    try:
        yield name, int(client.images.get(name)["Size"])
    finally:
        client.images.remove(name, force=True)


@contextmanager
def _container(client: Client, image: str) -> Iterator[tuple[Container, float, str]]:
    """(container, seconds to its first answer, all that it said) while it runs."""
    began = time.monotonic()
    container = client.containers.create(image, [program.PATH], network="none")
    try:
        said, seconds = b"", 0.0
        with container.attach(tty=False) as stream:
            stream.settimeout(_PATIENCE)
            container.start()
            for _, piece in stream:
                said += piece
                if not seconds and program.ANSWER in said:
                    seconds = time.monotonic() - began
                if program.TOLD in said:
                    break
            else:
                raise Unavailable(f"the container ended early; it said: {said[-500:]!r}")
        yield container, seconds, said.decode(errors="replace")
    finally:
        container.remove(force=True, volumes=True)


def _machines(
    machine: Callable[[], Machine], boots: int, window: float, size: int, tell: Callable[[str], None]
) -> Side:
    starts = []
    for number in range(boots - 1):
        tell(f"virtual machine {number + 1} of {boots}")
        with machine() as running:
            starts.append(running.answered())
    tell(f"virtual machine {boots} of {boots}")
    with machine() as running:
        starts.append(running.answered())
        inside = told(running.told())
        before, began = processor_seconds(running.pid), time.monotonic()
        time.sleep(window)
        cpu = (processor_seconds(running.pid) - before) / (time.monotonic() - began)
        memory = private_set(running.pid)
    return Side(tuple(starts), inside, size, memory, cpu, 0)
