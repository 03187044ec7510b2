"""`nakagin engine`: flags and daemon.json, sockets, pid file, signals; runs the engine and its API.

Flag names are dockerd's. Containers keep running when this process ends (live-restore is the default here);
--live-restore=false stops them on SIGTERM as dockerd does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import grp
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from nakagin.errors import Invalid, NakaginError, Unavailable
from nakagin.settings import CONFIG_FILE, Settings, read_config_file, settle
from nakagin.spec.size import parse_size

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

log = logging.getLogger("nakagin")

_FD_START = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
_BACKLOG = 512


def _words(text: str) -> list[str]:
    return text.split()


_WORDS = _words("""
bip bip6 bridge cgroup-parent config-file containerd containerd-namespace containerd-plugins-namespace
data-root default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-runtime
default-shm-size exec-root fixed-cidr fixed-cidr-v6 group host-gateway-ip http-proxy https-proxy init-path
instance ip log-driver log-format log-level metrics-addr no-proxy pidfile seccomp-profile storage-driver
swarm-default-advertise-addr tlscacert tlscert tlskey userland-proxy-path userns-remap
""")
_NUMBERS = _words("""
cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu
network-control-plane-mtu shutdown-timeout
""")
_SWITCHES = _words("""
allow-direct-routing cri-containerd debug experimental icc init ip-forward ip-forward-no-drop ip-masq
ip6tables iptables ipv6 live-restore no-new-privileges raw-logs rootless selinux-enabled tls tlsverify
userland-proxy
""")
#: Repeatable flags, and the key of daemon.json that they fill.
_LISTS = {
    "authorization-plugin": "authorization-plugins", "cdi-spec-dir": "cdi-spec-dirs", "dns": "dns",
    "dns-opt": "dns-opts", "dns-search": "dns-search", "exec-opt": "exec-opts", "host": "hosts",
    "insecure-registry": "insecure-registries", "label": "labels", "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors", "storage-opt": "storage-opts",
}  # fmt: skip
_MAPS = {"log-opt": "log-opts", "feature": "features", "default-network-opt": "default-network-opts"}
_SHORT = {
    "debug": "-D",
    "group": "-G",
    "host": "-H",
    "log-level": "-l",
    "pidfile": "-p",
    "storage-driver": "-s",
}
_PROXIES = {"http-proxy", "https-proxy", "no-proxy"}


def make_parser() -> argparse.ArgumentParser:
    """dockerd's flags and --instance; see `nakagin.settings` for what becomes of each."""
    parser = argparse.ArgumentParser(
        prog="nakagin engine", allow_abbrev=False, argument_default=argparse.SUPPRESS,
        description="Run the Nakagin engine. Flags may also be keys of the configuration file.",
    )  # fmt: skip
    names = (
        _WORDS
        + _NUMBERS
        + list(_LISTS)
        + list(_MAPS)
        + ["add-runtime", "default-address-pool", "default-ulimit"]
    )
    for name in sorted(names):
        flags = [f"--{name}", *([_SHORT[name]] if name in _SHORT else [])]
        if name in _NUMBERS:
            parser.add_argument(*flags, dest=name, type=int, metavar="N")
        elif name in _WORDS:
            parser.add_argument(*flags, dest=name, metavar="VALUE")
        else:
            parser.add_argument(*flags, dest=name, action="append", metavar="VALUE")
    for name in _SWITCHES:
        flags = [f"--{name}", *([_SHORT[name]] if name in _SHORT else [])]
        parser.add_argument(*flags, dest=name, nargs="?", const="true", metavar="true|false")
    parser.add_argument(
        "--validate", dest="validate", action="store_true", help="check the configuration and exit"
    )
    parser.add_argument(
        "-v", "--version", dest="version", action="store_true", help="print the version and exit"
    )
    return parser


def settings_from(argv: list[str]) -> tuple[Settings, dict[str, Any]]:
    """The settings, and the flags as given. Raises Invalid, Unsupported; exits for unknown flags as argparse does."""
    given = vars(make_parser().parse_args(argv))
    path = given.get("config-file", CONFIG_FILE)
    config = read_config_file(path, required="config-file" in given)
    return settle(keys_of(given), config, path), given


def keys_of(given: dict[str, Any]) -> dict[str, Any]:
    """Flags as keys of daemon.json."""
    keys: dict[str, Any] = {}
    for name, value in given.items():
        if name in {"config-file", "validate", "version"}:
            continue
        if name in _SWITCHES:
            keys[name] = _boolean(name, value)
        elif name in _LISTS:
            keys[_LISTS[name]] = value
        elif name in _MAPS:
            keys[_MAPS[name]] = dict(_pair(name, text) for text in value)
        elif name in _PROXIES:
            keys.setdefault("proxies", {})[name] = value
        elif name == "add-runtime":
            keys["runtimes"] = {key: {"path": path} for key, path in (_pair(name, text) for text in value)}
        elif name == "default-address-pool":
            keys["default-address-pools"] = [_address_pool(text) for text in value]
        elif name == "default-ulimit":
            keys["default-ulimits"] = dict(_ulimit(text) for text in value)
        elif name == "default-shm-size":
            keys[name] = parse_size(value)
        else:
            keys[name] = value
    return keys


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "t", "f"}:
        raise Invalid(f'invalid boolean value "{text}" for --{name}')
    return text.lower() in {"true", "1", "t"}


def _pair(name: str, text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Invalid(f'invalid argument "{text}" for --{name}', hint="NAME=VALUE")
    return key, value


def _address_pool(text: str) -> dict[str, Any]:
    parts = dict(_pair("default-address-pool", part) for part in text.split(","))
    if set(parts) != {"base", "size"} or not parts["size"].isdecimal():
        raise Invalid(
            f'invalid argument "{text}" for --default-address-pool', hint="base=10.10.0.0/16,size=24"
        )
    return {"base": parts["base"], "size": int(parts["size"])}


def _ulimit(text: str) -> tuple[str, dict[str, Any]]:
    name, values = _pair("default-ulimit", text)
    soft, _, hard = values.partition(":")
    try:
        return name, {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise Invalid(f'invalid argument "{text}" for --default-ulimit', hint="NAME=SOFT[:HARD]") from None


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
        if group != Settings.group:
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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, number))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    if not settings.tlsverify and host not in {"127.0.0.1", "::1", "localhost"}:
        log.warning(
            "the API on tcp://%s:%d is open to everybody who reaches it: whoever does is root here",
            host,
            number,
        )
    return sock


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
    # Before the heavy imports: the zygote is made from what is loaded now.
    from nakagin.engine import Engine

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
        runner = await _open_doors(engine, settings)
        try:
            engine.go_on()
            notify("READY=1")
            log.info("API listen on %s", ", ".join(settings.address))
            await stop.wait()
            notify("STOPPING=1")
        finally:
            await runner.cleanup()
            _remove_sockets(settings)
    finally:
        await engine.stop()
        _remove_pid(settings.pid_file)


async def _open_doors(engine: Any, settings: Settings) -> web.BaseRunner:
    from aiohttp import web

    from nakagin.api.app import make_runner

    runner = make_runner(engine)
    await runner.setup()
    try:
        context = tls_context(settings)
        for address in settings.address:
            for sock in listen(address, settings):
                tcp = sock.family != socket.AF_UNIX
                await web.SockSite(runner, sock, ssl_context=context if tcp else None).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def _remove_pid(path: str) -> None:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        if int(file.read().strip() or 0) == os.getpid():
            os.unlink(path)


def _remove_sockets(settings: Settings) -> None:
    for address in settings.address:
        scheme, _, path = address.partition("://")
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
        _begin_log(settings)
        asyncio.run(serve(settings))
    except NakaginError as error:
        print(f"failed to start the engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
