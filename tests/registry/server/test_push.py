"""Uploads in every form that the specification has, and manifests."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.engine_fixture import await_until
from tests.registry.server.box import Served, descriptor, digest_of, make_image, make_index

from nakagin.registry.server import uploads
from nakagin.spec.image import MEDIA_INDEX, MEDIA_MANIFEST


def test_post_then_put(registry: Served, name: str) -> None:
    data = secrets.token_bytes(5000)
    digest = digest_of(data)
    begun = registry.ask("POST", f"/v2/{name}/blobs/uploads/")
    assert begun.status == 202
    assert begun.headers["range"] == "0-0"
    assert begun.headers["docker-upload-uuid"] in begun.headers["location"]
    done = registry.ask("PUT", f"{begun.headers['location']}?digest={digest}", data)
    assert done.status == 201
    assert done.headers["location"] == f"/v2/{name}/blobs/{digest}"
    assert registry.get(done.headers["location"]).body == data


def test_single_post(registry: Served, name: str) -> None:
    data = secrets.token_bytes(3 << 20)
    done = registry.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(data)}", data)
    assert done.status == 201
    assert registry.get(done.headers["location"]).body == data
    wrong = registry.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(b'other')}", data)
    wrong.fails(400, "DIGEST_INVALID")


def test_the_empty_blob(registry: Served, name: str) -> None:
    digest = registry.push_blob(b"", name)
    answer = registry.get(f"/v2/{name}/blobs/{digest}")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_chunks_in_order(registry: Served, name: str) -> None:
    data = secrets.token_bytes(30_000)
    location = registry.begin(name)
    for start in range(0, 30_000, 10_000):
        piece = data[start : start + 10_000]
        sent = registry.ask("PATCH", location, piece, {"Content-Range": f"{start}-{start + len(piece) - 1}"})
        assert sent.status == 202
        assert sent.headers["range"] == f"0-{start + len(piece) - 1}"
        location = sent.headers["location"]
        status = registry.get(location)
        assert (status.status, status.headers["range"]) == (204, sent.headers["range"])
    done = registry.ask("PUT", f"{location}?digest={digest_of(data)}")
    assert done.status == 201
    assert registry.get(done.headers["location"]).body == data


def test_the_last_chunk_in_the_put(registry: Served, name: str) -> None:
    data = secrets.token_bytes(2000)
    location = registry.begin(name)
    registry.ask("PATCH", location, data[:1500], {"Content-Range": "0-1499"})
    wrong = registry.ask(
        "PUT", f"{location}?digest={digest_of(data)}", data[1500:], {"Content-Range": "1400-1899"}
    )
    wrong.fails(416, "BLOB_UPLOAD_INVALID")
    done = registry.ask(
        "PUT", f"{location}?digest={digest_of(data)}", data[1500:], {"Content-Range": "bytes 1500-1999/2000"}
    )
    assert done.status == 201


def test_chunks_out_of_order(registry: Served, name: str) -> None:
    location = registry.begin(name)
    assert registry.ask("PATCH", location, b"a" * 100, {"Content-Range": "0-99"}).status == 202
    for span in ("0-99", "50-149", "200-299"):
        wrong = registry.ask("PATCH", location, b"b" * 100, {"Content-Range": span})
        wrong.fails(416, "BLOB_UPLOAD_INVALID")
        assert wrong.headers["range"] == "0-99"
        assert wrong.headers["location"] == location
    assert registry.get(location).headers["range"] == "0-99"
    assert registry.ask("PATCH", location, b"b" * 100, {"Content-Range": "100-199"}).status == 202


@pytest.mark.parametrize("span", ["", "x", "9-1", "0-", "-5", "0-9999999999999999999999999", "bytes=*/5"])
def test_senseless_content_range(registry: Served, name: str, span: str) -> None:
    registry.ask("PATCH", registry.begin(name), b"x", {"Content-Range": span}).fails(
        400, "BLOB_UPLOAD_INVALID"
    )


def test_a_chunk_of_another_length(registry: Served, name: str) -> None:
    location = registry.begin(name)
    registry.ask("PATCH", location, b"x" * 5, {"Content-Range": "0-9"}).fails(400, "SIZE_INVALID")
    streamed = registry.ask("PATCH", location, iter([b"x" * 5]), {"Content-Range": "0-9"})
    streamed.fails(400, "SIZE_INVALID")


def test_streamed_without_a_range(registry: Served, name: str) -> None:
    """Docker's way: one PATCH with chunked transfer encoding, then a PUT without a body."""
    pieces = [secrets.token_bytes(100_000) for _ in range(30)]
    location = registry.begin(name)
    assert registry.ask("PATCH", location, iter(pieces)).status == 202
    data = b"".join(pieces)
    done = registry.ask("PUT", f"{location}?digest={digest_of(data)}")
    assert done.status == 201
    assert registry.get(done.headers["location"]).body == data


def test_wrong_digests(registry: Served, name: str) -> None:
    location = registry.begin(name)
    for digest in ("", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + "G" * 64):
        registry.ask("PUT", f"{location}?digest={digest}", b"data").fails(400, "DIGEST_INVALID")
    registry.ask("PUT", location, b"data").fails(400, "DIGEST_INVALID")
    wrong = registry.ask("PUT", f"{location}?digest={digest_of(b'other')}", b"data")
    wrong.fails(400, "DIGEST_INVALID")
    registry.get(location).fails(404, "BLOB_UPLOAD_UNKNOWN")
    registry.get(f"/v2/{name}/blobs/{digest_of(b'other')}").fails(404, "BLOB_UNKNOWN")


def test_sha512(registry: Served, name: str) -> None:
    image = make_image(algorithm="sha512")
    registry.push(image, "long", name, "sha512")
    registry.check(image, "long", name, "sha512")
    by_digest = digest_of(image.manifest, "sha512")
    assert (
        registry.push_manifest(image.manifest, by_digest, name).headers["docker-content-digest"] == by_digest
    )
    assert registry.get(f"/v2/{name}/manifests/{by_digest}").body == image.manifest


def test_the_algorithm_is_announced(registry: Served, name: str) -> None:
    data = secrets.token_bytes(1000)
    begun = registry.ask("POST", f"/v2/{name}/blobs/uploads/?digest-algorithm=sha512")
    assert begun.status == 202
    done = registry.ask("PUT", f"{begun.headers['location']}?digest={digest_of(data, 'sha512')}", data)
    assert done.status == 201
    registry.ask("POST", f"/v2/{name}/blobs/uploads/?digest-algorithm=md5").fails(400, "DIGEST_INVALID")


def test_sessions_that_are_none(registry: Served, name: str) -> None:
    mine = registry.begin(name)
    foreign = mine.replace(name, "test/another")
    assert registry.get(f"/v2/{name}/blobs/uploads/..%2fabout").status == 404
    for location in (foreign, f"/v2/{name}/blobs/uploads/{'0' * 36}", f"/v2/{name}/blobs/uploads/.."):
        for method in ("GET", "PATCH", "DELETE"):
            registry.ask(method, location, b"x").fails(404, "BLOB_UPLOAD_UNKNOWN")
        registry.ask("PUT", f"{location}?digest={digest_of(b'x')}", b"x").fails(404, "BLOB_UPLOAD_UNKNOWN")


def test_cancel(registry: Served, name: str) -> None:
    location = registry.begin(name)
    registry.ask("PATCH", location, b"x" * 1000)
    assert registry.ask("DELETE", location).status == 204
    registry.get(location).fails(404, "BLOB_UPLOAD_UNKNOWN")
    registry.ask("DELETE", location).fails(404, "BLOB_UPLOAD_UNKNOWN")


def test_an_aborted_upload_goes_on_where_it_ended(registry: Served, name: str) -> None:
    data = secrets.token_bytes(6 << 20)
    location = registry.begin(name)
    with socket.create_connection(("127.0.0.1", registry.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: 5 << 20])

    def arrived() -> int:
        return int(registry.get(location).headers["range"].partition("-")[2]) + 1

    def goes_on() -> bool:
        there = arrived()
        rest = registry.ask("PATCH", location, data[there:], {"Content-Range": f"{there}-{len(data) - 1}"})
        return there > 1 << 20 and rest.status == 202  # 416: the cut request was still writing

    await_until(goes_on, "the rest to be taken")
    assert registry.ask("PUT", f"{location}?digest={digest_of(data)}").status == 201


def test_who_has_silently_gone_gives_way(
    registry: Served, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old connection is still open on this side; the client comes back with another one."""
    monkeypatch.setattr(uploads, "PATIENCE", 0.2)
    data = secrets.token_bytes(4 << 20)
    location = registry.begin(name)
    with socket.create_connection(("127.0.0.1", registry.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: 3 << 20])

        def arrived() -> int:
            return int(registry.get(location).headers["range"].partition("-")[2]) + 1

        await_until(lambda: arrived() >= 2 << 20, "the first bytes")
        there = arrived()
        span = {"Content-Range": f"{there}-{len(data) - 1}"}
        rest = registry.ask("PATCH", location, data[there:], span)
        if rest.status == 416:  # a piece more had come
            there = int(rest.headers["range"].partition("-")[2]) + 1
            span = {"Content-Range": f"{there}-{len(data) - 1}"}
            rest = registry.ask("PATCH", location, data[there:], span)
        assert rest.status == 202
    assert registry.ask("PUT", f"{location}?digest={digest_of(data)}").status == 201


def test_a_session_outlives_the_registry(own: Callable[..., Served]) -> None:
    data = secrets.token_bytes(50_000)
    first = own()
    location = first.begin()
    first.ask("PATCH", location, data[:30_000])
    first.close()
    second = own()
    assert second.get(location).headers["range"] == "0-29999"
    second.ask("PATCH", location, data[30_000:], {"Content-Range": "30000-49999"})
    assert second.ask("PUT", f"{location}?digest={digest_of(data)}").status == 201
    assert second.get(f"/v2/app/blobs/{digest_of(data)}").body == data


def test_expect_continue(registry: Served, name: str) -> None:
    data = b"x" * 1000
    location = registry.begin(name)
    with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as connection:
        connection.sendall(
            f"PUT {location}?digest={digest_of(data)} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Length: {len(data)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(data)
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_one_blob_pushed_by_many_at_once(registry: Served, name: str) -> None:
    data = secrets.token_bytes(2 << 20)
    barrier = threading.Barrier(8)

    def push(number: int) -> str:
        barrier.wait(10)
        return registry.push_blob(data, f"{name}/{number % 3}")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(push, range(8))) == {digest_of(data)}
    for number in range(3):
        assert registry.get(f"/v2/{name}/{number}/blobs/{digest_of(data)}").body == data


def test_mount(registry: Served, name: str) -> None:
    digest = registry.push_blob(secrets.token_bytes(100), f"{name}/source")
    path = f"/v2/{name}/target/blobs/uploads/?mount={digest}&from="
    mounted = registry.ask("POST", path + f"{name}/source")
    assert mounted.status == 201
    assert mounted.headers["location"] == f"/v2/{name}/target/blobs/{digest}"
    assert registry.get(mounted.headers["location"]).status == 200
    for source in (f"{name}/nowhere", "NOT/A/NAME", "../x"):
        falls_back = registry.ask("POST", path.replace("target", "other") + source)
        assert falls_back.status == 202
        assert "/blobs/uploads/" in falls_back.headers["location"]
    assert registry.ask("POST", path.replace("&from=", "").replace("target", "third")).status == 201
    unknown = f"/v2/{name}/target/blobs/uploads/?mount={digest_of(b'nobody has this')}"
    assert registry.ask("POST", unknown).status == 202
    registry.ask("POST", f"/v2/{name}/target/blobs/uploads/?mount=sha256:12").fails(400, "DIGEST_INVALID")


def test_manifests_by_tag_and_by_digest(registry: Served, name: str) -> None:
    image = make_image()
    for data in image.blobs:
        registry.push_blob(data, name)
    by_digest = registry.push_manifest(image.manifest, image.digest, name)
    assert by_digest.status == 201
    assert by_digest.headers["location"] == f"/v2/{name}/manifests/{image.digest}"
    assert registry.get(f"/v2/{name}/tags/list").json["tags"] == []
    by_tag = registry.push_manifest(image.manifest, "v1", name)
    assert by_tag.headers["docker-content-digest"] == image.digest
    registry.check(image, "v1", name)


def test_several_tags_at_once(registry: Served, name: str) -> None:
    image = make_image()
    for data in image.blobs:
        registry.push_blob(data, name)
    done = registry.push_manifest(image.manifest, f"{image.digest}?tag=a&tag=b", name)
    assert done.status == 201
    assert registry.get(f"/v2/{name}/tags/list").json["tags"] == ["a", "b"]
    registry.push_manifest(image.manifest, f"{image.digest}?tag=.no", name).fails(400, "MANIFEST_INVALID")


def test_what_a_manifest_needs_must_be_there(registry: Served, name: str) -> None:
    image = make_image(layers=1)
    registry.push_manifest(image.manifest, "v1", name).fails(404, "MANIFEST_BLOB_UNKNOWN")
    registry.push_blob(image.config, name)
    missing = registry.push_manifest(image.manifest, "v1", name)
    missing.fails(404, "MANIFEST_BLOB_UNKNOWN")
    assert digest_of(image.layers[0]) in missing.body.decode()
    registry.push_blob(image.layers[0], f"{name}/elsewhere")
    registry.push_manifest(image.manifest, "v1", name).fails(404, "MANIFEST_BLOB_UNKNOWN")
    index = make_index(image)
    registry.push_manifest(index, "all", name, MEDIA_INDEX).fails(404, "MANIFEST_BLOB_UNKNOWN")


def test_layers_that_live_elsewhere_are_not_needed(registry: Served, name: str) -> None:
    image = make_image(layers=1)
    registry.push_blob(image.config, name)
    document = json.loads(image.manifest)
    document["layers"][0]["urls"] = ["https://example.com/layer"]
    document["layers"].append(descriptor(b"none", "application/vnd.oci.image.layer.nondistributable.v1.tar"))
    assert registry.push_manifest(json.dumps(document).encode(), "v1", name).status == 201


def test_indexes(registry: Served, name: str) -> None:
    one, two = make_image(), make_image()
    for image in (one, two):
        registry.push(image, "x", name)
    index = make_index(one, two)
    assert registry.push_manifest(index, "all", name, MEDIA_INDEX).status == 201
    answer = registry.get(f"/v2/{name}/manifests/all", Accept=f"{MEDIA_INDEX}, {MEDIA_MANIFEST}")
    assert (answer.body, answer.headers["content-type"]) == (index, MEDIA_INDEX)


def test_sparse_indexes(own: Callable[..., Served]) -> None:
    registry = own(sparse_indexes=True)
    assert registry.push_manifest(make_index(make_image()), "all", media_type=MEDIA_INDEX).status == 201


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"schemaVersion":1}', b'{"schemaVersion":2,"mediaType":"text/x"}',
        b'{"schemaVersion":2,"config":{},"layers":[]}', b'{"schemaVersion":2,"config":7,"layers":"x"}',
        b'{"manifests":[],"layers":[]}', b'{"manifests":[{"mediaType":"a","digest":"b","size":-1}]}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_manifest(registry: Served, name: str, data: bytes) -> None:
    registry.push_manifest(data, "v1", name, "application/json").fails(400, "MANIFEST_INVALID")


def test_ambiguous_manifests_are_refused(registry: Served, name: str) -> None:
    """CVE-2021-41190: one document that is a manifest to one reader and an index to another."""
    image = make_image()
    registry.push(image, "v1", name)
    registry.push_manifest(image.manifest, "v2", name, MEDIA_INDEX).fails(400, "MANIFEST_INVALID")
    both = json.dumps({**json.loads(image.manifest), "manifests": []}).encode()
    registry.push_manifest(both, "v2", name).fails(400, "MANIFEST_INVALID")


def test_a_manifest_of_another_digest(registry: Served, name: str) -> None:
    image = make_image()
    registry.push_manifest(image.manifest, digest_of(b"x"), name).fails(400, "DIGEST_INVALID")
    registry.push_manifest(image.manifest, "sha256:12", name).fails(400, "DIGEST_INVALID")


def test_manifests_have_a_bound(registry: Served, own: Callable[..., Served], name: str) -> None:
    image = make_image(annotations={"padding": "x" * (4 << 20)})
    registry.push_manifest(image.manifest, "v1", name).fails(413, "SIZE_INVALID")
    registry.ask("PUT", f"/v2/{name}/manifests/v1", iter([image.manifest])).fails(413, "SIZE_INVALID")
    small = own(manifest_limit="1k")
    small.push_manifest(image.manifest, "v1").fails(413, "SIZE_INVALID")
    fits = make_image(annotations={"padding": "x" * 4_000_000})
    registry.push(fits, "v1", name)
    registry.check(fits, "v1", name)


@pytest.mark.parametrize("tag", [".dot", "-dash", "x" * 129, "a%20b", "sl%2fash", "%00"])
def test_what_is_no_tag(registry: Served, name: str, tag: str) -> None:
    answer = registry.push_manifest(make_image().manifest, tag, name)
    assert answer.status in (400, 404)
    assert answer.code in ("MANIFEST_INVALID", "NAME_INVALID", "UNSUPPORTED")


def test_immutable_tags(own: Callable[..., Served]) -> None:
    registry = own(immutable_tags=["app:v*"])
    one, two = make_image(), make_image()
    registry.push(one, "v1")
    registry.push(two, "latest")
    registry.push_manifest(two.manifest, "v1").fails(409, "DENIED")
    assert registry.push_manifest(one.manifest, "v1").status == 201
    registry.push(one, "latest")
    registry.check(one, "v1")


def test_the_least_chunk_is_announced(own: Callable[..., Served]) -> None:
    registry = own(chunk_min_length="1m")
    assert registry.ask("POST", "/v2/app/blobs/uploads/").headers["oci-chunk-min-length"] == str(1 << 20)
