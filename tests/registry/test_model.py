"""Manifests and indexes, written by strangers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.registry.made import index_of, layer_of, made

from nakagin.errors import Damaged, NakaginError, Unsupported
from nakagin.registry.model import LARGEST_MANIFEST, Index, Manifest, decode, encode, verify
from nakagin.spec import image as media
from nakagin.spec.digest import digest_of
from nakagin.spec.platform import Platform

DIGEST = "sha256:" + "a" * 64
ENTRY = {"mediaType": media.MEDIA_CONFIG, "digest": DIGEST, "size": 2}


def test_a_manifest() -> None:
    image = made(layer_of("a"), layer_of("b"), docker=True)
    found = decode(image.manifest, image.media_type)
    assert isinstance(found, Manifest)
    assert [each.digest for each in found.blobs] == [image.image_id, *image.layers]
    assert decode(encode(found)) == found


def test_everything_that_a_descriptor_can_say() -> None:
    entry = {
        **ENTRY, "urls": ["https://x"], "annotations": {"a": "b"}, "data": "e30=", "artifactType": "x/y", "unknown": 1,
        "platform": {"architecture": "arm", "os": "linux", "os.version": "1", "os.features": ["f"], "variant": "v7"},
    }  # fmt: skip
    document = {"schemaVersion": 2, "manifests": [entry], "subject": ENTRY, "annotations": {"c": "d"}}
    found = decode(json.dumps(document).encode(), media.MEDIA_INDEX)
    assert isinstance(found, Index)
    (one,) = found.manifests
    assert (one.urls, one.annotations, one.data, one.artifact_type) == (
        ("https://x",),
        {"a": "b"},
        "e30=",
        "x/y",
    )
    assert found.platforms() == [Platform.make("linux", "arm", "v7", "1")]
    assert found.subject is not None


def test_the_platform_is_chosen_and_attestations_never() -> None:
    amd, arm = made(layer_of("a")), made(layer_of("b"), architecture="arm64")
    data, kind = index_of(
        (amd, {"os": "unknown", "architecture": "unknown"}),
        (arm, {"os": "linux", "architecture": "arm64", "variant": "v8"}),
        (amd, {"os": "linux", "architecture": "amd64"}),
    )
    index = decode(data, kind)
    assert isinstance(index, Index)
    assert index.choose(Platform.parse("linux/arm64")) == index.manifests[1]
    assert index.choose(Platform.parse("linux/amd64")) == index.manifests[2]
    assert index.choose(Platform.parse("linux/s390x")) is None
    assert [str(each) for each in index.platforms()] == ["linux/arm64", "linux/amd64"]


@pytest.mark.parametrize(
    ("document", "said", "error"),
    [
        ({"schemaVersion": 2, "manifests": [], "layers": []}, "", Damaged),
        ({"schemaVersion": 2, "manifests": [], "config": ENTRY}, media.MEDIA_INDEX, Damaged),
        ({"mediaType": media.MEDIA_INDEX, "manifests": []}, media.MEDIA_DOCKER_LIST, Damaged),
        ({"mediaType": media.MEDIA_MANIFEST, "manifests": []}, "", Damaged),
        ({"mediaType": media.MEDIA_INDEX, "config": ENTRY, "layers": []}, "", Damaged),
        ({"mediaType": 7, "manifests": []}, "", Damaged),
        ({"schemaVersion": 1, "fsLayers": []}, "", Unsupported),
        ({"layers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws", Unsupported),
        ({"config": ENTRY, "layers": []}, "text/html; charset=utf-8", Unsupported),
        ({"config": {**ENTRY, "digest": "sha256:../../x"}, "layers": []}, media.MEDIA_MANIFEST, Damaged),
        ({"config": {**ENTRY, "size": -1}, "layers": []}, media.MEDIA_MANIFEST, Damaged),
        ({"config": {**ENTRY, "size": 1 << 70}, "layers": []}, media.MEDIA_MANIFEST, Damaged),
        ({"config": ENTRY, "layers": [ENTRY] * 1001}, media.MEDIA_MANIFEST, Damaged),
        ({"config": ENTRY}, media.MEDIA_MANIFEST, Damaged),
        ([], "", Damaged),
    ],
)
def test_what_is_refused(document: Any, said: str, error: type[NakaginError]) -> None:
    """Among them CVE-2021-41190: documents that can be read in two ways."""
    with pytest.raises(error):
        decode(json.dumps(document).encode(), said)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"{" * 1000, b" " * (LARGEST_MANIFEST + 1)])
def test_bytes_that_are_no_document(data: bytes) -> None:
    with pytest.raises(Damaged):
        decode(data, media.MEDIA_MANIFEST)


def test_vague_types_are_guessed_and_null_lists_are_empty() -> None:
    found = decode(json.dumps({"config": ENTRY, "layers": None}).encode(), "application/octet-stream")
    assert isinstance(found, Manifest)
    assert found.layers == ()


def test_verify() -> None:
    verify(b"x", digest_of(b"x"))
    with pytest.raises(Damaged):
        verify(b"y", digest_of(b"x"))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.just(DIGEST)
    | st.just(media.MEDIA_INDEX),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "mediaType",
                    "digest",
                    "size",
                    "config",
                    "layers",
                    "manifests",
                    "platform",
                    "os",
                    "architecture",
                    "urls",
                    "annotations",
                    "subject",
                    "schemaVersion",
                    "data",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(document=anything, said=st.sampled_from(["", media.MEDIA_INDEX, media.MEDIA_MANIFEST, "x"]))
@example(document={"mediaType": [], "manifests": []}, said="")
def test_any_document_decodes_or_is_refused(document: Any, said: str) -> None:
    try:
        found = decode(msgspec.json.encode(document) if not _huge(document) else b"{}", said)
    except NakaginError:
        return
    if isinstance(found, Index):
        found.choose(Platform.parse("linux/amd64"))
        found.platforms()


def _huge(document: Any) -> bool:
    """msgspec writes only 64 bits."""
    if isinstance(document, int):
        return not -(1 << 63) <= document < 1 << 63
    values = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    return any(map(_huge, values))


@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with pytest.raises(NakaginError):
        decode(data, media.MEDIA_MANIFEST)
