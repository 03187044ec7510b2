"""Deleting tags, manifests and blobs, and where that is not allowed."""

from __future__ import annotations

from collections.abc import Callable

from tests.registry.server.box import Served, digest_of, make_image, make_index

from nakagin.spec.image import MEDIA_INDEX


def test_tags(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "a", name)
    registry.push(image, "b", name)
    assert registry.ask("DELETE", f"/v2/{name}/manifests/a").status == 202
    registry.ask("DELETE", f"/v2/{name}/manifests/a").fails(404, "MANIFEST_UNKNOWN")
    registry.get(f"/v2/{name}/manifests/a").fails(404, "MANIFEST_UNKNOWN")
    registry.check(image, "b", name)


def test_manifests_with_all_their_tags(registry: Served, name: str) -> None:
    image, other = make_image(), make_image()
    for tag in ("a", "b"):
        registry.push(image, tag, name)
    registry.push(other, "c", name)
    path = f"/v2/{name}/manifests/{image.digest}"
    assert registry.ask("DELETE", path).status == 202
    registry.ask("DELETE", path).fails(404, "MANIFEST_UNKNOWN")
    for reference in ("a", "b", image.digest):
        registry.get(f"/v2/{name}/manifests/{reference}").fails(404, "MANIFEST_UNKNOWN")
    assert registry.get(f"/v2/{name}/tags/list").json["tags"] == ["c"]
    registry.ask("DELETE", f"/v2/{name}/manifests/sha256:1").fails(400, "DIGEST_INVALID")


def test_blobs(registry: Served, name: str) -> None:
    digest = registry.push_blob(b"alone", name)
    other = f"{name}/other"
    registry.push_blob(b"alone", other)
    assert registry.ask("DELETE", f"/v2/{name}/blobs/{digest}").status == 202
    registry.ask("DELETE", f"/v2/{name}/blobs/{digest}").fails(404, "BLOB_UNKNOWN")
    registry.get(f"/v2/{name}/blobs/{digest}").fails(404, "BLOB_UNKNOWN")
    assert registry.get(f"/v2/{other}/blobs/{digest}").body == b"alone"
    registry.ask("DELETE", f"/v2/{name}/blobs/sha256:1").fails(400, "DIGEST_INVALID")


def test_a_blob_that_a_manifest_needs_stays(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "v1", name)
    path = f"/v2/{name}/blobs/{digest_of(image.layers[0])}"
    registry.ask("DELETE", path).fails(405, "UNSUPPORTED")
    registry.check(image, "v1", name)
    registry.ask("DELETE", f"/v2/{name}/manifests/{image.digest}")
    assert registry.ask("DELETE", path).status == 202


def test_an_index_and_what_it_lists(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "one", name)
    index = make_index(image)
    registry.push_manifest(index, "all", name, MEDIA_INDEX)
    assert registry.ask("DELETE", f"/v2/{name}/manifests/{digest_of(index)}").status == 202
    registry.check(image, "one", name)


def test_deletion_switched_off(own: Callable[..., Served]) -> None:
    registry = own(delete=False)
    image = make_image()
    registry.push(image, "v1")
    for path in ("manifests/v1", f"manifests/{image.digest}", f"blobs/{digest_of(image.config)}"):
        registry.ask("DELETE", f"/v2/app/{path}").fails(405, "UNSUPPORTED")
    assert registry.ask("DELETE", registry.begin()).status == 204
    registry.check(image, "v1")


def test_read_only(own: Callable[..., Served]) -> None:
    image = make_image()
    first = own()
    first.push(image, "v1")
    first.close()
    registry = own(read_only=True)
    registry.check(image, "v1")
    registry.ask("POST", "/v2/app/blobs/uploads/").fails(405, "UNSUPPORTED")
    registry.push_manifest(image.manifest, "v2").fails(405, "UNSUPPORTED")
    registry.ask("DELETE", "/v2/app/manifests/v1").fails(405, "UNSUPPORTED")
    registry.ask("PATCH", "/v2/app/blobs/uploads/x", b"x").fails(405, "UNSUPPORTED")
