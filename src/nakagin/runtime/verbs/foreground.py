"""Stand in front of a container's process: pass signals, relay the terminal, take the exit code."""

from __future__ import annotations

import fcntl
import os
import select

from nakagin.kernel import process, signals
from nakagin.kernel.signals import table

_NOT_PASSED = {table.SIGCHLD, table.SIGURG, table.SIGKILL, table.SIGSTOP, table.SIGWINCH}
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414


def attend(pidfd: int, terminal: int | None) -> int:
    """Wait for the child `pidfd`; signals sent to this process go to it. Its exit code, or 128 + signal.

    The caller held signals back (signals.hold_back) before the program began: one that comes early is
    then the program's, and does not end this process alone.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    old = table.set_wakeup_fd(writer)
    for number in range(1, table.NSIG):
        if number not in _NOT_PASSED or number == table.SIGWINCH:
            try:
                table.signal(number, _noticed)
            except (OSError, ValueError):
                pass  # signals 32 and 33 are the C library's own
    signals.release()
    saved = None
    try:
        if terminal is not None:
            saved = _enter_raw_mode()
            _copy_size(terminal)
        _relay(pidfd, reader, terminal)
        return process.wait_pidfd(pidfd)
    finally:
        if saved is not None:
            _leave_raw_mode(saved)
        table.set_wakeup_fd(old)
        os.close(reader)
        os.close(writer)


def _noticed(_number: int, _frame: object) -> None:
    """The number comes through the wakeup descriptor."""


def _relay(pidfd: int, notices: int, terminal: int | None) -> None:
    """Until the process has ended and its terminal is empty."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(notices, select.POLLIN)
    if terminal is not None:
        poller.register(terminal, select.POLLIN)
        poller.register(0, select.POLLIN)
    ended = False
    while not ended or terminal is not None:
        ready = poller.poll(0 if ended else None)
        if ended and not any(fd == terminal for fd, _ in ready):
            return
        for fd, _ in ready:
            if fd == pidfd:
                ended = True
                poller.unregister(pidfd)
            elif fd == notices:
                _pass_signals(os.read(notices, 64), pidfd, terminal)
            elif terminal is not None and not _copy(0 if fd == 0 else terminal, terminal if fd == 0 else 1):
                poller.unregister(fd)
                terminal = None if fd == terminal else terminal


def _copy(source: int, target: int) -> bool:
    """Copy what is there; False at the end."""
    try:
        data = os.read(source, 65536)
    except OSError:  # EIO: the last process closed the terminal
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return bool(data)


def _pass_signals(numbers: bytes, pidfd: int, terminal: int | None) -> None:
    for number in numbers:
        if number == table.SIGWINCH and terminal is not None:
            _copy_size(terminal)
        elif number not in _NOT_PASSED:
            try:
                process.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                pass


def _copy_size(terminal: int) -> None:
    try:
        fcntl.ioctl(terminal, _TIOCSWINSZ, fcntl.ioctl(0, _TIOCGWINSZ, b"\0" * 8))
    except OSError:
        pass  # the standard input is no terminal


def _enter_raw_mode() -> list[object] | None:
    """Every key goes to the container; the former settings, or None where there is no terminal."""
    import termios
    import tty

    try:
        saved = termios.tcgetattr(0)
        tty.setraw(0)
    except termios.error:
        return None
    return saved


def _leave_raw_mode(saved: list[object]) -> None:
    import termios

    termios.tcsetattr(0, termios.TCSADRAIN, saved)  # type: ignore[arg-type]
