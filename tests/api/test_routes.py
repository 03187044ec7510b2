"""The flat table: names with and without slashes."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.call import Call
from nakagin.api.routes import Table


async def read(call: Call) -> web.StreamResponse:
    raise NotImplementedError


async def act(call: Call) -> web.StreamResponse:
    raise NotImplementedError


TABLE = Table(
    deeds=[{"DELETE /images/*": act, "DELETE /containers/*": act, "POST /images/*/tag": act}],
    reads=[
        {
            "GET /images/json": read,
            "GET /images/*/json": read,
            "GET /containers/*/json": read,
            "GET /containers/*/attach/ws": read,
        }
    ],
)


def name(method: str, path: str) -> str | None:
    found = TABLE.find(method, path)
    return found[1] if found else None


def test_names() -> None:
    assert name("GET", "/images/json") == ""
    assert name("GET", "/images/a/json") == "a"
    assert name("GET", "/images/localhost:5000/a/b:tag/json") == "localhost:5000/a/b:tag"
    assert name("DELETE", "/images/a/json") == "a/json"
    assert name("POST", "/images/a/b/tag") == "a/b"
    assert name("GET", "/containers/c/attach/ws") == "c"
    assert name("DELETE", "/containers/c") == "c"


def test_strangers() -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/containers/a/b/json"),
        ("DELETE", "/containers/a/b"),
        ("PUT", "/x"),
    ):
        assert name(method, path) is None


def test_only_reads_end_with_their_client() -> None:
    read_route, act_route = TABLE.find("GET", "/images/json"), TABLE.find("DELETE", "/images/a")
    assert read_route is not None
    assert act_route is not None
    assert (read_route[0].follows_client, act_route[0].follows_client) == (True, False)
