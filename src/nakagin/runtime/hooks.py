"""Run hooks: programs that get the container's state as JSON on their standard input."""

from __future__ import annotations

import os
import select
import time

from nakagin.errors import StepFailed
from nakagin.kernel import process
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.spec.runtime import Hook, State

_SIGKILL = 9
_QUOTED = 2048


def run_hooks(kind: str, hooks: Sequence[Hook], state: State) -> None:
    """Run the hooks in order. Raises StepFailed at the first that fails or exceeds its timeout (seconds)."""
    if not hooks:
        return
    text = document.render(state).encode()
    for hook in hooks:
        _run(kind, hook, text)


def run_runtime_hooks(by_kind: dict[str, list[Hook]], described: State) -> None:
    """Those that run beside the container once its namespaces are made. Raises StepFailed."""
    for kind in ("prestart", "createRuntime"):
        run_hooks(kind, by_kind.get(kind, ()), described)


def run_all_hooks(kind: str, hooks: Sequence[Hook], state: State, warn: Callable[[str], None]) -> None:
    """Run every hook, whatever becomes of the others; a failure is a warning (poststop)."""
    for hook in hooks:
        try:
            run_hooks(kind, [hook], state)
        except StepFailed as error:
            warn(str(error))


def _run(kind: str, hook: Hook, state: bytes) -> None:
    step = f"run {kind} hook {hook['path']}"
    stdin, output = os.memfd_create("state"), os.memfd_create("output")
    try:
        os.write(stdin, state)
        os.lseek(stdin, 0, os.SEEK_SET)
        pid = _spawn(step, hook, stdin, output)
        code = _wait(step, pid, hook.get("timeout"))
        if code:
            said = os.pread(output, _QUOTED, max(0, os.fstat(output).st_size - _QUOTED))
            words = said.decode(errors="replace").strip()
            raise StepFailed(step, f"exit code {code}" + (f": {words}" if words else ""))
    finally:
        os.close(stdin)
        os.close(output)


def _spawn(step: str, hook: Hook, stdin: int, output: int) -> int:
    """Start the hook. A memory file as standard input cannot block and ends where the state ends."""
    environment = hook.get("env")
    variables = (
        dict(os.environ)
        if environment is None
        else {name: value for name, _, value in (each.partition("=") for each in environment)}
    )
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    argv = hook.get("args") or [hook["path"]]
    try:
        return os.posix_spawn(hook["path"], argv, variables, file_actions=actions, setsigmask=())
    except OSError as error:
        raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from None


def _wait(step: str, pid: int, timeout: int | None) -> int:
    """The exit code; a hook that takes longer than `timeout` seconds is killed."""
    pidfd = process.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poller.poll(left):
            process.pidfd_send_signal(pidfd, _SIGKILL)
            process.wait_pidfd(pidfd)
            raise StepFailed(step, f"it took longer than {timeout} seconds")
        return process.wait_pidfd(pidfd)
    finally:
        os.close(pidfd)
