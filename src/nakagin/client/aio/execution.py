"""Made by tools/async-client from client/execution.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import execution as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nakagin.client.session import Document


class Input(Facade[sync.Input]):
    """The command's stdin; closing it is its end of file."""

    async def write(self, data: bytes) -> int:
        """All of `data`; BrokenPipeError when the command reads no more."""
        found: int = await self._call(self._sync.write, data)
        return found

    async def close(self) -> None:
        """End of file."""
        await self._call(self._sync.close)


class Output(Facade[sync.Output]):
    """The command's stdout or stderr. What it writes to the other one meanwhile is kept for that one."""

    async def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end; all of it for -1."""
        found: bytes = await self._call(self._sync.read, size)
        return found

    async def readline(self) -> bytes:
        """A line with its end, b"" at the end of the output."""
        found: bytes = await self._call(self._sync.readline)
        return found

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate(self._sync.__iter__)


class Execution(Facade[sync.Execution]):
    """A started command, like subprocess.Popen: `stdin`, `stdout`, `stderr`, `communicate`, `wait`, `poll`, `kill`.

    With a terminal everything is on stdout. A connection that is lost is an error (Unavailable), never an end.
    """

    @property
    def id(self) -> str:

        found: str = self._faced(self._sync.id)
        return found

    @property
    def args(self) -> list[str]:

        found: list[str] = self._faced(self._sync.args)
        return found

    @property
    def returncode(self) -> int | None:

        found: int | None = self._faced(self._sync.returncode)
        return found

    @property
    def stdin(self) -> Input | None:

        found: Input | None = self._faced(self._sync.stdin)
        return found

    @property
    def stdout(self) -> Output:

        found: Output = self._faced(self._sync.stdout)
        return found

    @property
    def stderr(self) -> Output:

        found: Output = self._faced(self._sync.stderr)
        return found

    async def inspect(self) -> Document:
        """The engine's account of it: Running, ExitCode, Pid …"""
        found: Document = await self._call(self._sync.inspect)
        return found

    async def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        found: int | None = await self._call(self._sync.poll)
        return found

    async def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Send `data`, end stdin, collect (stdout, stderr) to the end and set `returncode`.

        TimeoutExpired after so many seconds; call it again (without data) to go on.
        """
        found: tuple[bytes, bytes] = await self._call(self._sync.communicate, data, timeout)
        return found

    async def wait(self, timeout: float | None = None) -> int:
        """Let it end, keeping its output for `stdout` and `stderr`; its stdin ends. The exit code. TimeoutExpired."""
        found: int = await self._call(self._sync.wait, timeout)
        return found

    async def send_signal(self, signal: int | str) -> None:
        """Send it a signal (Nakagin only); no error when it has ended."""
        await self._call(self._sync.send_signal, signal)

    async def kill(self) -> None:
        """End it by SIGKILL (Nakagin only)."""
        await self._call(self._sync.kill)

    async def terminate(self) -> None:
        """Ask it to end by SIGTERM (Nakagin only)."""
        await self._call(self._sync.terminate)

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        await self._call(self._sync.resize, rows, columns)

    async def close(self) -> None:
        """Close the stream; the command runs on."""
        await self._call(self._sync.close)
