from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.errors import Invalid
from nakagin.spec.digest import digest_of
from nakagin.spec.domain import is_plain
from nakagin.spec.reference import Reference, shown_name

DIGEST = digest_of(b"x")


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("quay.io/a/b/c:t", "quay.io/a/b/c:t", "quay.io/a/b/c:t"),
        ("[::1]:5000/app:t", "[::1]:5000/app:t", "[::1]:5000/app:t"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest", "a__b/c-d.e:latest"),
    ],
)
def test_names_are_completed(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text).tagged()
    assert (str(reference), reference.familiar()) == (full, familiar)
    assert Reference.parse(full) == reference
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    ["", ":tag", "a:", "a::b", "a@", "a@sha256:00", "-a", "a-", "a..b", "a/", "/a", "a//b", "a b", "a:ta g",
     "a" * 256,     "a:" + "t" * 129, "0" * 64, "http://a/b", "a\n", "../a", "a_-b"],
)  # fmt: skip
def test_bad_names(text: str) -> None:
    with pytest.raises(Invalid, match=r"invalid re(ference|pository)"):
        Reference.parse(text)


def test_upper_case_is_explained() -> None:
    for text, shown in (("Foo", "library/Foo"), ("UPPER/case", "UPPER/case"), ("quay.io/A/b:T", "A/b")):
        with pytest.raises(Invalid, match=rf"repository name \({shown}\) must be lowercase"):
            Reference.parse(text)


@given(st.text(max_size=70) | st.text("aB0:/.-_@", max_size=12) | st.text("a0", min_size=60, max_size=70))
def test_what_is_plain_is_well_formed(text: str) -> None:
    if is_plain(text):
        Reference.parse(text)


def test_ordinary_names_are_plain() -> None:
    for text in ("busybox", "busybox:1.36", "user/app:v1", "localhost:5000/a-b/c_d:latest", "127.0.0.1:80/x"):
        assert is_plain(text)


@given(st.text(max_size=40))
def test_whatever_parses_is_written_back(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except Invalid:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar()) == reference


@pytest.mark.parametrize(
    ("asked", "tags", "shown"),
    [
        ("busybox", ["a:1", "busybox:latest"], "busybox:latest"),
        ("docker.io/library/busybox:latest", ["a:1", "busybox:latest"], "busybox:latest"),
        ("busybox:2", ["a:1", "busybox:latest"], "a:1"),
        ("0123456789ab", ["a:1", "b:1"], "a:1"),
        ("sha256:" + "0" * 64, [], ""),
        ("busybox", [], ""),
    ],
)
def test_an_image_is_shown_under_the_name_it_was_asked_for(asked: str, tags: list[str], shown: str) -> None:
    assert shown_name(asked, tags) == shown
