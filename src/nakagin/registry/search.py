"""Searching a registry for repositories: Docker Hub's v1 search, and the catalog of registries that have no search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from nakagin.errors import Damaged, Invalid, NotFound, Unsupported
from nakagin.registry.endpoints import split_url
from nakagin.spec.domain import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.registry.credentials import Credentials
    from nakagin.registry.registries import Registries

HUB_INDEX = "index.docker.io"
DEFAULT_LIMIT = 25
MOST = 100
_FILTERS = frozenset(("is-automated", "is-official", "stars"))
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Found(msgspec.Struct, frozen=True):
    """One repository, as the API answers it."""

    name: str
    description: str = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Results(msgspec.Struct):
    results: list[Found] = []


async def search(
    registries: Registries,
    term: str,
    credentials: Credentials,
    *,
    limit: int,
    filters: Mapping[str, Sequence[str]],
) -> Sequence[Found]:
    """The repositories that a term ("[host/]words") finds. Raises Invalid, Unavailable, Denied."""
    wanted = _checked(filters)
    if not 1 <= limit <= MOST:
        raise Invalid(f"Limit {limit} is outside the range of [1, {MOST}]")
    domain, words = split_term(term)
    registry = registries.index(domain, credentials)
    try:
        found = _decoded(await registry.search_v1(urlencode({"q": words, "n": limit})))
    except (NotFound, Unsupported):
        names = await registry.catalog()
        found = [Found(f"{domain}/{name}") for name in names if words.lower() in name.lower()]
    return [each for each in found if _passes(each, wanted)][:limit]


def split_term(term: str) -> tuple[str, str]:
    """ "host.example/words" → its parts; words alone are for Docker Hub. Raises Invalid."""
    if "://" in term:
        raise Invalid(f"invalid repository name: repository name ({term}) should not have a scheme")
    _, first, rest = split_url(term)
    if rest and (any(sign in first for sign in ".:") or first == "localhost"):
        domain = DEFAULT_DOMAIN if first in (HUB_INDEX, DEFAULT_DOMAIN) else first
        return domain, rest.lstrip("/")
    return DEFAULT_DOMAIN, term


def _checked(filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """{"stars": least, "is-official": bool}. Raises Invalid."""
    wanted: dict[str, Any] = {}
    for name, values in filters.items():
        if name not in _FILTERS:
            raise Invalid(f"invalid filter '{name}'", hint=", ".join(sorted(_FILTERS)))
        for value in values:
            if name == "stars":
                if not value.isdecimal():
                    raise Invalid(f"invalid filter 'stars={value}'", hint="a number")
                wanted[name] = max(int(value), wanted.get(name, 0))
            elif value.lower() in (*_TRUE, *_FALSE):
                wanted[name] = value.lower() in _TRUE
            else:
                raise Invalid(f"invalid filter '{name}={value}'", hint="true or false")
    return wanted


def _passes(found: Found, wanted: Mapping[str, Any]) -> bool:
    return bool(
        found.star_count >= wanted.get("stars", 0)
        and wanted.get("is-official", found.is_official) == found.is_official
        and wanted.get("is-automated", found.is_automated) == found.is_automated
    )


def _decoded(data: bytes) -> Sequence[Found]:
    try:
        return msgspec.json.decode(data, type=_Results).results
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the registry's search results are not as they should be: {error}") from None
