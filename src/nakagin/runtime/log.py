"""The runtime's log: lines on standard error, and with --log in a file that containerd or conmon reads."""

from __future__ import annotations

import os
import time

from nakagin.spec import document


class Log:
    """Messages in logrus' two formats, as runc writes them, because callers parse them."""

    __slots__ = ("_debug", "_json", "_path")

    def __init__(self) -> None:
        self._path = ""
        self._json = False
        self._debug = False

    def open(self, path: str, form: str, debug: bool) -> None:
        """Write to `path` (empty: standard error) as "text" or "json"."""
        self._path = path
        self._json = form == "json"
        self._debug = debug

    def error(self, message: str) -> None:
        """The reason why the call failed; also on standard error when there is a file."""
        if self._path:
            os.write(2, f"{message}\n".encode())
        self._write("error", message)

    def warn(self, message: str) -> None:
        """Something that was asked for is not quite as asked."""
        self._write("warning", message)

    def debug(self, message: str) -> None:
        """What is being done; only with --debug."""
        if self._debug:
            self._write("debug", message)

    def _write(self, level: str, message: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._json:
            line = document.render({"level": level, "msg": message, "time": stamp})
        else:
            line = f'time="{stamp}" level={level} msg={document.render(message)}'
        fd = 2
        try:
            if self._path:
                fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(fd, f"{line}\n".encode())
        except OSError:
            pass  # a log that cannot be written must not stop the container
        finally:
            if fd != 2:
                os.close(fd)
