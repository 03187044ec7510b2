"""A file from a URL: what `ADD https://…`, contexts at URLs and `import URL` are made of."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from yarl import URL

from nakagin.errors import Damaged, Denied, Exhausted, Invalid, NotFound, Unavailable
from nakagin.registry.wire import FAILURES, explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import ClientResponse, StreamReader

    from nakagin.registry.wire import Wire

_MOST_REDIRECTS = 10
_MOST_BYTES = 64 << 30
_ATTEMPTS = 3
_PAUSE = 0.5
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))


class Downloaded(NamedTuple):
    """`file` is nameless and at its beginning; the caller closes it. `digest` as "sha256:…"; `modified` in
    nanoseconds since the epoch, 0 where the server does not say; `name` is the last part of the URL's path."""

    file: IO[bytes]
    size: int
    digest: str
    modified: int
    name: str


def name_of(url: str) -> str:
    """The file name that a URL ends in; "" where it ends in a slash."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


async def download(
    wire: Wire, url: str, folder: str, *, headers: Mapping[str, str] | None = None, checksum: str = ""
) -> Downloaded:
    """Fetch `url` (http, https) into a nameless file in `folder`. `headers` go to its host alone.

    Raises NotFound, Denied, Unavailable, Invalid, Exhausted, and Damaged where the bytes are not those of `checksum`.
    """
    if checksum and not checksum.startswith(("sha256:", "sha384:", "sha512:")):
        raise Invalid(f"unsupported checksum {checksum!r}", hint="write sha256:…")
    attempt = 0
    while True:
        attempt += 1
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  handed to the caller
        try:
            return await _attempt(wire, url, file, headers or {}, checksum)
        except Unavailable:
            file.close()
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(_PAUSE * attempt)
        except BaseException:
            file.close()
            raise


async def _attempt(
    wire: Wire, url: str, file: IO[bytes], headers: Mapping[str, str], checksum: str
) -> Downloaded:
    async with opened(wire, url, headers) as answer:
        try:
            size, digest = await _receive(answer.content, file, url, checksum.partition(":")[0] or "sha256")
        except FAILURES as error:
            raise explain(error, answer.url.authority.rpartition("@")[2]) from error
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != size:
        raise Unavailable(f"{url}: the connection ended after {size} of {length} bytes")
    if checksum and digest != checksum:
        raise Damaged(
            f"{url}: digest mismatch: it has {digest}, and {checksum} was expected",
            hint="the file there has changed: check it, then change --checksum",
        )
    file.seek(0)
    return Downloaded(file, size, digest, _modified(answer.headers.get("Last-Modified", "")), name_of(url))


@asynccontextmanager
async def opened(
    wire: Wire, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[ClientResponse]:
    """The answer that has the file (the part of it, where `headers` have a Range), whose body is still to be read.
    `headers` go to the URL's host alone.

    Raises NotFound, Denied, Unavailable, Invalid.
    """
    here, host = url, urlsplit(url).netloc
    for _ in range(_MOST_REDIRECTS):
        target = _target(here)
        try:
            sent = headers if headers and urlsplit(here).netloc == host else {}
            answer = await wire.exchange("GET", target, headers=sent)
        except FAILURES as error:
            raise explain(error, target.authority.rpartition("@")[2]) from error
        try:
            if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                here = _next(here, answer.headers["Location"])
                continue
            _check_status(url, answer.status)
            yield answer
            return
        finally:
            answer.close()
    raise Invalid(f"{url} redirects more than {_MOST_REDIRECTS} times")


def _target(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise Invalid(f"{text} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Invalid(f"{text} is no URL that can be fetched", hint="it begins with http:// or https://")
    return url


def _next(here: str, location: str) -> str:
    target = urljoin(here, location)
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or (parts.scheme == "http" and urlsplit(here).scheme == "https"):
        raise Denied(f"{here} redirects to {target}, which is not followed")
    return target


def _check_status(url: str, status: int) -> None:
    if status in (200, 206):
        return
    if status in (404, 410):
        raise NotFound(f"{url}: there is no such file (status {status})", hint="check the URL")
    if status in (401, 403):
        raise Denied(
            f"{url}: the server does not let us in (status {status})",
            hint="write user:password@HOST; in a build, give a secret HTTP_AUTH_TOKEN_HOST or HTTP_AUTH_HEADER_HOST",
        )
    if status in _AGAIN:
        raise Unavailable(f"{url}: the server answers with status {status}", hint="try again later")
    raise Invalid(f"{url}: the server answers with status {status}")


async def _receive(content: StreamReader, file: IO[bytes], url: str, algorithm: str) -> tuple[int, str]:
    check, size = hashlib.new(algorithm), 0
    while piece := await content.readany():
        size += len(piece)
        if size > _MOST_BYTES:
            raise Exhausted(f"{url} has more than {_MOST_BYTES} bytes")
        check.update(piece)
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return size, f"{algorithm}:{check.hexdigest()}"


def _modified(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        return 0
