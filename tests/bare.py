"""Requests to an engine as no client library shapes them."""

from __future__ import annotations

import json
from typing import Any

from docker import DockerClient


class Wire:
    """One engine's API, by endpoint and query; the headers of the last answer."""

    def __init__(self, api: DockerClient) -> None:
        self._api = api.api

    def ask(self, method: str, place: str, /, *, body: Any = None, status: int = 200, **query: Any) -> Any:
        """The answer: JSON where it is some, else bytes; objects in the query are sent as JSON."""
        values = {
            key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()
        }
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        answer = self._api.request(method, self._api._url(place), params=values, timeout=60, **sent)
        assert answer.status_code == status, (method, place, answer.text)
        self.headers = answer.headers
        try:
            return answer.json() if answer.content else None
        except ValueError:
            return answer.content
