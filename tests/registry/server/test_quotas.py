"""Bounds on what may be stored."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from tests.registry.server.box import Served, digest_of, make_image


def test_per_repository(own: Callable[..., Served]) -> None:
    registry = own(quota={"repositories": {"small/*": "10k", "*": "1m"}})
    data = secrets.token_bytes(8000)
    registry.push_blob(data, "small/app")
    registry.push_blob(data, "small/app")  # what is there is there
    location = registry.begin("small/app")
    registry.ask("PATCH", location, b"x" * 5000).fails(403, "DENIED")
    registry.ask("PATCH", location, iter([b"x" * 5000])).fails(403, "DENIED")
    registry.push_blob(secrets.token_bytes(8000), "small/other")
    registry.push_blob(secrets.token_bytes(100_000), "large")
    other = secrets.token_bytes(9000)
    registry.push_blob(other, "large")
    mount = f"?mount={digest_of(other)}&from=large"
    registry.ask("POST", f"/v2/small/app/blobs/uploads/{mount}").fails(403, "DENIED")
    # Deletion gives it back.
    assert registry.ask("DELETE", f"/v2/small/app/blobs/{digest_of(data)}").status == 202
    assert registry.ask("POST", f"/v2/small/app/blobs/uploads/{mount}").status == 201


def test_in_all(own: Callable[..., Served]) -> None:
    registry = own(quota={"total": "20k"})
    data = secrets.token_bytes(15_000)
    registry.push_blob(data, "one")
    registry.push_blob(data, "two")  # stored once
    big = secrets.token_bytes(6000)
    answer = registry.ask("POST", f"/v2/one/blobs/uploads/?digest={digest_of(big)}", big)
    answer.fails(403, "DENIED")
    assert answer.json["errors"][0]["detail"]["quota"] == 20 << 10
    registry.push(make_image(1, 1000), "v1", "three")


def test_it_is_counted_after_a_restart(own: Callable[..., Served]) -> None:
    first = own(quota={"total": "20k", "repositories": {"*": "12k"}})
    first.push_blob(secrets.token_bytes(11_000), "one")
    first.close()
    second = own(quota={"total": "20k", "repositories": {"*": "12k"}})
    data = secrets.token_bytes(5000)
    path = f"blobs/uploads/?digest={digest_of(data)}"
    second.ask("POST", f"/v2/one/{path}", data).fails(403, "DENIED")
    assert second.ask("POST", f"/v2/two/{path}", data).status == 201
