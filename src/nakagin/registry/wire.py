"""HTTP itself: one exchange with one URL, over pooled connections, with the right TLS material and proxy."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from nakagin.errors import Denied, Invalid, Unavailable
from nakagin.registry.endpoints import NO_FILES, Files

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    from nakagin.registry.proxies import Proxies

_CONNECT = 15.0
_BUFFER = 1 << 19
_KEEP_ALIVE = 90.0

FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError, OSError)
"""What an exchange raises when the network fails."""


class Wire:
    """The connections of one engine to all registries. Make it inside a running loop, close it at the end."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._contexts: dict[tuple[Files, bool], ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        data: bytes | AsyncIterable[bytes] | None = None,
        files: Files = NO_FILES,
        verify: bool = True,
        stall: float = 30.0,
    ) -> aiohttp.ClientResponse:
        """Send, and wait for the answer's head. Follows nothing, decodes nothing, keeps no cookies.

        `stall` is the longest silence in seconds. Raises one of FAILURES.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, read_bufsize=_BUFFER,
                skip_auto_headers=("Accept-Encoding", "Content-Type"), headers={"User-Agent": _agent()},
            )  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=_CONNECT, sock_read=stall)
        extra: dict[str, Any] = {"ssl": self._context(files, verify)} if url.scheme == "https" else {}
        return await self._session.request(
            method, url, headers=headers, data=data, allow_redirects=False, timeout=timeout,
            proxy=self._proxies.of(url.scheme, url.host or "", url.port or 0), **extra,
        )  # fmt: skip

    def _context(self, files: Files, verify: bool) -> ssl.SSLContext:
        """TLS as this endpoint needs it; building one costs tens of milliseconds, so they are kept."""
        found = self._contexts.get((files, verify))
        if found is None:
            found = self._contexts[files, verify] = _new_context(files, verify)
        return found

    def forget_certificates(self) -> None:
        """Read the PEM files again at their next use."""
        self._contexts.clear()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _agent() -> str:
    import nakagin

    return f"nakagin/{nakagin.__version__}"


def _new_context(files: Files, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for path in files.authorities:
            context.load_verify_locations(path)
        for certificate, key in files.pairs:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join((*files.authorities, *(name for pair in files.pairs for name in pair)))
        raise Invalid(f"cannot use the certificates for a registry: {error}", where=names) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def explain(error: BaseException, who: str) -> Unavailable | Denied:
    """A network failure as an error for people; `who` names the registry."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unavailable(
            f"the certificate of {who} cannot be verified: {error.certificate_error}",
            hint="put its authority into certs.d/HOST/ca.crt, or name the registry with --insecure-registry",
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return Unavailable(
            f"{who} does not speak TLS as it should: {error}",
            hint="for a registry without TLS use --insecure-registry",
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Unavailable(f"the proxy on the way to {who} does not answer: {error}", hint="see HTTPS_PROXY")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(f"no such host: {who}", hint="check the name, and the machine's DNS")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{who} does not answer in time", hint="check the network, try again later")
    words = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        words = os.strerror(error.os_error.errno).lower()
    return Unavailable(f"{who} cannot be reached: {words}", hint="check the address and the network")
