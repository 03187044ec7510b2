"""Pull-through: from a registry of our own and from Debian's, many at once, and when the upstream is not well."""

from __future__ import annotations

import hashlib
import http.server
import json
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.engine_fixture import await_until
from tests.free_port import free_port
from tests.registry.server.box import Client, Served, digest_of, make_image, make_index

from nakagin.spec.image import MEDIA_INDEX, MEDIA_MANIFEST


def count(registry: Served, kind: str, method: str = "GET") -> int:
    """How many requests of a kind a registry has answered with content."""
    return registry.service.metrics.requests[method, kind, 200]


def test_what_is_not_here_is_fetched_once(own: Callable[..., Served]) -> None:
    upstream = own("upstream")
    image = make_image(2, 300_000)
    upstream.push(image, "v1", "team/app")
    through = own("through", upstream=[{"url": f"http://{upstream.address}", "fresh": "1h"}])
    for _ in range(2):
        through.check(image, "v1", "team/app")
    assert count(upstream, "blob") == 3
    assert count(upstream, "manifest") == 1
    assert through.get("/v2/team/app/tags/list").json["tags"] == ["v1"]
    upstream.close()
    through.check(image, "v1", "team/app")
    through.check(image, image.digest, "team/app")
    through.ask("POST", "/v2/team/app/blobs/uploads/").fails(405, "UNSUPPORTED")


def test_many_at_once_make_one_fetch(own: Callable[..., Served]) -> None:
    upstream = own("upstream")
    image = make_image(1, 5 << 20)
    upstream.push(image)
    through = own("through", upstream=[{"url": f"http://{upstream.address}"}])
    digest = digest_of(image.layers[0])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: through.get(f"/v2/app/blobs/{digest}"), range(16)))
    assert {answer.body for answer in answers} == {image.layers[0]}
    assert count(upstream, "blob") == 1
    assert through.get(f"/v2/app/blobs/{digest}", Range="bytes=5-9").body == image.layers[0][5:10]


def test_indexes_come_alone(own: Callable[..., Served]) -> None:
    """An index is kept although nobody has asked for its manifests yet."""
    upstream = own("upstream")
    one, two = make_image(), make_image()
    upstream.push(one, "one")
    upstream.push(two, "two")
    index = make_index(one, two)
    upstream.push_manifest(index, "all", media_type=MEDIA_INDEX)
    through = own("through", upstream=[{"url": f"http://{upstream.address}"}])
    assert through.get("/v2/app/manifests/all").body == index
    through.check(one)
    assert through.ask("HEAD", f"/v2/app/manifests/{two.digest}").status == 200


def test_a_tag_that_moves(own: Callable[..., Served]) -> None:
    upstream = own("upstream")
    old, new = make_image(), make_image()
    upstream.push(old)
    eager = own("eager", upstream=[{"url": f"http://{upstream.address}", "fresh": "0s"}])
    lazy = own("lazy", upstream=[{"url": f"http://{upstream.address}", "fresh": "1h"}])
    for through in (eager, lazy):
        through.check(old, "latest")
    upstream.push(new)
    eager.check(new, "latest")
    lazy.check(old, "latest")
    upstream.ask("DELETE", "/v2/app/manifests/latest")
    eager.get("/v2/app/manifests/latest").fails(404, "MANIFEST_UNKNOWN")
    lazy.check(old, "latest")


def test_what_the_upstream_does_not_have(own: Callable[..., Served]) -> None:
    upstream = own("upstream")
    upstream.push(make_image())
    through = own("through", upstream=[{"url": f"http://{upstream.address}"}])
    nowhere = digest_of(b"nobody has this")
    through.get("/v2/app/manifests/none").fails(404, "MANIFEST_UNKNOWN")
    through.get(f"/v2/app/manifests/{nowhere}").fails(404, "MANIFEST_UNKNOWN")
    through.get(f"/v2/app/blobs/{nowhere}").fails(404, "BLOB_UNKNOWN")
    assert through.ask("HEAD", f"/v2/app/blobs/{nowhere}").status == 404
    through.get("/v2/nothing/manifests/v1").fails(404, "MANIFEST_UNKNOWN")


def test_an_upstream_that_is_away(own: Callable[..., Served]) -> None:
    port = free_port()
    through = own("through", upstream=[{"url": f"http://127.0.0.1:{port}"}])
    through.get("/v2/app/manifests/v1").fails(502, "UNAVAILABLE")
    through.get(f"/v2/app/blobs/{digest_of(b'x')}").fails(502, "UNAVAILABLE")


def test_several_upstreams(own: Callable[..., Served]) -> None:
    first, second = own("first"), own("second")
    one, two = make_image(), make_image()
    first.push(one)
    second.push(two)
    through = own(
        "through",
        upstream=[
            {"url": f"http://{first.address}", "name": "one.example"},
            {"url": f"http://{second.address}", "name": "two.example:5000"},
        ],
    )
    assert through.get("/v2/app/manifests/latest").body == one.manifest
    assert through.get("/v2/app/manifests/latest?ns=one.example").body == one.manifest
    assert through.get("/v2/app/manifests/latest?ns=two.example:5000").body == two.manifest
    blob = digest_of(two.layers[0])
    assert through.get(f"/v2/app/blobs/{blob}?ns=two.example:5000").body == two.layers[0]
    through.get(f"/v2/app/blobs/{blob}").fails(404, "BLOB_UNKNOWN")


class Liar(http.server.BaseHTTPRequestHandler):
    """An upstream whose blobs are not what they are called, and whose connections break."""

    data = secrets.token_bytes(600_000)
    sent = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        digest = self.path.rpartition("/")[2]
        true = "sha256:" + hashlib.sha256(self.data).hexdigest()
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(self.data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(self.data) - 1}/{len(self.data)}")
        self.end_headers()
        rest = self.data[first:]
        if digest == true and len(rest) > 200_000:  # breaks off, again and again
            rest = rest[:200_000]
            self.close_connection = True
        type(self).sent += len(rest)
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def liar() -> Iterator[int]:
    """Its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_broken_connection_goes_on(own: Callable[..., Served], liar: int) -> None:
    through = own("through", upstream=[{"url": f"http://127.0.0.1:{liar}"}])
    Liar.sent = 0
    answer = through.get(f"/v2/app/blobs/{digest_of(Liar.data)}")
    assert (answer.status, answer.body) == (200, Liar.data)
    assert Liar.sent == len(Liar.data)


def test_a_blob_that_is_another_one(own: Callable[..., Served], liar: int) -> None:
    """The client gets an answer that is cut, and nothing stays."""
    through = own("through", upstream=[{"url": f"http://127.0.0.1:{liar}"}])
    wrong = digest_of(b"something else")
    connection = through.connect()
    connection.request("GET", f"/v2/app/blobs/{wrong}")
    with pytest.raises((OSError, Exception)):
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status != 200
        assert not data
    connection.close()
    root = Path(through.settings.root)
    await_until(lambda: not list((root / "uploads").iterdir()), "the upload to go")
    assert not list((root / "blobs").rglob(wrong.partition(":")[2]))


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Client]:
    """Debian's docker-registry."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("no docker-registry")
    port = free_port()
    config = tmp_path / "config.json"  # JSON is YAML
    document: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "debian")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config.write_text(json.dumps(document))
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await_until(lambda: answers(port), "docker-registry to answer")
        yield Client(port)
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_through_debians_registry(own: Callable[..., Served], debian: Client) -> None:
    image = make_image(3, 100_000)
    debian.push_blob(image.config)
    for layer in image.layers:
        debian.push_blob(layer)
    assert debian.push_manifest(image.manifest, "v1", media_type=MEDIA_MANIFEST).status == 201
    through = own("through", upstream=[{"url": f"http://{debian.address}"}])
    through.check(image, "v1")
    through.check(image, image.digest)
