"""What reaches aiohttp's parser and what is kept, however the bytes arrive."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nakagin.api.porch import EARLY_LIMIT, Porch

GET = b"GET /v1.41/containers/json HTTP/1.1\r\nHost: d\r\n\r\n"
CREATE = b"POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}"
HIJACKS = (
    b"POST /v1.41/containers/abc/attach?stdin=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n",
    b"POST /containers/a/attach HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\n",
    b'POST /v1.50/exec/0123/start HTTP/1.1\r\ncontent-length: 14\r\n\r\n{"Tty": false}',
)


class Handler:
    """aiohttp's place."""

    def __init__(self) -> None:
        self.received = b""
        self.closing = False

    def connection_made(self, transport: object) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self.received += data

    def close(self) -> None:
        self.closing = True


class Transport:
    def __init__(self) -> None:
        self.paused = self.closed = False

    def get_extra_info(self, name: str) -> object:
        return SimpleNamespace(family=socket.AF_INET)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True


def porch() -> tuple[Porch, Handler, Transport]:
    handler, transport = Handler(), Transport()
    made = Porch(cast(Any, handler))
    made.connection_made(cast(Any, transport))
    return made, handler, transport


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000])
@pytest.mark.parametrize("request_", [GET, CREATE])
def test_other_requests_go_straight_through(request_: bytes, size: int) -> None:
    made, handler, _ = porch()
    for piece in in_pieces(request_, size):
        made.data_received(piece)
    assert handler.received == request_


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000])
@pytest.mark.parametrize("request_", HIJACKS)
def test_what_follows_a_hijacking_request_is_kept(request_: bytes, size: int) -> None:
    made, handler, _ = porch()
    for piece in in_pieces(request_ + b"early \r\n input", size):
        made.data_received(piece)
    assert handler.received == request_
    assert made.eof_received()  # the answer is still to be written
    taken = made.take()
    assert (taken.early, taken.ended) == (b"early \r\n input", True)


def test_a_refused_hijack_gives_back_what_was_the_next_request() -> None:
    made, handler, transport = porch()
    made.data_received(HIJACKS[0] + GET)
    assert handler.received == HIJACKS[0]
    made.answered()
    assert handler.received == HIJACKS[0] + GET
    assert not transport.closed


def test_a_client_that_ended_its_input_and_was_refused_has_gone() -> None:
    made, _, transport = porch()
    made.data_received(HIJACKS[0])
    made.eof_received()
    made.answered()
    assert transport.closed


def test_the_end_of_input_between_requests_is_the_clients_end() -> None:
    made, handler, _ = porch()
    assert not made.eof_received()
    made, handler, _ = porch()
    made.data_received(GET)
    made.answered()
    assert not made.eof_received()
    assert not handler.closing


async def test_who_has_asked_for_something_whole_hears_the_answer() -> None:
    made, handler, transport = porch()
    made.data_received(GET)
    arrived = False
    made.begun(cast(Any, SimpleNamespace(is_eof=lambda: arrived)))
    assert not made.eof_received(), "the rest of its body will never come"
    arrived = True
    assert made.eof_received()
    assert handler.closing, "after the answer"
    assert not transport.closed


def test_much_early_input_waits_in_the_kernel() -> None:
    made, _, transport = porch()
    made.data_received(HIJACKS[0] + b"x" * EARLY_LIMIT)
    assert not transport.paused
    made.data_received(b"x")
    assert transport.paused


def test_bodies_that_look_like_a_hijack_are_bodies() -> None:
    made, handler, _ = porch()
    body = HIJACKS[0] + b"more"
    head = b"POST /v1.41/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % len(body)
    made.data_received(head)
    made.data_received(body)
    assert handler.received == head + body
