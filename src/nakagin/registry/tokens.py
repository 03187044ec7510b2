"""Answers to a registry's challenges: Basic, or a Bearer token from the token server it names, kept while it lasts.

The token protocol is that of the distribution project (token.md, oauth.md). One `Authorizer` speaks for one
pair of credentials to one endpoint, and gives them to nobody else.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from nakagin.errors import Denied, Unavailable
from nakagin.registry.refusals import refusal
from nakagin.registry.wire import FAILURES, explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.registry.challenge import Challenge
    from nakagin.registry.credentials import Credentials
    from nakagin.registry.endpoints import Endpoint
    from nakagin.registry.wire import Wire

_CLIENT = "nakagin"
_DEFAULT_LIFE = 60.0  # token.md: what "expires_in" is when it is missing
_SAFETY = 10.0
_LARGEST_ANSWER = 1 << 20
_MOST_TOKENS = 256


class _Token(msgspec.Struct):
    value: str
    until: float
    scopes: frozenset[str]


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None


class Authorizer:
    """Gives the Authorization header for requests to one endpoint."""

    def __init__(self, wire: Wire, endpoint: Endpoint, credentials: Credentials) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._credentials = credentials
        self._basic = False
        self._tokens: list[_Token] = []
        self._challenge: Challenge | None = None
        self._lock = asyncio.Lock()
        self.identity_token = ""
        """What the token server gave instead of the password, after `log_in`."""

    async def header(self, scopes: Iterable[str]) -> str | None:
        """What to send without having been asked: what helped before. None: try without."""
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        if self._basic:
            return self._credentials.basic()
        if self._challenge is None:
            return None
        async with self._lock:
            return await self._bearer(self._challenge, _actions(scopes))

    async def answer(
        self, challenges: Sequence[Challenge], scopes: Iterable[str], refused: str | None
    ) -> str:
        """The header that meets one of the challenges; `refused` is what was sent in vain. Raises Denied."""
        bearer = next((each for each in challenges if each.scheme == "bearer"), None)
        if bearer is not None and bearer.parameters.get("realm"):
            wanted = _actions((*scopes, *bearer.parameters.get("scope", "").split()))
            async with self._lock:
                if refused is not None:
                    self._tokens = [each for each in self._tokens if f"Bearer {each.value}" != refused]
                self._challenge = bearer
                return await self._bearer(bearer, wanted)
        if any(each.scheme == "basic" for each in challenges):
            if not self._credentials.username:
                raise Denied(f"{self._endpoint}: no basic auth credentials", hint=self._log_in_hint())
            self._basic = True
            return self._credentials.basic()
        raise Denied(
            f"{self._endpoint} asks for authentication in a way that is not known",
            hint="Bearer and Basic are known",
        )

    async def log_in(self, challenge: Challenge) -> None:
        """Check name and password at the token server; keeps the identity token if it gives one."""
        async with self._lock:
            await self._fetch(challenge, frozenset(), offline=True)

    def _log_in_hint(self) -> str:
        return f"nakagin login {self._endpoint.domain}"

    async def _bearer(self, challenge: Challenge, wanted: frozenset[str]) -> str:
        """A token that covers what is wanted: a kept one, or a new one."""
        now = time.monotonic()
        self._tokens = [each for each in self._tokens if each.until > now][-_MOST_TOKENS:]
        for each in self._tokens:
            if wanted <= each.scopes:
                return f"Bearer {each.value}"
        token = await self._fetch(challenge, wanted)
        self._tokens.append(token)
        return f"Bearer {token.value}"

    async def _fetch(self, challenge: Challenge, wanted: frozenset[str], *, offline: bool = False) -> _Token:
        realm = self._realm(challenge.parameters["realm"])
        scopes = _grouped(wanted)
        service = challenge.parameters.get("service", "")
        if token := self._credentials.identity_token or self.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": token,
                "service": service,
                "scope": " ".join(scopes),
            }
            found = await self._post(realm, form)
        else:
            found = await self._get(realm, service, scopes, offline=offline)
        value = found.token or found.access_token
        if not value:
            raise Unavailable(f"the token server of {self._endpoint} gave no token")
        if found.refresh_token and offline:
            self.identity_token = found.refresh_token
        life = _DEFAULT_LIFE if found.expires_in is None else max(found.expires_in, _DEFAULT_LIFE)
        return _Token(value, time.monotonic() + life - _SAFETY, wanted)

    def _realm(self, text: str) -> URL:
        """The token server's URL. Credentials that came over TLS do not leave over plain HTTP."""
        realm = URL(text)
        if realm.scheme not in ("http", "https") or not realm.host:
            raise Denied(f"{self._endpoint} names an impossible token server: {text[:200]!r}")
        if realm.scheme == "http" and self._endpoint.verify and not self._credentials.anonymous:
            raise Denied(
                f"{self._endpoint} wants the credentials to go to {realm.host} without TLS",
                hint="if that is right, name the registry with --insecure-registry",
            )
        return realm

    async def _get(self, realm: URL, service: str, scopes: Sequence[str], *, offline: bool) -> _Answer:
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        if self._credentials.username:
            query.append(("account", self._credentials.username))
            headers["Authorization"] = self._credentials.basic()
        if offline:
            query += [("offline_token", "true"), ("client_id", _CLIENT)]
        status, body = await self._send("GET", realm.extend_query(query), headers, None)
        if status in (404, 405) and self._credentials.username:
            # A server that speaks only OAuth 2 (oauth.md).
            form = {
                "grant_type": "password", "username": self._credentials.username,
                "password": self._credentials.password, "service": service, "scope": " ".join(scopes),
                "access_type": "offline" if offline else "online",
            }  # fmt: skip
            return await self._post(realm, form)
        return self._decoded(status, body)

    async def _post(self, realm: URL, form: dict[str, str]) -> _Answer:
        data = str(URL.build(query={**form, "client_id": _CLIENT}))[1:].encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._decoded(*await self._send("POST", realm, headers, data))

    async def _send(
        self, method: str, url: URL, headers: dict[str, str], data: bytes | None
    ) -> tuple[int, bytes]:
        endpoint = self._endpoint
        try:
            async with await self._wire.exchange(
                method, url, headers=headers, data=data, files=endpoint.files, verify=endpoint.verify
            ) as answer:
                return answer.status, await answer.content.read(_LARGEST_ANSWER)
        except FAILURES as error:
            raise explain(error, f"the token server {url.host}") from error

    def _decoded(self, status: int, body: bytes) -> _Answer:
        if status != 200:
            error = refusal(f"{self._endpoint}: authentication", status, body)
            if status in (400, 401, 403):
                hint = None if self._credentials.username else self._log_in_hint()
                raise Denied(error.message, hint=hint)
            raise error
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unavailable(
                f"the token server of {self._endpoint} gave no token that can be read"
            ) from None


def _actions(scopes: Iterable[str]) -> frozenset[str]:
    """ "repository:x:pull,push" → one word for each action, so that scopes compare as sets."""
    found = set()
    for scope in scopes:
        head, _, actions = scope.rpartition(":")
        found |= {f"{head}:{action}" for action in actions.split(",")}
    return frozenset(found)


def _grouped(actions: Iterable[str]) -> list[str]:
    """The opposite of `_actions`, in the form that token servers expect."""
    found: dict[str, list[str]] = {}
    for each in sorted(actions):
        head, _, action = each.rpartition(":")
        found.setdefault(head, []).append(action)
    return [f"{head}:{','.join(words)}" for head, words in found.items()]
