"""Keys while `up` shows its output on a terminal: leave the services running, or begin to watch their files."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
from collections.abc import Callable, Iterator, Mapping

from nakagin.cli.terminal import is_terminal


@contextlib.contextmanager
def keys(deeds: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """While entered, each of these keys does its deed, in a thread of its own; Ctrl-C goes on as ever.

    Where standard input is no terminal, nothing happens.
    """
    if not is_terminal(0):
        yield
        return
    saved = termios.tcgetattr(0)
    single = termios.tcgetattr(0)
    single[3] &= ~(termios.ICANON | termios.ECHO)
    over, leaving = os.pipe()

    def read() -> None:
        while True:
            ready, _, _ = select.select([0, over], [], [])
            if over in ready:
                return
            typed = os.read(0, 1).decode("ascii", "replace")
            if not typed:
                return
            if deed := deeds.get(typed):
                deed()

    reader = threading.Thread(target=read, daemon=True)
    termios.tcsetattr(0, termios.TCSANOW, single)
    try:
        reader.start()
        yield
    finally:
        os.write(leaving, b"x")
        reader.join(5)
        os.close(over)
        os.close(leaving)
        with contextlib.suppress(termios.error):  # the terminal itself is gone
            termios.tcsetattr(0, termios.TCSANOW, saved)
