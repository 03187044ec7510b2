"""Asks one engine the whole script over one connection, and keeps its answers in comparable form."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.differential.script import Body, Call


class Answer(NamedTuple):
    """Status, media type, and the body: decoded JSON, or text."""

    status: int
    kind: str
    body: Any


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, host: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = host.removeprefix("unix://")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Dialogue:
    """One engine's side of the script."""

    def __init__(self, host: str, words: dict[str, str]) -> None:
        self._connection = _Connection(host)
        self._words = dict(words)

    def hold(self, calls: Iterable[Call]) -> dict[str, Answer]:
        """All answers by the name of the call."""
        try:
            return {call.name: self._ask(call) for call in calls}
        finally:
            self._connection.close()

    def _ask(self, call: Call) -> Answer:
        self._words["now"] = f"{time.time():.9f}"
        path = call.version + _filled(call.path, {key: quote(word) for key, word in self._words.items()})
        body, headers = self._body(call.body), dict(call.headers)
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        self._connection.request(call.method, path, body, headers)
        response = self._connection.getresponse()
        raw = response.read()
        kind = (response.getheader("Content-Type") or "").partition(";")[0]
        answer = Answer(response.status, kind, self._decoded(raw, call))
        for word, key in call.save.items():
            self._words[word] = (
                answer.body[key] if isinstance(answer.body, dict) and key in answer.body else "unsaved"
            )
        return answer

    def _body(self, body: Body) -> str | None:
        if body is None or isinstance(body, str):
            return body
        return _filled(json.dumps(body), self._words)

    def _decoded(self, raw: bytes, call: Call) -> Any:
        text = raw.decode("utf-8", "replace")
        for word, value in self._words.items():
            if len(value) >= 32:
                text = text.replace(value, f"<{word}>")
        if call.lines:
            return [json.loads(line) for line in text.splitlines()]
        try:
            found = json.loads(text)
        except ValueError:
            return text
        if call.sort_by and isinstance(found, list):
            found.sort(key=lambda each: each[call.sort_by])
        return found


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{([a-z0-9]+)\}", lambda match: words.get(match[1], match[0]), text)
