"""Who somebody is to a registry, as it arrives in Docker's API: headers and bodies. Nothing here is stored."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST = 1 << 20


class Credentials(msgspec.Struct, frozen=True, rename="lower"):
    """Name and password, or a token instead of them; all empty: anonymous. Never shows its secrets."""

    username: str = ""
    password: str = ""
    identity_token: str = msgspec.field(default="", name="identitytoken")
    """What the token server gave at login in place of the password (OAuth refresh token)."""
    registry_token: str = msgspec.field(default="", name="registrytoken")
    """A bearer token to be sent as it is."""
    server: str = msgspec.field(default="", name="serveraddress")
    auth: str = ""
    """base64 of name:password, as old clients send it."""

    @property
    def anonymous(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.username or self.password or self.identity_token or self.registry_token)

    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"


ANONYMOUS = Credentials()


def from_header(text: str) -> Credentials:
    """The value of X-Registry-Auth: a JSON object in base64url, with or without padding. Raises Invalid."""
    if not text:
        return ANONYMOUS
    return from_document(_unwrapped(text, "X-Registry-Auth"))


def from_document(data: bytes) -> Credentials:
    """A JSON AuthConfig (the body of POST /auth). Raises Invalid."""
    try:
        found = msgspec.json.decode(data or b"{}", type=Credentials)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("the registry credentials are not as they should be") from None
    return _spelled_out(found)


def from_config_header(text: str) -> Mapping[str, Credentials]:
    """The value of X-Registry-Config: such objects by registry host (`build` sends it). Raises Invalid."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(_unwrapped(text, "X-Registry-Config"), type=dict[str, Credentials])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("the header X-Registry-Config is not as it should be") from None
    return {host: _spelled_out(each) for host, each in found.items()}


def _unwrapped(text: str, name: str) -> bytes:
    if len(text) > _LARGEST:
        raise Invalid(f"the header {name} is too long")
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"the header {name} is no base64") from None


def _spelled_out(found: Credentials) -> Credentials:
    if found.auth and not found.username:
        try:
            username, _, password = base64.b64decode(found.auth, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Invalid("the registry credentials' auth is no base64") from None
        found = msgspec.structs.replace(found, username=username, password=password.rstrip("\0"))
    # `docker login` with an access token answers with this name (docker/cli, registry.go).
    if found.username == "<token>" and not found.identity_token:
        found = msgspec.structs.replace(found, username="", password="", identity_token=found.password)
    return msgspec.structs.replace(found, auth="")
