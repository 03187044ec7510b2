"""`nakagin registry serve` beside Debian's docker-registry: the same client, the same disk, in turns."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

from bench.measure import Row, in_turns

LARGE = 128 << 20
PART = 32 << 20
SMALL = 4096
COUNT = 100
REFERENCE = "docker-registry"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Client:
    """A registry client that costs next to nothing: one connection, sendfile up, one buffer down."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _head(self, method: str, path: str, length: int = 0, kind: str = "application/octet-stream") -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Length: {length}\r\n"
            f"Content-Type: {kind}\r\nAccept: {MANIFEST}\r\n\r\n"
        ).encode()

    def _answer(self, wanted: int) -> dict[str, str]:
        """The headers of an answer whose body is read and dropped."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._socket.recv(65536)
            if not piece:
                raise RuntimeError("the registry hung up")
            head += piece
        text, _, rest = head.partition(b"\r\n\r\n")
        lines = text.decode().split("\r\n")
        if int(lines[0].split()[1]) != wanted:
            raise RuntimeError(f"{lines[0]} instead of {wanted}: {rest[:300]!r}")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        left = int(headers.get("content-length", "0")) - len(rest)
        while left > 0:
            left -= self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
        return headers

    def push(self, path: str, digest: str, name: str) -> None:
        """Upload a file as a blob: POST, then PUT."""
        self._socket.sendall(self._head("POST", f"/v2/{name}/blobs/uploads/"))
        location = self._answer(202)["location"]
        location = location[location.index("/v2/") :]
        target = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        with open(path, "rb") as file:
            self._socket.sendall(self._head("PUT", target, os.path.getsize(path)))
            self._socket.sendfile(file)
        self._answer(201)

    def pull(self, digest: str, name: str) -> None:
        """Download a blob."""
        self._socket.sendall(self._head("GET", f"/v2/{name}/blobs/{digest}"))
        self._answer(200)

    def put_manifest(self, data: bytes, name: str) -> None:
        """Store a manifest under the tag `latest`."""
        kind = json.loads(data)["mediaType"]
        self._socket.sendall(self._head("PUT", f"/v2/{name}/manifests/latest", len(data), kind) + data)
        self._answer(201)

    def get_manifest(self, name: str) -> None:
        """Fetch it."""
        self._socket.sendall(self._head("GET", f"/v2/{name}/manifests/latest"))
        self._answer(200)


def fresh_file(folder: str, size: int) -> tuple[str, str]:
    """A file that no registry has seen: (path, digest)."""
    path = os.path.join(folder, "blob-" + secrets.token_hex(8))
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for start in range(0, size, 1 << 20):
            piece = secrets.token_bytes(min(1 << 20, size - start))
            digest.update(piece)
            file.write(piece)
    return path, f"sha256:{digest.hexdigest()}"


@contextmanager
def started(argv: list[str], port: int) -> Iterator[int]:
    """A registry that answers at the port while the context lasts."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{argv[0]} did not start") from None
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ours(folder: str, port: int) -> list[str]:
    return [
        sys.executable, "-m", "nakagin.registry.server", "serve",
        "--root", os.path.join(folder, "ours"), "--listen", f"127.0.0.1:{port}",
    ]  # fmt: skip


def _debians(folder: str, port: int) -> list[str]:
    program = shutil.which("docker-registry")
    if program is None:
        raise RuntimeError("no docker-registry: apt-get install docker-registry")
    config = os.path.join(folder, "config.yml")
    document = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": os.path.join(folder, "debians")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    with open(config, "w", encoding="utf-8") as file:
        json.dump(document, file)  # JSON is YAML
    return [program, "serve", config]


def throughput(folder: str, rounds: int) -> list[Row]:
    """Large and small blobs and manifests, up and down."""
    commands = {"nakagin": _ours, REFERENCE: _debians}
    with ExitStack() as stack:
        ports = {peer: _free_port() for peer in commands}
        for peer, command in commands.items():
            stack.enter_context(started(command(folder, ports[peer]), ports[peer]))
        return _rows(folder, ports, rounds)


def _rows(folder: str, ports: dict[str, int], rounds: int) -> list[Row]:
    clients = {peer: Client(port) for peer, port in ports.items()}
    few = max(3, rounds // 4)
    rows: list[Row] = []

    def measure(name: str, deed: Callable[[str, Client], None], times: int) -> None:
        deeds = {peer: partial(deed, peer, client) for peer, client in clients.items()}
        samples = in_turns(deeds, times)
        rows.append(Row(name, "ms", samples, reference=REFERENCE, target=1.0))

    files = {peer: [fresh_file(folder, LARGE) for _ in range(few + 1)] for peer in clients}
    unused = {peer: list(each) for peer, each in files.items()}
    measure(
        f"registry: push {LARGE >> 20} MB",
        lambda peer, client: client.push(*unused[peer].pop(), "large"),
        few,
    )
    measure(
        f"registry: pull {LARGE >> 20} MB", lambda peer, client: client.pull(files[peer][0][1], "large"), few
    )

    def push_side_by_side(peer: str, _: Client) -> None:
        parts = [fresh.pop() for fresh in side[peer]]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda part: _push_alone(ports[peer], *part), parts))

    side = {peer: [[fresh_file(folder, PART) for _ in range(few + 1)] for _ in range(4)] for peer in clients}
    measure(f"registry: push 4 x {PART >> 20} MB at once", push_side_by_side, few)

    small = {
        peer: [[fresh_file(folder, SMALL) for _ in range(COUNT)] for _ in range(few + 1)] for peer in clients
    }
    pushed = {peer: each[0][0] for peer, each in small.items()}

    def push_small(peer: str, client: Client) -> None:
        for path, digest in small[peer].pop():
            client.push(path, digest, "small")

    measure(f"registry: push {COUNT} blobs of {SMALL >> 10} KB", push_small, few)

    def manifests(peer: str, client: Client) -> None:
        data = _manifest(pushed[peer])
        for _ in range(COUNT // 5):
            client.put_manifest(data, "small")
            client.get_manifest("small")

    measure(f"registry: {COUNT // 5} manifests, put and get", manifests, few)
    for client in clients.values():
        client.close()
    return rows


def _push_alone(port: int, path: str, digest: str) -> None:
    client = Client(port)
    client.push(path, digest, "side")
    client.close()


def _manifest(blob: tuple[str, str]) -> bytes:
    """A manifest that needs one blob, which it also takes for its config."""
    path, digest = blob
    descriptor = {"digest": digest, "size": os.path.getsize(path)}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **descriptor},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **descriptor}],
    }
    return json.dumps(document).encode()
