"""The pure halves: challenges, credentials, endpoints, the registries file, proxies, refusals."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.errors import Damaged, Denied, Invalid, NotFound, Unavailable
from nakagin.registry.challenge import parse_challenges
from nakagin.registry.credentials import ANONYMOUS, from_config_header, from_document, from_header
from nakagin.registry.endpoints import Policy, Rule, check_mirror, host_of, split_url
from nakagin.registry.policy import PolicySource, files_in, parse_file
from nakagin.registry.proxies import Proxies
from nakagin.registry.refusals import refusal
from nakagin.registry.search import split_term

# --- Challenges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})]),
        ("Basic realm=x", [("basic", {"realm": "x"})]),
        ('BASIC realm="a \\"b\\"", Bearer realm="c"', [("basic", {"realm": 'a "b"'}), ("bearer", {"realm": "c"})]),
        ("Negotiate", [("negotiate", {})]),
        (",,, =", []),
        ("", []),
    ],
)  # fmt: skip
def test_challenges(text: str, expected: object) -> None:
    assert [(each.scheme, each.parameters) for each in parse_challenges([text])] == expected


@given(st.text(max_size=200))
def test_any_challenge_is_read_to_its_end(text: str) -> None:
    parse_challenges([text])


# --- Credentials


def wrapped(document: object, *, standard: bool = False, padded: bool = True) -> str:
    encode = base64.b64encode if standard else base64.urlsafe_b64encode
    text = encode(json.dumps(document).encode()).decode()
    return text if padded else text.rstrip("=")


@pytest.mark.parametrize("standard", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_the_header_in_each_spelling(standard: bool, padded: bool) -> None:
    document = {"username": "me", "password": "ÿ?>~~~", "serveraddress": "x", "email": "y"}
    found = from_header(wrapped(document, standard=standard, padded=padded))
    assert (found.username, found.password) == ("me", "ÿ?>~~~")
    assert "ÿ" not in repr(found)


def test_other_forms_of_credentials() -> None:
    assert from_header("") is ANONYMOUS
    assert from_header(wrapped({})).anonymous
    assert from_header(wrapped({"identitytoken": "t"})).identity_token == "t"
    assert from_document(b'{"auth": "bWU6c2VjcmV0"}').basic() == "Basic bWU6c2VjcmV0"
    assert from_document(b'{"username": "<token>", "password": "t"}').identity_token == "t"
    found = from_config_header(wrapped({"host:1": {"username": "a", "password": "b"}}))
    assert found["host:1"].username == "a"


@pytest.mark.parametrize(
    "text", ["%%%", "bm90IGpzb24", wrapped([1]), wrapped({"auth": "%"}), wrapped({"username": 1})]
)
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        from_header(text)


# --- Endpoints


def addresses(policy: Policy, domain: str) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(str(each), each.schemes, each.mirror) for each in policy.endpoints(domain)]


def test_dockers_defaults() -> None:
    assert addresses(Policy(), "docker.io") == [("registry-1.docker.io", ("https",), False)]
    assert addresses(Policy(), "ghcr.example") == [("ghcr.example", ("https",), False)]
    for here in ("localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"):
        (endpoint,) = Policy().endpoints(here)
        assert (endpoint.schemes, endpoint.verify) == (("https", "http"), False)


def test_mirrors_of_the_hub_and_of_others() -> None:
    policy = Policy(
        ("http://m.example:81/p/",), (), {"quay.example": Rule(mirrors=("a.example", "https://b.example"))}
    )
    assert addresses(policy, "docker.io")[0] == ("m.example:81/p", ("http",), True)
    assert [each[0] for each in addresses(policy, "quay.example")] == [
        "a.example",
        "b.example",
        "quay.example",
    ]
    assert [str(each) for each in policy.endpoints("quay.example", push=True)] == ["quay.example"]


@pytest.mark.parametrize(
    ("word", "address", "expected"),
    [
        ("x.example:5000", "x.example:5000", True), ("x.example", "x.example:5000", True),
        ("x.example:5000", "x.example", False), ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False), ("fd00::/8", "[fd00::1]:5000", True), ("nonsense/99", "10.0.0.1", False),
    ],
)  # fmt: skip
def test_insecure_registries(word: str, address: str, expected: bool) -> None:
    assert Policy(insecure=(word,)).is_insecure(address) is expected


def test_rules() -> None:
    policy = Policy(
        rules={
            "a": Rule(blocked=True),
            "b": Rule(location="https://c.example/d", client_cert="x.pem", stall_timeout=3),
            "*": Rule(insecure=True),
        }
    )
    with pytest.raises(Denied, match="blocked"):
        policy.endpoints("a")
    (b,) = policy.endpoints("b")
    assert (str(b), b.domain, b.files.pairs, b.stall) == ("c.example/d", "b", (("x.pem", "x.pem"),), 3)
    assert not policy.endpoints("other")[0].verify


@pytest.mark.parametrize(
    "url", ["m.example", "ftp://m", "http://", "http://u@m", "http://m?x=1", "http://m#f"]
)
def test_mirrors_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        check_mirror(url)


def test_urls_and_hosts() -> None:
    assert split_url("HTTPS://h:1/a/b/") == ("https", "h:1", "/a/b")
    assert split_url("h") == ("", "h", "")
    assert [host_of(each) for each in ("h:1", "h", "[::1]:5", "::1")] == ["h", "h", "::1", "::1"]


# --- The registries file


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "registries.toml"
    source = PolicySource((), (), str(path))
    assert len(source.current().endpoints("x.example")) == 1
    path.write_text('[registry."x.example"]\nmirrors = ["a", {url = "b", insecure = true}]\n')
    assert [each.schemes for each in source.current().endpoints("x.example")[:2]] == [
        ("https",),
        ("https", "http"),
    ]
    path.unlink()
    assert len(source.current().endpoints("x.example")) == 1


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[registry.x]\nunknown = 1", "other = 1", '[registry.x]\nmirrors = [""]',
     '[registry.x]\nclient-key="k"',
     "[registry.x]\nmirrors = 7"],
)  # fmt: skip
def test_files_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(Invalid, match=r"registries\.toml"):
        parse_file(text.encode(), "registries.toml")


def test_certificate_folders(tmp_path: Path) -> None:
    for name in ("ca.crt", "client.cert", "client.key"):
        (tmp_path / name).touch()
    found = files_in(str(tmp_path))
    assert found.authorities == (str(tmp_path / "ca.crt"),)
    assert found.pairs == ((str(tmp_path / "client.cert"), str(tmp_path / "client.key")),)
    (tmp_path / "client.key").unlink()
    with pytest.raises(Invalid, match="missing key"):
        files_in(str(tmp_path))


# --- Proxies


@pytest.mark.parametrize(
    ("without", "host", "port", "direct"),
    [
        ("", "x.example", 443, False), ("*", "x.example", 443, True), ("example", "x.example", 443, True),
        (".example", "x.example", 443, True), ("x.example", "y.x.example", 443, True),
        ("x.example", "yx.example", 443, False), ("x.example:80", "x.example", 443, False),
        ("x.example:443", "x.example", 443, True), ("10.0.0.0/8", "10.1.1.1", 443, True),
        ("10.1.1.1", "10.1.1.1", 443, True), ("10.1.1.1", "10.1.1.2", 443, False),
        ("a, b ,x.example", "X.Example.", 443, True), ("", "127.0.0.1", 443, True), ("", "localhost", 443, True),
        ("[fd00::1]", "fd00::1", 443, True), ("10.0.0.0/99", "10.1.1.1", 443, False),
    ],
)  # fmt: skip
def test_no_proxy(without: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies("", "http://p:3128", without)
    assert (proxies.of("https", host, port) is None) is direct


def test_where_proxies_are_said() -> None:
    environment = {"HTTPS_PROXY": "p:1", "http_proxy": "http://q", "NO_PROXY": "a"}
    assert Proxies.read(environment, {}) == Proxies("http://q", "p:1", "a")
    assert Proxies.read(environment, {"https-proxy": "http://r"}).https == "http://r"
    assert Proxies("", "p:1").of("https", "x", 443) == "http://p:1"
    assert Proxies("", "p:1").of("http", "x", 80) is None


# --- Refusals


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "MANIFEST_UNKNOWN", NotFound), (404, "NAME_UNKNOWN", NotFound), (400, "DIGEST_INVALID", Damaged),
        (400, "MANIFEST_INVALID", Invalid), (403, "DENIED", Denied), (401, "UNAUTHORIZED", Denied),
        (429, "TOOMANYREQUESTS", Unavailable), (500, "UNKNOWN", Unavailable), (418, "ODD", Invalid),
    ],
)  # fmt: skip
def test_refusals(status: int, code: str, kind: type[Exception]) -> None:
    body = json.dumps({"errors": [{"code": code, "message": "words of theirs", "detail": {"x": 1}}]}).encode()
    found = refusal("thing", status, body)
    assert type(found) is kind
    assert "words of theirs" in found.message


@pytest.mark.parametrize("body", [b"", b"<html>x</html>", b"{}", b"[]", b"\xff"])
def test_refusals_without_words(body: bytes) -> None:
    assert refusal("thing", 404, body).message.startswith("thing: ")


# --- Search


def test_search_terms() -> None:
    assert split_term("nginx") == ("docker.io", "nginx")
    assert split_term("user/nginx") == ("docker.io", "user/nginx")
    assert split_term("index.docker.io/user/nginx") == ("docker.io", "user/nginx")
    assert split_term("localhost/a") == ("localhost", "a")
    assert split_term("h.example:5000/a") == ("h.example:5000", "a")
    with pytest.raises(Invalid):
        split_term("https://x/y")
