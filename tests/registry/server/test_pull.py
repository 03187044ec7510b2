"""Manifests as they came, blobs by range, and what is not there."""

from __future__ import annotations

import json
import secrets

import pytest
from tests.registry.server.box import Image, Served, digest_of, make_image

from nakagin.registry.server.pull import accepts, range_of
from nakagin.spec.image import MEDIA_DOCKER_MANIFEST, MEDIA_INDEX, MEDIA_MANIFEST

NOWHERE = digest_of(b"nobody pushes this")


def test_the_version_check(registry: Served) -> None:
    for path in ("/v2/", "/v2"):
        answer = registry.get(path)
        assert (answer.status, answer.json) == (200, {})
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


def test_manifests_come_as_they_went(registry: Served, name: str) -> None:
    image = make_image(annotations={"é": "\u2028 <&>"})
    registry.push(image, "v1", name)
    for reference in ("v1", image.digest):
        answer = registry.get(f"/v2/{name}/manifests/{reference}")
        assert answer.body == image.manifest
        assert answer.headers["content-type"] == MEDIA_MANIFEST
        assert answer.headers["docker-content-digest"] == image.digest
        head = registry.ask("HEAD", f"/v2/{name}/manifests/{reference}")
        assert (head.status, head.body) == (200, b"")
        same = ("content-type", "content-length", "docker-content-digest")
        assert [head.headers[key] for key in same] == [answer.headers[key] for key in same]


def test_docker_manifests_keep_their_type(registry: Served, name: str) -> None:
    image = make_image()
    document = {**json.loads(image.manifest), "mediaType": MEDIA_DOCKER_MANIFEST}
    docker = Image(image.config, image.layers, json.dumps(document).encode(), MEDIA_DOCKER_MANIFEST)
    for data in docker.blobs:
        registry.push_blob(data, name)
    assert registry.push_manifest(docker.manifest, "v1", name, MEDIA_DOCKER_MANIFEST).status == 201
    answer = registry.get(f"/v2/{name}/manifests/v1", Accept="*/*")
    assert (answer.body, answer.headers["content-type"]) == (docker.manifest, MEDIA_DOCKER_MANIFEST)
    oci_only = registry.get(f"/v2/{name}/manifests/v1", Accept=f"{MEDIA_MANIFEST}, {MEDIA_INDEX}")
    oci_only.fails(404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ([], True), ([""], True), (["*/*"], True), (["application/json"], True), (["text/html"], False),
        ([MEDIA_MANIFEST], True), ([f"{MEDIA_INDEX}, {MEDIA_MANIFEST};q=0.5"], True), ([MEDIA_INDEX], False),
        ([MEDIA_INDEX, MEDIA_MANIFEST.upper()], True),
    ],
)  # fmt: skip
def test_accept(values: list[str], taken: bool) -> None:
    assert accepts(values, MEDIA_MANIFEST) is taken


def test_what_is_known_is_not_sent_again(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "v1", name)
    blob = digest_of(image.layers[0])
    for path, digest in ((f"manifests/{image.digest}", image.digest), (f"blobs/{blob}", blob)):
        first = registry.get(f"/v2/{name}/{path}")
        again = registry.ask("GET", f"/v2/{name}/{path}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["docker-content-digest"] == digest


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_unknown_things(registry: Served, name: str, method: str) -> None:
    registry.push(make_image(), "v1", name)
    for repository in (name, "test/nothing/here"):
        for path in (f"manifests/{NOWHERE}", "manifests/nothing", "manifests/.no", f"blobs/{NOWHERE}"):
            answer = registry.ask(method, f"/v2/{repository}/{path}")
            assert answer.status == 404
            if method == "GET":
                answer.fails(404, "BLOB_UNKNOWN" if "blobs" in path else "MANIFEST_UNKNOWN")
    for path in ("blobs/sha256:1", "blobs/md5:00", "manifests/sha256:xyz"):
        assert registry.ask(method, f"/v2/{name}/{path}").status == 400
    registry.get(f"/v2/{name}/blobs/latest").fails(400, "DIGEST_INVALID")


def test_a_blob_of_another_repository_is_not_given(registry: Served, name: str) -> None:
    digest = registry.push_blob(b"secret " + secrets.token_bytes(8), f"{name}/private")
    registry.push_blob(b"mine", f"{name}/public")
    registry.get(f"/v2/{name}/public/blobs/{digest}").fails(404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("wanted", "first", "count"),
    [
        ("bytes=0-99", 0, 100), ("bytes=100-199", 100, 100), ("bytes=900-", 900, 100), ("bytes=-1", 999, 1),
        ("bytes=-5000", 0, 1000), ("bytes=0-5000", 0, 1000), ("bytes=999-999", 999, 1),
    ],
)  # fmt: skip
def test_ranges(registry: Served, name: str, wanted: str, first: int, count: int) -> None:
    data = secrets.token_bytes(1000)
    path = f"/v2/{name}/blobs/{registry.push_blob(data, name)}"
    answer = registry.get(path, Range=wanted)
    assert (answer.status, answer.body) == (206, data[first : first + count])
    assert answer.headers["content-range"] == f"bytes {first}-{first + count - 1}/1000"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_ranges_outside(registry: Served, name: str, wanted: str) -> None:
    path = f"/v2/{name}/blobs/{registry.push_blob(b'x' * 1000, name)}"
    answer = registry.get(path, Range=wanted)
    answer.fails(416, "SIZE_INVALID")
    assert answer.headers["content-range"] == "bytes */1000"


@pytest.mark.parametrize(
    "wanted", ["bytes=", "bytes=-", "lines=1-2", "bytes=5-1", "bytes=0-1,5-6", "x", "bytes=a-b"]
)
def test_ranges_that_are_none_give_all(registry: Served, name: str, wanted: str) -> None:
    path = f"/v2/{name}/blobs/{registry.push_blob(b'x' * 1000, name)}"
    answer = registry.get(path, Range=wanted)
    assert (answer.status, len(answer.body)) == (200, 1000)


def test_a_range_of_something_else() -> None:
    headers = {"Range": "bytes=1-2", "If-Range": '"sha256:other"'}
    assert range_of(headers, 10, "sha256:this") is None
    assert range_of({**headers, "If-Range": '"sha256:this"'}, 10, "sha256:this") == (1, 2)


def test_large_blobs_and_many_at_once(registry: Served, name: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    data = secrets.token_bytes(8 << 20)
    path = f"/v2/{name}/blobs/{registry.push_blob(data, name)}"
    with ThreadPoolExecutor(6) as pool:
        for answer in pool.map(lambda _: registry.get(path), range(12)):
            assert answer.body == data
    head = registry.ask("HEAD", path)
    assert (head.status, head.headers["content-length"]) == (200, str(len(data)))


@pytest.mark.parametrize(
    "path", ["/", "/v1/", "/v2x", "/v2/app", "/v2/app/", "/v2/app/tags", "/favicon.ico", "/v2//tags/list"]
)
def test_paths_that_name_nothing(registry: Served, path: str) -> None:
    assert registry.get(path).status in (400, 404)


@pytest.mark.parametrize(
    "bad",
    ["Upper", "a//b", "-a", "a-", "a..b", "_a", "a/_blobs", "a___b", "%2e%2e/x", "a/%2e%2e/b", "a" * 256],
)
def test_names_that_are_none(registry: Served, bad: str) -> None:
    registry.get(f"/v2/{bad}/tags/list").fails(400, "NAME_INVALID")
    registry.ask("POST", f"/v2/{bad}/blobs/uploads/").fails(400, "NAME_INVALID")


@pytest.mark.parametrize(
    "good", ["a", "a/b/c/d", "a.b_c__d-e---f", "0", "blobs/uploads", "x/manifests/y", "v2/tags/list"]
)
def test_names(registry: Served, good: str) -> None:
    image = make_image()
    registry.push(image, "v1", f"named/{good}")
    registry.check(image, "v1", f"named/{good}")


def test_methods_that_are_not_possible(registry: Served, name: str) -> None:
    registry.ask("PUT", "/v2/").fails(405, "UNSUPPORTED")
    registry.ask("OPTIONS", f"/v2/{name}/tags/list").fails(405, "UNSUPPORTED")
    answer = registry.ask("POST", f"/v2/{name}/manifests/x")
    answer.fails(405, "UNSUPPORTED")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"
