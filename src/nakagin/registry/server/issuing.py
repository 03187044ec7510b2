"""The token endpoint: a password in, a token out. GET as Docker's clients ask, POST as OAuth 2 does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qs

from aiohttp import web

from nakagin.registry.server.access import Access, credentials
from nakagin.registry.server.call import document
from nakagin.registry.server.refusals import unauthorized, unsupported
from nakagin.registry.server.tokens import Grants, Tokens, scopes_of

_MOST_SCOPES = 100
_LONGEST_FORM = 64 << 10


class _Asked(NamedTuple):
    """Who asks for what: by password, by a refresh token, or (with neither) as nobody in particular."""

    user: str
    password: str
    scopes: Sequence[str]
    refresh: str = ""
    offline: bool = False
    """Whether a refresh token is wanted as well."""


async def issue(access: Access, request: web.BaseRequest) -> web.StreamResponse:
    """GET and POST /token. Without a password the token has what anybody may do. Refusal UNAUTHORIZED."""
    tokens = access.tokens
    if tokens is None or not tokens.issues:
        raise unsupported("this registry issues no tokens", status=404)
    if request.method == "POST":
        asked = await _form(request)
    elif request.method in ("GET", "HEAD"):
        asked = _query(request)
    else:
        raise unsupported("a token is got by GET or POST")
    user = await _user(access, tokens, asked)
    grants = _allowed(access, user, asked.scopes)
    refresh = asked.refresh
    if asked.offline and not refresh and user and access.passwords is not None:
        refresh = tokens.refresh(user, access.passwords.mark(user))
    return _answer(tokens, user, grants, refresh)


async def _user(access: Access, tokens: Tokens, asked: _Asked) -> str:
    """Who it is. A refresh token holds as long as its user has the password that it was given for."""
    passwords = access.passwords
    if asked.refresh:
        user, mark = tokens.refreshing(asked.refresh)
        if not user or passwords is None or not mark or passwords.mark(user) != mark:
            raise unauthorized(
                'Basic realm="token"', "the refresh token does not hold any more: log in again"
            )
        return user
    if asked.user and (passwords is None or not await passwords.check(asked.user, asked.password)):
        raise unauthorized('Basic realm="token"', "wrong user name or password")
    return asked.user


def _query(request: web.BaseRequest) -> _Asked:
    """As the distribution project's token.md has it."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    user, password = credentials(value) if scheme.lower() == "basic" else ("", "")
    if scheme and not user:
        raise unauthorized('Basic realm="token"', "this is no Basic authorization")
    query = request.query
    return _Asked(
        user,
        password,
        query.getall("scope", ()),
        offline=query.get("offline_token", "").lower() in ("true", "1"),
    )


async def _form(request: web.BaseRequest) -> _Asked:
    """As its oauth.md has it."""
    data = b""
    while len(data) <= _LONGEST_FORM and (piece := await request.content.readany()):
        data += piece
    form = parse_qs(data[:_LONGEST_FORM].decode("utf-8", "replace"))

    def one(name: str) -> str:
        return form.get(name, [""])[0]

    scopes, offline = form.get("scope", []), one("access_type") == "offline"
    match one("grant_type"):
        case "password" if one("username"):
            return _Asked(one("username"), one("password"), scopes, offline=offline)
        case "refresh_token" if one("refresh_token"):
            return _Asked("", "", scopes, one("refresh_token"), offline)
        case "password" | "refresh_token":
            raise unsupported("the form lacks a user name or a refresh token", status=400)
        case _:
            raise unsupported("only the grant types password and refresh_token are known", status=400)


def _allowed(access: Access, user: str, scopes: Sequence[str]) -> Grants:
    identity = access.known(user)
    granted: Grants = {}
    for name, actions in scopes_of(scopes)[:_MOST_SCOPES]:
        wanted = {"pull", "push", "delete"} if "*" in actions else actions
        allowed = frozenset(action for action in wanted if identity.may(action, name))
        granted[name] = granted.get(name, frozenset()) | allowed
    return granted


def _answer(tokens: Tokens, user: str, grants: Grants, refresh: str) -> web.Response:
    token, made = tokens.issue(user, grants)
    scope = " ".join(f"repository:{name}:{','.join(sorted(actions))}" for name, actions in grants.items())
    return document(
        {
            "token": token,
            "access_token": token,
            "expires_in": tokens.lifetime,
            "issued_at": datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": scope,
            **({"refresh_token": refresh} if refresh else {}),
        }
    )
