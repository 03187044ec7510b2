"""A virtual machine that runs one program from memory: QEMU as a child, its console a pipe."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time

from nakagin.compare.program import ANSWER, PATH, TOLD
from nakagin.errors import Unavailable
from nakagin.kernel.process import set_parent_death_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

# Without acceleration and on a busy machine a boot takes most of a minute.
_PATIENCE = 240.0
# A machine that KVM runs has answered long before.
_KVM_PATIENCE = 10.0
_ENDING = 5.0
_HINT = "is the kernel one for x86-64 with a serial console? --kernel names another"


class Machine:
    """It boots while entered; afterwards there is no process of it."""

    def __init__(self, qemu: str, kernel: str, initramfs: str, accelerator: str, memory: int) -> None:
        self._command = [
            qemu, "-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max", "-smp", "1",
            "-m", str(memory), "-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot",
            "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 quiet panic=-1 rdinit={PATH}",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self.console = b""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        # A session of its own: Ctrl-C is for us, and we end it.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_us,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        process.terminate()
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._running().pid

    def answered(self, patience: float = _PATIENCE) -> float:
        """Seconds from QEMU's start to the program's first answer; Unavailable."""
        self._await(ANSWER, patience)
        return time.monotonic() - self._began

    def told(self) -> str:
        """All that the program says; Unavailable."""
        self._await(TOLD, _PATIENCE)
        return self.console.decode(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the machine was not entered")
        return self._process

    def _await(self, words: bytes, patience: float) -> None:
        out = self._running().stdout
        if out is None:
            raise RuntimeError("the console is no pipe")
        deadline = self._began + patience
        while words not in self.console:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise Unavailable(
                    f"the virtual machine did not answer within {patience:g} seconds{self._said()}",
                    hint=_HINT,
                )
            piece = os.read(out.fileno(), 65536)
            if not piece:
                raise Unavailable(
                    f"QEMU ended with exit code {self._running().wait()}{self._said()}", hint=_HINT
                )
            self.console += piece

    def _said(self) -> str:
        words = self.console.decode(errors="replace").strip()
        return f"; it said: {words[-500:]}" if words else ""


def _end_with_us() -> None:
    """In the child: should we be killed, nobody else would end the machine."""
    set_parent_death_signal(signal.SIGKILL)


def accelerator(qemu: str, kernel: str, initramfs: str, memory: int) -> tuple[str, str]:
    """("kvm" or "tcg", why): KVM where a machine that it runs answers, which /dev/kvm alone does not prove."""
    if not os.path.exists("/dev/kvm"):
        return "tcg", "emulated (TCG): there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg", "emulated (TCG): this user may not use /dev/kvm"
    try:
        with Machine(qemu, kernel, initramfs, "kvm", memory) as machine:
            machine.answered(_KVM_PATIENCE)
    except Unavailable as error:
        silent = "did not answer" in error.message
        cause = f"booted nothing in {_KVM_PATIENCE:g} seconds" if silent else "refused"
        return "tcg", f"emulated (TCG): KVM is there but {cause}"
    return "kvm", "accelerated by KVM"
