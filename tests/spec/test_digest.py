from __future__ import annotations

import hashlib

import pytest

from nakagin.errors import Invalid
from nakagin.spec.digest import chain_ids, digest_of, extend_chain, is_digest, parse_digest

A, B = (digest_of(text) for text in (b"a", b"b"))


def test_digest_of_bytes() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", [A, "sha512:" + "0" * 128])
def test_good_digests(text: str) -> None:
    assert parse_digest(text) == text
    assert is_digest(text)


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:" + "0" * 63, "sha256:" + "G" * 64, "sha256:" + "A" * 64,
     "md5:" + "0" * 32,
     "sha256:../../etc/passwd", "sha256:" + "0" * 64 + "\n", ":" + "0" * 64],
)  # fmt: skip
def test_bad_digests(text: str) -> None:
    with pytest.raises(Invalid):
        parse_digest(text)
    assert not is_digest(text)


def test_chain_of_one_layer_is_its_diff_id() -> None:
    assert str(extend_chain(None, A)) == A


def test_chains_follow_the_specification() -> None:
    second = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert chain_ids([A, B]) == [A, second]
    assert chain_ids([]) == []
