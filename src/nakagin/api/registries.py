"""What is asked of registries without moving an image: credentials, search, what a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.api.answers import answer
from nakagin.errors import Denied, Invalid
from nakagin.registry.credentials import from_document, from_header
from nakagin.registry.endpoints import split_url
from nakagin.registry.search import DEFAULT_LIMIT, search
from nakagin.spec.domain import DEFAULT_DOMAIN
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call
    from nakagin.registry.credentials import Credentials
    from nakagin.spec.platform import Platform

_HUB = ("", "index.docker.io", "registry-1.docker.io", "docker.io")


def credentials_of(call: Call) -> Credentials:
    """Who the caller is to the registry (X-Registry-Auth). Raises Invalid."""
    return from_header(call.request.headers.get("X-Registry-Auth", ""))


def domain_of(server: str) -> str:
    """The domain that a server address of `docker login` means: "https://index.docker.io/v1/" is docker.io."""
    address = split_url(server)[1]
    return DEFAULT_DOMAIN if address in _HUB else address


async def auth(call: Call) -> web.StreamResponse:
    """POST /auth: whether name and password are right."""
    credentials = from_document(await call.request.read())
    domain = domain_of(credentials.server)
    plain = msgspec.structs.replace(credentials, server="")
    try:
        token = await call.engine.registries.log_in(domain, plain)
    except Denied as error:
        # 401 and not 403: docker's command line then asks for the password again.
        return answer({"message": str(error)}, 401)
    return answer({"Status": "Login Succeeded", "IdentityToken": token})


async def find(call: Call) -> web.StreamResponse:
    """GET /images/search."""
    term = call.text("term")
    if not term:
        raise Invalid("the query parameter term is missing")
    limit = call.number("limit") or DEFAULT_LIMIT
    found = await search(
        call.engine.registries, term, credentials_of(call), limit=limit, filters=call.filters()
    )
    return answer(found)


async def distribution(call: Call) -> web.StreamResponse:
    """GET /distribution/{name}/json: descriptor and platforms of a name at its registry."""
    reference = Reference.parse(call.name).tagged()
    lookup = call.engine.pulls.lookup
    descriptor, origin = await lookup.find(reference, credentials_of(call))
    platforms = await lookup.platforms(origin, descriptor)
    shown = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    return answer({"Descriptor": shown, "Platforms": [_platform(each) for each in platforms]})


def _platform(platform: Platform) -> dict[str, str]:
    parts = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {key: value for key, value in parts.items() if value}


DEEDS = {"POST /auth": auth}
READS = {"GET /images/search": find, "GET /distribution/*/json": distribution}
