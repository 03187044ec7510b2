"""Seeing from outside that a container is ready (`x-nakagin-ready`): its image needs nothing for it."""

from __future__ import annotations

import datetime as dt
import re
import socket
import time
from typing import Any

from nakagin.compose.own import Readiness, show_timeout
from nakagin.compose.wait import Unmet
from nakagin.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client import Client
    from nakagin.client.containers import Container

Document = dict[str, Any]
#: Seconds that one look may take.
_PATIENCE = 5.0
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  (as the engine writes it)


def await_ready(client: Client, id: str, name: str, ready: Readiness) -> None:
    """Until the container is. Raises Unmet when it ends before, or when it takes longer than `timeout`."""
    container = client.containers.refer(id)
    until = time.monotonic() + ready.timeout / 1e9
    if ready.log:
        _await_line(container, name, ready, until)
        return
    why = "nobody looked"
    while time.monotonic() < until:
        document = container.inspect()
        _check_running(document, name)
        try:
            why = _look(_addresses(client, document, ready.tcp or ready.http), ready)
        except Unavailable as error:
            raise Unmet(f"container {name}: {error.message}", hint=error.hint) from None
        if not why:
            return
        time.sleep(ready.interval / 1e9)
    raise Unmet(
        f"container {name} is not ready after {show_timeout(ready)}: {why}", hint=f"it is when {ready}"
    )


def _check_running(document: Document, name: str) -> None:
    state = document["State"]
    if not state.get("Running") and not state.get("Restarting"):
        raise Unmet(
            f"container {name} exited ({state.get('ExitCode')})", hint=f"see its output with: logs {name}"
        )


def _addresses(client: Client, document: Document, port: int) -> list[tuple[str, int]]:
    """Where a port of the container is reached from here. Raises Unavailable."""
    mode = str(document["HostConfig"].get("NetworkMode", ""))
    if mode.startswith("container:"):
        other = client.containers.refer(mode.removeprefix("container:")).inspect()
        return _addresses(client, other, port)
    endpoint = client.session.endpoint
    if endpoint.path is not None:  # the engine is on this machine, and so are its networks
        if mode == "host":
            return [("127.0.0.1", port), ("::1", port)]
        networks = (document["NetworkSettings"].get("Networks") or {}).values()
        found = [str(each.get(key) or "") for each in networks for key in ("IPAddress", "GlobalIPv6Address")]
        if any(found):
            return [(address, port) for address in found if address]
    bound = (document["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp") or []
    far = endpoint.host or "127.0.0.1"
    found_ports = [
        (far if each["HostIp"] in _EVERYWHERE else str(each["HostIp"]), int(each["HostPort"]))
        for each in bound
    ]
    if not found_ports:
        raise Unavailable(
            f"its port {port} cannot be reached from here",
            hint="publish it, attach the service to a network, or wait for a line of its `log`",
        )
    return found_ports


def _look(addresses: list[tuple[str, int]], ready: Readiness) -> str:
    """Why it is not ready at any of the addresses; "" where it is."""
    why = ""
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), _PATIENCE) as connection:
                why = _ask(connection, host, ready.path) if ready.http else ""
        except OSError as error:
            why = f"{host} port {port}: {error.strerror or error}"
        if not why:
            return ""
    return why


def _ask(connection: socket.socket, host: str, path: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.1\r\nHost: {shown}\r\nUser-Agent: nakagin\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    with connection.makefile("rb") as answer:
        line = answer.readline(1024).decode("latin-1").strip()
    words = line.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return f"no HTTP answer to GET {path}"
    return "" if int(words[1]) < 400 else f"GET {path} is answered with {' '.join(words[1:])}"


def _await_line(container: Container, name: str, ready: Readiness, until: float) -> None:
    wanted = re.compile(ready.log.encode())
    since = ""
    while time.monotonic() < until:
        document = container.inspect()
        since = since or _seconds(document["State"]["StartedAt"])
        output: dict[int, bytes] = {}
        for kind, piece in container.logs(since=since, timestamps=True):
            output[kind] = output.get(kind, b"") + piece
        lines = [line.partition(b" ") for text in output.values() for line in text.splitlines()]
        if any(wanted.search(text) for _, _, text in lines):
            return
        _check_running(document, name)
        if lines:  # the last one may not be whole yet: it is read again
            since = _seconds(max(stamp for stamp, _, _ in lines).decode())
        time.sleep(ready.interval / 1e9)
    raise Unmet(
        f"container {name} is not ready after {show_timeout(ready)}: no such line", hint=f"it is when {ready}"
    )


def _seconds(stamp: str) -> str:
    """A time of the engine as its log wants it: seconds since the epoch, with all their digits."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return f"{int(moment.timestamp())}.{fraction or 0}"
