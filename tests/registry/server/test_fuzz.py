"""Whatever is sent, the answer is never 500 and nothing leads out of the root."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.registry.server.box import Served, digest_of, make_image, served

from nakagin.registry.server import routes
from nakagin.registry.server.manifests import read
from nakagin.registry.server.names import is_name
from nakagin.registry.server.pull import range_of
from nakagin.registry.server.refusals import Refusal
from nakagin.registry.server.routes import target_of
from nakagin.spec.image import MEDIA_INDEX, MEDIA_MANIFEST

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

WIRED = settings(MANY, max_examples=100)

T = TypeVar("T")


def attempted(deed: Callable[[], T]) -> tuple[T | None, str]:
    """The result, or the code it was refused with."""
    try:
        return deed(), ""
    except Refusal as refusal:
        return None, refusal.code


words = st.sampled_from(
    [
        "v2", "blobs", "uploads", "manifests", "tags", "list", "referrers", "_catalog", "app", "..", ".", "",
        "latest", digest_of(b""), "sha256:", "sha512:" + "0" * 128, "%2e%2e", "%00", "_blobs", "A", "a" * 300,
        "token", "metrics", "é", "%ff", "..%2f..%2fetc%2fpasswd", "~", "x;y",
    ]
)  # fmt: skip
paths = st.lists(words, min_size=1, max_size=7).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Range", "Content-Range", "Accept", "If-None-Match", "If-Range", "Content-Type", "Authorization",
            "Expect", "Content-Encoding", "OCI-Chunk-Min-Length",
        ]
    ),
    texts | st.from_regex(r"\A(bytes[ =])?\d{0,25}-\d{0,25}(/\d{0,20})?\Z"),
    max_size=4,
)  # fmt: skip
queries = st.dictionaries(
    st.sampled_from(
        ["n", "last", "digest", "mount", "from", "artifactType", "digest-algorithm", "tag", "ns", "scope"]
    ),
    st.sampled_from(
        ["", "1", "-1", "x", digest_of(b"x"), "sha256:x", "../..", "9" * 30, "%00", "a&b=c", "é"]
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("fuzz")) as registry:
        registry.push(make_image(), "latest")
        yield registry


def status_of(registry: Served, head: str, body: bytes) -> int:
    """The status that raw bytes are answered with; 0 where the connection is just closed."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=20) as connection:
        connection.sendall(head.encode("latin-1", "replace") + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


@WIRED
@given(method=methods, path=paths, query=queries, extra=headers, body=st.binary(max_size=200))
def test_requests(
    target: Served, method: str, path: str, query: dict[str, str], extra: dict[str, str], body: bytes
) -> None:
    asked = path + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")
    lines = [f"{method} {asked} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in extra.items()]
    status = status_of(target, "\r\n".join(lines) + "\r\n\r\n", body)
    assert status < 500, (status, lines, body)


def test_nothing_was_written_outside(target: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = Path(target.settings.root)
    assert {path.name for path in root.iterdir()} <= {
        "blobs", "repositories", "uploads", "tmp", "partial", "lock", "control",
    }  # fmt: skip
    assert target.get("/v2/app/manifests/latest").status == 200


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
descriptors = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([MEDIA_MANIFEST, "x"]) | json_values,
        "digest": st.sampled_from([digest_of(b""), "sha256:", "../../etc/passwd"]) | json_values,
        "size": st.integers(-5, 2**70) | json_values,
        "urls": json_values,
        "annotations": json_values,
        "platform": json_values,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.sampled_from([1, 2, "2", None]),
        "mediaType": st.sampled_from([MEDIA_MANIFEST, MEDIA_INDEX, "x", None, 7]),
        "config": descriptors | json_values,
        "layers": st.lists(descriptors, max_size=3) | json_values,
        "manifests": st.lists(descriptors, max_size=3) | json_values,
        "subject": descriptors | json_values,
        "artifactType": json_values,
        "annotations": json_values,
    },
)


@MANY
@given(
    document=documents | json_values,
    said=st.sampled_from(["", MEDIA_MANIFEST, MEDIA_INDEX, "text/plain", "x;y"]),
)
def test_manifests(document: Any, said: str) -> None:
    found, refusal = attempted(lambda: read(json.dumps(document).encode(), said))
    if found is None:
        assert refusal == "MANIFEST_INVALID"
    else:
        assert all(digest.startswith(("sha256:", "sha512:")) for digest in found.needs)


@MANY
@given(data=st.binary(max_size=300))
def test_bytes_as_manifests(data: bytes) -> None:
    with pytest.raises(Refusal):
        read(data)


@WIRED
@given(document=documents)
def test_manifests_over_the_wire(target: Served, document: Any) -> None:
    answer = target.push_manifest(json.dumps(document).encode(), "fuzz", media_type="application/json")
    assert answer.status in (201, 400, 404), answer


@MANY
@given(text=st.text(max_size=80) | st.from_regex(r"\Abytes=\d{0,30}-\d{0,30}\Z"), size=st.integers(0, 10**12))
def test_ranges(text: str, size: int) -> None:
    found = range_of({"Range": text}, size, "sha256:x")
    if found is not None and found[1] > 0:
        assert 0 <= found[0] < found[0] + found[1] <= size


@MANY
@given(path=st.text(max_size=200) | paths)
def test_paths(path: str) -> None:
    found, refusal = attempted(lambda: target_of(path))
    if found is None:
        assert refusal in ("NAME_INVALID", "UNSUPPORTED")
    else:
        assert found.kind in vars(routes).values()
        assert not found.name or (is_name(found.name) and ".." not in found.name)
