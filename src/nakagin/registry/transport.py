"""Requests to one endpoint: authentication, redirects, retries with back-off, rate limits, broken connections."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import random
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from yarl import URL

from nakagin.errors import Damaged, Denied, NakaginError, Unavailable
from nakagin.registry.challenge import parse_challenges
from nakagin.registry.endpoints import NO_FILES
from nakagin.registry.refusals import refusal
from nakagin.registry.wire import FAILURES, explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence

    from nakagin.registry.challenge import Challenge
    from nakagin.registry.endpoints import Endpoint
    from nakagin.registry.tokens import Authorizer
    from nakagin.registry.wire import Wire

_log = logging.getLogger(__name__)
_MOST_REDIRECTS = 10
_LARGEST_REFUSAL = 64 << 10
_AGAIN = frozenset((429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LINK = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_MOST_WARNINGS = 20


class Interrupted(Unavailable):
    """A transfer broke off or stalled; what arrived is good, and the rest may be asked for."""


class Patience(msgspec.Struct, frozen=True):
    """How often a request is tried, and how long is waited in between (seconds)."""

    attempts: int = 5
    pause: float = 0.5
    longest_wait: float = 60.0

    def wait(self, attempt: int, said: float | None) -> float:
        """Before attempt number `attempt` + 1; `said` is what the registry asked for."""
        return said if said is not None else self.pause * 2**attempt * random.uniform(0.5, 1.0)


PATIENCE = Patience()


class Answer:
    """A successful answer whose body is still to be read."""

    def __init__(self, response: aiohttp.ClientResponse, endpoint: Endpoint) -> None:
        self._response = response
        self._who = str(endpoint)
        self._prefix = endpoint.prefix

    @property
    def status(self) -> int:
        """The HTTP status, 200 to 299."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names in any case."""
        return self._response.headers

    @property
    def url(self) -> str:
        """Where it came from in the end."""
        return str(self._response.url)

    async def read(self, most: int) -> bytes:
        """The whole body; Damaged if it has more bytes than `most`."""
        data = bytearray()
        async for piece in self.pieces():
            data += piece
            if len(data) > most:
                raise Damaged(f"{self._who} sent more than the {most} bytes allowed")
        return bytes(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Interrupted."""
        try:
            while piece := await self._response.content.readany():
                yield piece
        except FAILURES as error:
            if rest := self._arrived():
                yield rest
            words = "no bytes came any more" if isinstance(error, TimeoutError) else str(error) or "it broke"
            raise Interrupted(
                f"the connection to {self._who} was interrupted: {words}",
                hint="try again; it goes on from there",
            ) from error

    def _arrived(self) -> bytes:
        """What came before a connection broke: aiohttp's stream keeps it, and tells of the break first."""
        content = self._response.content
        content.set_exception(cast("BaseException", None))
        try:
            return content.read_nowait()
        except TimeoutError:
            return b""

    def next_page(self) -> str | None:
        """The path and query of the next page of a list (RFC 8288); None at its end."""
        match = _LINK.search(str(self.headers.get("Link", "")))
        if match is None:
            return None
        target: str = match[1]
        parts = urlsplit(urljoin(self.url, target))
        if parts.netloc != urlsplit(self.url).netloc:
            raise Damaged(f"{self._who} points to {parts.netloc} for the rest of a list")
        return parts.path.removeprefix(self._prefix) + (f"?{parts.query}" if parts.query else "")


class Transport:
    """Sends requests to one endpoint with one pair of credentials."""

    def __init__(
        self,
        wire: Wire,
        endpoint: Endpoint,
        authorizer: Authorizer,
        *,
        patience: Patience = PATIENCE,
        is_insecure: Callable[[str], bool] = lambda address: False,
    ) -> None:
        self.endpoint = endpoint
        self.authorizer = authorizer
        self.patience = patience
        self.warnings: list[str] = []
        """What the registry wants the user to know (Warning headers); the reader takes them out."""
        self._wire = wire
        self._is_insecure = is_insecure
        self._scheme: str | None = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], AsyncIterable[bytes]] | None = None,
        patient: bool = True,
        stall: float | None = None,
    ) -> AsyncIterator[Answer]:
        """The successful answer to a request; `path` is absolute, or a URL of this endpoint (upload locations).

        Raises the error of `refusals` about `what`, Denied, or Unavailable; Interrupted if not `patient`
        (then a broken connection is the caller's to mend).
        """
        response = await self._persist(method, path, what, scopes, dict(headers or {}), body, patient, stall)
        try:
            self._take_warnings(response)
            yield Answer(response, self.endpoint)
        finally:
            # Whoever did not read to the end does not want the rest.
            response.close() if not response.content.at_eof() else response.release()

    async def _persist(
        self,
        method: str,
        path: str,
        what: str,
        scopes: Sequence[str],
        headers: dict[str, str],
        body: bytes | Callable[[], AsyncIterable[bytes]] | None,
        patient: bool,
        stall: float | None,
    ) -> aiohttp.ClientResponse:
        attempt = 0
        while True:
            attempt += 1
            said: float | None = None
            try:
                response = await self._authorized(method, path, scopes, headers, body, stall)
            except FAILURES as error:
                failure: NakaginError = explain(error, str(self.endpoint))
                if not patient:
                    raise Interrupted(failure.message, hint=failure.hint) from error
                final = isinstance(error, (aiohttp.ClientSSLError, aiohttp.ClientConnectorDNSError))
                refused = isinstance(error.__cause__ or error, ConnectionRefusedError) or _is_refused(error)
                if final or refused or attempt >= self.patience.attempts:
                    raise failure from error
            else:
                if 200 <= response.status < 300:
                    return response
                said = _retry_after(response.headers.get("Retry-After"))
                beginning = await _beginning(response)
                domain = self.endpoint.domain
                failure = refusal(what, response.status, beginning, retry_after=said, domain=domain)
                again = response.status in _AGAIN and (patient or response.status in (429, 503))
                too_long = said is not None and said > self.patience.longest_wait
                if not again or too_long or attempt >= self.patience.attempts:
                    raise failure
            wait = self.patience.wait(attempt - 1, said)
            _log.info("%s %s: %s; again in %.1f s", method, path.partition("?")[0], failure.message, wait)
            await asyncio.sleep(wait)

    async def _authorized(
        self,
        method: str,
        path: str,
        scopes: Sequence[str],
        headers: dict[str, str],
        body: bytes | Callable[[], AsyncIterable[bytes]] | None,
        stall: float | None,
    ) -> aiohttp.ClientResponse:
        """Send; a challenge of the endpoint itself is answered once, so that no 401 can go in circles."""
        sent = await self.authorizer.header(scopes)
        for last in (False, True):
            response, own = await self._follow(method, path, headers, sent, body, stall)
            if response.status != 401 or last or not own:
                return response
            challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
            await _beginning(response)
            sent = await self.authorizer.answer(challenges, scopes, sent)
        raise AssertionError("unreachable")

    async def _follow(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        authorization: str | None,
        body: bytes | Callable[[], AsyncIterable[bytes]] | None,
        stall: float | None,
    ) -> tuple[aiohttp.ClientResponse, bool]:
        """Send and follow redirects; (answer, whether it is of the endpoint itself).

        CVE-2020-15157: only the endpoint itself gets the Authorization header, client certificates, and the
        leave not to be verified.
        """
        response = await self._first(method, path, headers, authorization, body, stall)
        home = response.url.origin()
        for _ in range(_MOST_REDIRECTS):
            if response.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return response, response.url.origin() == home
            target = URL(urljoin(str(response.url), response.headers.get("Location", "")), encoded=True)
            await _beginning(response)
            own = target.scheme in ("http", "https") and target.origin() == home
            self._check_target(home, target)
            response = await self._wire.exchange(
                method, target,
                headers={**headers, "Authorization": authorization} if own and authorization else headers,
                files=self.endpoint.files if own else NO_FILES,
                verify=self.endpoint.verify if own else not self._is_insecure(target.authority),
                stall=stall or self.endpoint.stall,
            )  # fmt: skip
        response.close()
        raise Unavailable(f"{self.endpoint} redirects without end")

    def _check_target(self, home: URL, target: URL) -> None:
        if target.scheme not in ("http", "https") or not target.host:
            raise Damaged(f"{self.endpoint} redirects to an impossible place: {str(target)[:200]!r}")
        if home.scheme == "https" and target.scheme == "http" and not self._is_insecure(target.authority):
            raise Denied(
                f"{self.endpoint} redirects from TLS to plain HTTP ({target.host})",
                hint="if that is right, name that host with --insecure-registry",
            )

    async def _first(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        authorization: str | None,
        body: bytes | Callable[[], AsyncIterable[bytes]] | None,
        stall: float | None,
    ) -> aiohttp.ClientResponse:
        """Send to the endpoint itself; the first time, of its schemes the first that answers."""
        schemes = (self._scheme,) if self._scheme else self.endpoint.schemes
        if authorization:
            headers = {**headers, "Authorization": authorization}
        for scheme in schemes:
            url = self._url(scheme, path)
            try:
                response = await self._wire.exchange(
                    method, url, headers=headers, data=body() if callable(body) else body,
                    files=self.endpoint.files, verify=self.endpoint.verify, stall=stall or self.endpoint.stall,
                )  # fmt: skip
            except FAILURES:
                if scheme == schemes[-1]:
                    raise
                continue
            self._scheme = scheme
            return response
        raise AssertionError("unreachable")

    def _url(self, scheme: str, path: str) -> URL:
        if "://" in path:
            return URL(path, encoded=True)
        endpoint = self.endpoint
        query = ""
        if endpoint.mirror:
            # Pull-through mirrors of several registries tell them apart by this (containerd's `ns`).
            query = ("&" if "?" in path else "?") + f"ns={endpoint.domain}"
        return URL(f"{scheme}://{endpoint.address}{endpoint.prefix}{path}{query}", encoded=True)

    async def challenges(self) -> Sequence[Challenge]:
        """What the endpoint asks of somebody who shows nothing; empty where it lets everybody in."""
        try:
            response, _ = await self._follow("GET", "/v2/", {}, None, None, None)
        except FAILURES as error:
            raise explain(error, str(self.endpoint)) from error
        values = response.headers.getall("WWW-Authenticate", [])
        body = await _beginning(response)
        if response.status != 401 and response.status >= 300:
            raise refusal(f"registry {self.endpoint}", response.status, body)
        return parse_challenges(values) if response.status == 401 else []

    def locate(self, answer: Answer) -> str:
        """The URL of an upload's Location, which may be relative. It must be the endpoint's own: Denied else,
        because the next request takes the credentials there."""
        location = urljoin(answer.url, answer.headers.get("Location", ""))
        if URL(location, encoded=True).origin() != URL(answer.url, encoded=True).origin():
            if _same_host(location, answer.url) and self.endpoint.verify is False:
                return location
            raise Denied(
                f"{self.endpoint} wants the upload to go to another host ({urlsplit(location).netloc})"
            )
        return location

    def _take_warnings(self, response: aiohttp.ClientResponse) -> None:
        for value in response.headers.getall("Warning", []):
            if (match := _WARNING.search(value)) and len(self.warnings) < _MOST_WARNINGS:
                text = re.sub(r"\\(.)", r"\1", match[1])[:1000]
                if text not in self.warnings:
                    self.warnings.append(text)
                    _log.warning("%s says: %s", self.endpoint, text)


def _same_host(one: str, other: str) -> bool:
    return urlsplit(one).netloc == urlsplit(other).netloc


def _is_refused(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    )


def _retry_after(text: str | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, section 10.2.3); None where it is neither."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of an answer that is of no further use; its connection is given back or closed."""
    try:
        data = await response.content.read(_LARGEST_REFUSAL)
    except FAILURES:
        data = b""
    response.release() if response.content.at_eof() else response.close()
    return data
