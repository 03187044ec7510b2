"""The HTTP core: any cut of the bytes gives the same answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.client.http1 import MAX_HEAD, ResponseParser, encode_chunk, encode_request
from nakagin.errors import Damaged, Unavailable

FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + FIXED
WHOLE = [FIXED, CHUNKED, CONTINUED]


def read(parser: ResponseParser, pieces: list[bytes]) -> bytes:
    """The body after feeding the pieces."""
    body = b""
    for piece in pieces:
        if piece:
            parser.feed(piece)
            body += parser.take()
    return body


@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 120), max_size=8))
def test_any_cut(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    parser = ResponseParser("GET")
    body = read(parser, [data[a:b] for a, b in pairwise(bounds)])
    assert (parser.status, body, parser.finished, parser.keep_alive) == (200, b"hello", True, True)


def test_headers_are_joined_and_lower() -> None:
    parser = ResponseParser("GET")
    parser.feed(FIXED)
    assert parser.headers["x-a"] == "1, 2"


def test_until_close() -> None:
    parser = ResponseParser("GET")
    parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    parser.feed(b"lo")
    assert not parser.finished
    parser.feed(b"")
    assert (parser.take(), parser.finished, parser.keep_alive) == (b"hello", True, False)


@pytest.mark.parametrize("data", [b"", FIXED[:10], FIXED[:-1], CHUNKED[:-4], CHUNKED[:60]])
def test_an_early_end_is_an_error(data: bytes) -> None:
    parser = ResponseParser("GET")
    if data:
        parser.feed(data)
    with pytest.raises(Unavailable, match="closed the connection"):
        parser.feed(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"H" * (MAX_HEAD + 1),
    ],
)
def test_nonsense_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        ResponseParser("GET").feed(data)


@pytest.mark.parametrize(("status", "method"), [(204, "POST"), (304, "GET"), (200, "HEAD")])
def test_answers_without_body(status: int, method: str) -> None:
    parser = ResponseParser(method)
    parser.feed(b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\n" % status)
    assert parser.finished


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_upgrades_keep_the_first_bytes(head: bytes) -> None:
    parser = ResponseParser("POST", may_upgrade=True)
    parser.feed(head + b"first")
    assert (parser.upgraded, parser.leftover, parser.keep_alive) == (True, b"first", False)


def test_requests() -> None:
    assert (
        encode_request("GET", "/x", "docker", {"A": "b"}, length=None)
        == b"GET /x HTTP/1.1\r\nHost: docker\r\nA: b\r\n\r\n"
    )
    assert b"Content-Length: 0" in encode_request("POST", "/x", "h", {}, length=0)
    assert b"Transfer-Encoding: chunked" in encode_request("POST", "/x", "h", {}, length=None, chunked=True)
    assert encode_chunk(b"abc") + encode_chunk(b"") == b"3\r\nabc\r\n0\r\n\r\n"


def test_no_header_smuggling() -> None:
    with pytest.raises(Damaged):
        encode_request("GET", "/x\r\nEvil: 1", "h", {}, length=None)
