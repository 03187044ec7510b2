"""Tags, catalog and referrers, in pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.registry.server.box import Served, descriptor, digest_of, make_image, make_index

from nakagin.spec.image import MEDIA_INDEX


def following(answer_headers: dict[str, str]) -> str:
    """The path of the next page."""
    link, _, relation = answer_headers["link"].partition(";")
    assert relation.strip() == 'rel="next"'
    return link.strip("<>")


def test_tags_in_pages(registry: Served, name: str) -> None:
    image = make_image()
    tags = ["Beta", "alpha", "v1", "v10", "V2", "zulu", "_x"]
    for tag in tags:
        registry.push(image, tag, name)
    wanted = sorted(tags, key=str.lower)
    path = f"/v2/{name}/tags/list"
    assert registry.get(path).json == {"name": name, "tags": wanted}
    assert "link" not in registry.get(path).headers
    seen: list[str] = []
    page = registry.get(f"{path}?n=3")
    while True:
        seen += page.json["tags"]
        if "link" not in page.headers:
            break
        assert len(page.json["tags"]) == 3
        page = registry.get(following(page.headers))
    assert seen == wanted
    assert registry.get(f"{path}?n=2&last=alpha").json["tags"] == wanted[wanted.index("alpha") + 1 :][:2]
    assert registry.get(f"{path}?last=zulu").json["tags"] == []
    nothing = registry.get(f"{path}?n=0")
    assert nothing.json["tags"] == []
    assert "link" not in nothing.headers
    assert registry.get(f"{path}?n=1000").json["tags"] == wanted


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "99999999999999999999999", "%C2%B2"])
def test_senseless_page_sizes(registry: Served, name: str, number: str) -> None:
    registry.push(make_image(), "v1", name)
    registry.get(f"/v2/{name}/tags/list?n={number}").fails(400, "PAGINATION_NUMBER_INVALID")


def test_tags_of_nothing(registry: Served, name: str) -> None:
    registry.get(f"/v2/{name}/tags/list").fails(404, "NAME_UNKNOWN")
    registry.push_blob(b"only a blob", name)
    assert registry.get(f"/v2/{name}/tags/list").json["tags"] == []


def test_catalog(own: Callable[..., Served]) -> None:
    registry = own(page=2)
    names = ["a/b", "a/b/c", "b", "z/y"]
    assert registry.get("/v2/_catalog").json == {"repositories": []}
    for name in names:
        registry.push(make_image(0), "v1", name)
    registry.push_blob(b"x", "only/blobs")
    seen: list[str] = []
    page = registry.get("/v2/_catalog")
    while True:
        seen += page.json["repositories"]
        if "link" not in page.headers:
            break
        page = registry.get(following(page.headers))
    assert seen == names
    assert registry.get("/v2/_catalog?n=1&last=a/b").json["repositories"] == ["a/b/c"]


def test_referrers(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "v1", name)
    subject = descriptor(image.manifest, image.media_type)
    path = f"/v2/{name}/referrers/{image.digest}"
    empty = registry.get(path)
    assert (empty.status, empty.headers["content-type"]) == (200, MEDIA_INDEX)
    assert empty.json == {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": []}

    signature = make_image(1, subject=subject, artifactType="application/x.signature", annotations={"a": "b"})
    by_config = make_image(1, subject=subject)
    for data in (*signature.blobs, *by_config.blobs):
        registry.push_blob(data, name)
    for each in (signature, by_config):
        pushed = registry.push_manifest(each.manifest, "", name)
        assert pushed.headers["oci-subject"] == image.digest
    index = make_index(subject=subject, artifactType="application/x.list")
    registry.push_manifest(index, "", name, MEDIA_INDEX)

    found = {each["digest"]: each for each in registry.get(path).json["manifests"]}
    assert found == {
        signature.digest: {
            **descriptor(signature.manifest, signature.media_type),
            "artifactType": "application/x.signature", "annotations": {"a": "b"},
        },
        by_config.digest: {
            **descriptor(by_config.manifest, by_config.media_type),
            "artifactType": "application/vnd.oci.image.config.v1+json",
        },
        digest_of(index): {**descriptor(index, MEDIA_INDEX), "artifactType": "application/x.list"},
    }  # fmt: skip

    filtered = registry.get(f"{path}?artifactType=application/x.signature")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert [each["digest"] for each in filtered.json["manifests"]] == [signature.digest]
    assert registry.get(f"{path}?artifactType=x").json["manifests"] == []

    first = registry.get(f"{path}?n=2")
    second = registry.get(following(first.headers))
    assert [each["digest"] for each in (*first.json["manifests"], *second.json["manifests"])] == sorted(found)

    fallback = registry.get(f"/v2/{name}/manifests/{image.digest.replace(':', '-')}")
    assert fallback.headers["content-type"] == MEDIA_INDEX
    assert {each["digest"] for each in fallback.json["manifests"]} == set(found)
    assert fallback.headers["docker-content-digest"] == digest_of(fallback.body)

    assert registry.ask("DELETE", f"/v2/{name}/manifests/{signature.digest}").status == 202
    assert signature.digest not in {each["digest"] for each in registry.get(path).json["manifests"]}


def test_a_subject_that_is_not_there_yet(registry: Served, name: str) -> None:
    image = make_image()
    early = make_image(0, subject=descriptor(image.manifest, image.media_type))
    registry.push(early, "early", name)
    path = f"/v2/{name}/referrers/{image.digest}"
    assert [each["digest"] for each in registry.get(path).json["manifests"]] == [early.digest]
    registry.push(image, "v1", name)
    assert len(registry.get(path).json["manifests"]) == 1


def test_a_pushed_fallback_tag_wins(registry: Served, name: str) -> None:
    image = make_image()
    registry.push(image, "v1", name)
    tag = image.digest.replace(":", "-")
    registry.get(f"/v2/{name}/manifests/{tag}").fails(404, "MANIFEST_UNKNOWN")
    index = make_index(image)
    assert registry.push_manifest(index, tag, name, MEDIA_INDEX).status == 201
    assert registry.get(f"/v2/{name}/manifests/{tag}").body == index


def test_referrers_of_no_digest(registry: Served, name: str) -> None:
    registry.get(f"/v2/{name}/referrers/latest").fails(400, "DIGEST_INVALID")
    registry.get(f"/v2/{name}/referrers/sha256:12").fails(400, "DIGEST_INVALID")
