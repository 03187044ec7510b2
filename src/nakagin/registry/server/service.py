"""The registry as a process: sites, TLS, background work, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Self

from aiohttp import web

from nakagin.errors import Conflict, Invalid, NakaginError, Unavailable
from nakagin.registry.proxies import Proxies
from nakagin.registry.server.access import Access
from nakagin.registry.server.collect import Collector
from nakagin.registry.server.control import Control
from nakagin.registry.server.door import Door
from nakagin.registry.server.metrics import Metrics
from nakagin.registry.server.passwords import Passwords
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.settings import Settings, address_of, seconds_of
from nakagin.registry.server.through import Through

log = logging.getLogger("nakagin.registry")

#: Bytes of a body that wait in memory for each connection.
_BUFFER = 1 << 19
#: Tokens with many scopes are long.
_LONGEST_HEADER = 1 << 16
_THREADS = 16
#: Seconds that connections have to close when nothing is under way any more.
_FAREWELL = 1.0
_BACKLOG = 1024


class Service:
    """One registry over one root. `async with` starts and ends it; `addresses` are where it listens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.addresses: list[tuple[str, int]] = []
        self._stack = AsyncExitStack()
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        stack.callback(os.close, lock_root(settings.root))
        access = access_of(settings)
        self._tls = tls_of(settings)
        self.registry = registry = Registry(settings)
        shutil.rmtree(registry.blobs.temporary, ignore_errors=True)  # drafts of a run that was cut off
        os.makedirs(registry.blobs.temporary, mode=0o700, exist_ok=True)
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="registry")
        stack.callback(pool.shutdown)
        through = None
        if settings.upstream:
            through = Through(registry, settings.upstream, pool, self.metrics, Proxies.read(os.environ, {}))
            stack.push_async_callback(through.close)
        collector = Collector(registry, self.metrics)
        await stack.enter_async_context(Control(settings.root, collector))
        await self._listen(stack, Door(registry, access, self.metrics, pool, through))
        if settings.gc.interval:
            task = asyncio.ensure_future(collector.every(seconds_of(settings.gc.interval)))
            stack.push_async_callback(_ended, task)

    async def _listen(self, stack: AsyncExitStack, door: Door) -> None:
        server = web.Server(
            door.handle, access_log=None, read_bufsize=_BUFFER, tcp_keepalive=True,
            max_field_size=_LONGEST_HEADER, max_line_size=_LONGEST_HEADER,
        )  # fmt: skip
        runner = web.ServerRunner(server, shutdown_timeout=_FAREWELL)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(self._drain, runner, door)
        for text in self.settings.listen:
            host, port = address_of(text)
            site = web.TCPSite(runner, host or None, port, ssl_context=self._tls, backlog=_BACKLOG)
            try:
                await site.start()
            except OSError as error:
                raise Unavailable(
                    f"cannot listen at {text}: {error.strerror or error}", hint="choose another --listen"
                ) from None
        self.addresses = [(address[0], address[1]) for address in runner.addresses]

    async def _drain(self, runner: web.ServerRunner, door: Door) -> None:
        """Let requests under way finish: aiohttp's own shutdown would take no more of their bodies."""
        for site in list(runner.sites):
            await site.stop()
        await door.drained(seconds_of(self.settings.stop_timeout))

    def reload(self) -> None:
        """Read the TLS certificate again."""
        if self._tls is None:
            return
        try:
            _load_chain(self._tls, self.settings)
        except Invalid as error:
            log.error("the certificate stays as it was: %s", error)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def lock_root(root: str) -> int:
    """The descriptor that keeps others from serving the same root. Raises Conflict."""
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Invalid(f"cannot use {root}: {error.strerror}", hint="choose another --root") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(f"another registry serves {root}") from None
    return fd


def access_of(settings: Settings) -> Access:
    """The doorkeeper. Raises Invalid for unusable files."""
    auth = settings.auth
    passwords = Passwords(auth.htpasswd) if auth.htpasswd else None
    tokens = None
    if auth.token.keys or auth.token.signing_key:
        from nakagin.registry.server.tokens import Tokens  # much to import, and few have tokens

        tokens = Tokens(auth.token)
    return Access(auth.realm, settings.access, passwords, tokens)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The server's TLS, or None for plain HTTP. Raises Invalid."""
    if not settings.tls.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, settings)
    if settings.tls.client_ca:
        try:
            context.load_verify_locations(settings.tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"unusable certificate authority: {error}", where=settings.tls.client_ca) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_chain(context: ssl.SSLContext, settings: Settings) -> None:
    try:
        context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"unusable certificate or key: {error}", where=settings.tls.certificate) from None


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the TLS certificate again. Raises NakaginError at the start."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    async with Service(settings) as service:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        _announce(service)
        await stop.wait()
        log.info("stopping; requests under way have %s to finish", settings.stop_timeout)


def _announce(service: Service) -> None:
    settings = service.settings
    scheme = "https" if settings.tls.certificate else "http"
    for host, port in service.addresses:
        shown = f"[{host}]" if ":" in host else host
        log.info("serving %s at %s://%s:%d", settings.root, scheme, shown, port)
        local = host.startswith("127.") or host == "::1"
        if not local and not (settings.auth.htpasswd or settings.auth.token.keys or settings.tls.client_ca):
            log.warning("whoever reaches %s may push and delete here; see --htpasswd", shown)


def report(error: NakaginError) -> str:
    """An error as a line for people."""
    return f"nakagin registry: {error}"
