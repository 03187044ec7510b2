"""Uploading a blob: mounted from another repository, in one request, or in chunks; goes on after an interruption.

    POST uploads/?mount=…&from=… ──201──► mounted
         └──202 Location──► PUT ?digest=…  (all bytes)                          ──201──► there
                        └─► PATCH (chunk) ──202──► PATCH … ──► PUT ?digest=…    ──201──► there
    broken in the middle: GET Location ──204 Range──► PATCH from there on

Distribution specification, "Pushing blobs".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from nakagin.errors import Invalid, NakaginError, NotFound, Unavailable
from nakagin.registry.transport import Interrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from nakagin.registry.transport import Answer, Transport

    Body = Callable[[int, int], AsyncIterable[bytes]]
    """(offset, length) → those bytes of the blob, in pieces."""

_COMMIT = 600.0  # a registry may need to look at all bytes again before it answers the last request
_CHUNK = 32 << 20


class Mounted(enum.Enum):
    """Whether a blob was taken over from another repository."""

    YES = enum.auto()


class Uploads:
    """The uploads to one endpoint."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def begin(self, repository: str, digest: str, source: str = "") -> Mounted | str:
        """Mount from `source`, or the location for an upload."""
        query = "?" + urlencode({"mount": digest, "from": source}) if source else ""
        path = f"/v2/{quote(repository, safe='/')}/blobs/uploads/{query}"
        scopes = [f"repository:{repository}:pull,push"]
        if source:
            scopes.append(f"repository:{source}:pull")
        async with self._transport.request("POST", path, f"blob {digest}", scopes=scopes, body=b"") as answer:
            if answer.status == 201:
                return Mounted.YES
            self._chunk_minimum = _number(answer.headers.get("OCI-Chunk-Min-Length"))
            return self._transport.locate(answer)

    async def upload(
        self, repository: str, digest: str, size: int, body: Body, *, chunk: int = 0, location: str = ""
    ) -> None:
        """Bring all bytes over; `location` is that of an upload begun before. Raises as Registry."""
        what, scopes = f"blob {digest}", (f"repository:{repository}:pull,push",)
        if not location:
            begun = await self.begin(repository, digest)
            if begun is Mounted.YES:
                return
            location = str(begun)
        one = _Upload(self._transport, what, scopes, digest, size, body, location)
        one.chunk = max(chunk, self._chunk_minimum) if chunk else 0
        failures = 0
        while True:
            before = one.offset
            try:
                await one.go_on()
                return
            except Interrupted:
                failures = failures + 1 if one.offset == before else 1
                if failures >= self._transport.patience.attempts:
                    raise
            except Invalid:
                # "too large" of something before the registry: smaller requests pass.
                if one.chunk or one.offset or size <= _CHUNK:
                    raise
                one.chunk = max(_CHUNK, self._chunk_minimum)
            if not await one.recover():
                one.restart(await self._again(repository, digest))

    async def _again(self, repository: str, digest: str) -> str:
        begun = await self.begin(repository, digest)
        if begun is Mounted.YES:
            raise Unavailable(f"the registry says it has the blob {digest}, but it did not ask for a mount")
        return str(begun)

    _chunk_minimum = 0


class _Upload:
    """One upload and how far it is."""

    def __init__(
        self,
        transport: Transport,
        what: str,
        scopes: tuple[str, ...],
        digest: str,
        size: int,
        body: Body,
        location: str,
    ) -> None:
        self._transport = transport
        self._what = what
        self._scopes = scopes
        self._digest = digest
        self._size = size
        self._body = body
        self._location = location
        self.offset = 0
        self.chunk = 0

    def restart(self, location: str) -> None:
        """Begin again at another location."""
        self._location, self.offset = location, 0

    async def go_on(self) -> None:
        """Send what is missing, and finish."""
        while self.chunk and self._size - self.offset > self.chunk:
            await self._patch(self.chunk)
        separator = "&" if "?" in self._location else "?"
        url = f"{self._location}{separator}digest={quote(self._digest, safe=':')}"
        length = self._size - self.offset
        headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
        if self.offset:
            headers["Content-Range"] = f"{self.offset}-{self._size - 1}"
        async with self._send("PUT", url, headers, length):
            pass

    async def _patch(self, length: int) -> None:
        headers = {
            "Content-Length": str(length), "Content-Type": "application/octet-stream",
            "Content-Range": f"{self.offset}-{self.offset + length - 1}",
        }  # fmt: skip
        async with self._send("PATCH", self._location, headers, length) as answer:
            self._location = self._transport.locate(answer)
            self.offset = _received(answer, self.offset + length)

    def _send(self, method: str, url: str, headers: dict[str, str], length: int):  # type: ignore[no-untyped-def]
        offset = self.offset
        return self._transport.request(
            method, url, self._what, scopes=self._scopes, headers=headers, patient=False, stall=_COMMIT,
            body=(lambda: self._body(offset, length)) if length else b"",
        )  # fmt: skip

    async def recover(self) -> bool:
        """Ask how much has arrived (GET Location); False where the upload is lost."""
        try:
            async with self._transport.request(
                "GET", self._location, self._what, scopes=self._scopes
            ) as answer:
                if answer.headers.get("Location"):
                    self._location = self._transport.locate(answer)
                self.offset = _received(answer, 0)
        except NakaginError as error:
            if isinstance(error, NotFound):
                return False
            return False
        if self.offset:
            self.chunk = self.chunk or _CHUNK
        return self.offset <= self._size


def _received(answer: Answer, otherwise: int) -> int:
    """How many bytes the registry has, by "Range: 0-<last>"; "0-0" may mean none or one."""
    first, dash, last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")
    if not dash or not first.isdecimal() or not last.isdecimal():
        return otherwise
    return int(last) + 1 if int(last) else 0


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
