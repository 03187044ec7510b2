"""Work that tells how it goes, as an answer that streams what it tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nakagin.api.answers import begin, encode
from nakagin.api.translate import message_of
from nakagin.errors import NakaginError
from nakagin.images.progress import failure
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiohttp import web

    from nakagin.api.call import Call


class ProgressStream:
    """The answer to one request. It begins with the first message, so that what fails before is an ordinary
    refusal with its own status; what fails later is the last message."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._told: list[bytes] = []
        self._news = asyncio.Event()
        self._response: web.StreamResponse | None = None

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message as soon as the client takes it."""
        self._told.append(encode(message))
        self._news.set()

    async def run(self, work: Coroutine[Any, Any, object]) -> web.StreamResponse:
        """Do the work and send what it tells. If the client goes away, the work is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._news.set())
        try:
            while not task.done():
                await self._news.wait()
                self._news.clear()
                await self._send()
            await self._finish(task)
        finally:
            await drop(task)
        response = self._response or await begin(self._call)
        await response.write_eof()
        return response

    async def _finish(self, task: asyncio.Task[object]) -> None:
        try:
            task.result()
        except (NakaginError, OSError) as error:
            if self._response is None and not self._told:
                raise
            self.tell(failure(message_of(error)))
        await self._send()

    async def _send(self) -> None:
        if not self._told:
            return
        if self._response is None:
            self._response = await begin(self._call)
        told, self._told = self._told, []
        await self._response.write(b"\r\n".join(told) + b"\r\n")
