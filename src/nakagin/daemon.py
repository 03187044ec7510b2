"""`nakagin engine`: flags and daemon.json, sockets, pid file, signals; runs the engine and its API.

Flag names are dockerd's. Containers keep running when this process ends (live-restore is the default here);
--live-restore=false stops them on SIGTERM as dockerd does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import grp
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from nakagin.engineflags import keys_of, make_parser
from nakagin.errors import Invalid, NakaginError, Unavailable
from nakagin.settings import CONFIG_FILE, GROUP, Settings, read_config_file, settle

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

log = logging.getLogger("nakagin")

_FD_START = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
# As dockerd: connections that wait to be taken; beyond it, impatient clients are turned away.
_BACKLOG = 4096


def settings_from(argv: list[str]) -> tuple[Settings, dict[str, Any]]:
    """The settings, and the flags as given. Raises Invalid, Unsupported; exits for unknown flags as argparse does."""
    given = vars(make_parser().parse_args(argv))
    path = given.get("config-file", CONFIG_FILE)
    config = read_config_file(path, required="config-file" in given)
    return settle(keys_of(given), config, path), given


# -- sockets -----------------------------------------------------------------------------------------


def listen(address: str, settings: Settings) -> list[socket.socket]:
    """Listening sockets of one -H: unix://PATH, tcp://HOST[:PORT], fd:// (systemd). Raises Invalid, Unavailable."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = ("unix", address) if address.startswith("/") else ("tcp", address)
    try:
        match scheme:
            case "unix":
                return [_listen_unix(rest or "/run/nakagin/nakagin.sock", settings.group)]
            case "tcp":
                return [_listen_tcp(rest, settings)]
            case "fd":
                return _inherited_sockets()
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror}") from None
    raise Invalid(f"invalid bind address ({address})", hint="unix://PATH, tcp://HOST:PORT or fd://")


def _listen_unix(path: str, group: str) -> socket.socket:
    os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if _answers(path):
        sock.close()
        raise Unavailable(f"another engine answers on {path}", hint="end it, or listen elsewhere with -H")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    # From its first moment on nobody but root may speak to it.
    mask = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(mask)
    try:
        os.chown(path, 0, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid)
        os.chmod(path, 0o660)
    except KeyError:
        # The default group need not exist: then the socket is root's alone.
        if group != GROUP:
            os.unlink(path)
            sock.close()
            raise Invalid(
                f"group {group} not found", hint="make it with groupadd, or name another with -G"
            ) from None
    sock.listen(_BACKLOG)
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _listen_tcp(rest: str, settings: Settings) -> socket.socket:
    host, _, port = (
        rest.rstrip("/").rpartition(":") if not rest.endswith("]") and ":" in rest else (rest, "", "")
    )
    number = int(port) if port.isdecimal() else (2376 if settings.tls or settings.tlsverify else 2375)
    host = (host or "127.0.0.1").strip("[]")
    sock = _bind(host, number)
    if not settings.tlsverify and host not in {"127.0.0.1", "::1", "localhost"}:
        log.warning(
            "the API on tcp://%s:%d is open to everybody who reaches it: whoever does is root here",
            host,
            number,
        )
    return sock


def _bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def listen_for_metrics(address: str) -> socket.socket:
    """The listening socket of --metrics-addr HOST:PORT. Raises Unavailable."""
    host, _, port = address.rpartition(":")
    try:
        return _bind(host.strip("[]"), int(port))
    except OSError as error:
        raise Unavailable(f"cannot listen on the metrics address {address}: {error.strerror}") from None


def _inherited_sockets() -> list[socket.socket]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdecimal():
        raise Invalid("no sockets found via socket activation: make sure the service was started by systemd")
    return [socket.socket(fileno=_FD_START + index) for index in range(int(os.environ["LISTEN_FDS"]))]


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for tcp sockets; None without --tls and --tlsverify. Raises Invalid."""
    if not settings.tls and not settings.tlsverify:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tlscert, settings.tlskey)
        if settings.tlsverify:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(settings.tlscacert)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"could not load the TLS key pair: {error}", hint="--tlscacert, --tlscert and --tlskey"
        ) from None
    return context


# -- the process -------------------------------------------------------------------------------------


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)), where it started us."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        entry = {"level": record.levelname.lower(), "msg": record.getMessage(), "time": stamp}
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _begin_log(settings: Settings) -> None:
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if settings.log_format == "json" else text)
    level = (
        "debug"
        if settings.debug
        else {"warn": "warning", "fatal": "critical"}.get(settings.log_level, settings.log_level)
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _write_pid(path: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


async def serve(settings: Settings) -> None:
    """Run the engine and its API until SIGTERM or SIGINT."""
    from nakagin.engine import Engine
    from nakagin.kernel import heap

    heap.share_one()

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: log.info("SIGHUP: settings are read at start only"))
    engine = Engine(settings)
    try:
        await engine.start()
        # Stale ones are overwritten: the locks on both roots already say that no other engine is there.
        _write_pid(settings.pid_file)
        runners = await _open_doors(engine, settings)
        try:
            engine.go_on()
            notify("READY=1")
            log.info("API listen on %s", ", ".join(settings.address))
            # What is there now stays: no later collection need look at it.
            gc.collect()
            gc.freeze()
            heap.trim()
            await stop.wait()
            notify("STOPPING=1")
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))
            _remove_sockets(settings)
    finally:
        await engine.stop()
        _remove_pid(settings.pid_file)


async def _open_doors(engine: Any, settings: Settings) -> list[web.BaseRunner]:
    """Serve on every address; those with a scope have a server of their own."""
    from aiohttp import web

    from nakagin.api import metrics, scope
    from nakagin.api.app import make_runner

    runners: dict[scope.Scope | str | None, web.BaseRunner] = {}
    counters = metrics.Metrics() if settings.metrics_addr else None
    try:
        if counters is not None:
            runners["metrics"] = runner = metrics.make_runner(engine, counters)
            await runner.setup()
            await web.SockSite(runner, listen_for_metrics(settings.metrics_addr)).start()
        context = tls_context(settings)
        for each in settings.address:
            address, limits = scope.parse(each)
            if limits not in runners:
                runners[limits] = make_runner(engine, limits, counters)
                await runners[limits].setup()
            runner = runners[limits]
            for sock in listen(address, settings):
                if context is None or sock.family == socket.AF_UNIX:
                    await web.SockSite(runner, sock, backlog=_BACKLOG).start()
                    continue
                from nakagin.api.tunnel import serve_tls

                assert runner.server is not None
                await serve_tls(sock, context, runner.server)
    except BaseException:
        await asyncio.gather(*(runner.cleanup() for runner in runners.values()))
        raise
    return list(runners.values())


def _remove_pid(path: str) -> None:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        if int(file.read().strip() or 0) == os.getpid():
            os.unlink(path)


def _remove_sockets(settings: Settings) -> None:
    for address in settings.address:
        scheme, _, path = address.partition("?")[0].partition("://")
        if scheme == "unix":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def main(argv: list[str] | None = None) -> int:
    """Be the engine; returns the exit code: 0, or 1 with the reason on standard error."""
    import nakagin

    try:
        settings, given = settings_from(sys.argv[1:] if argv is None else argv)
        if given.get("version"):
            print(f"Nakagin engine {nakagin.__version__}")
            return 0
        if given.get("validate"):
            print("configuration OK")
            return 0
        # As dockerd: what containers find (/etc/hosts, places of mounts) must not depend on who started the engine.
        os.umask(0o022)
        _begin_log(settings)
        asyncio.run(serve(settings))
    except NakaginError as error:
        print(f"failed to start the engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
