"""What a depot is, and the values that tell which one is meant. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from yarl import URL


class Depot(Protocol):
    """A place for one named cache: a document that is written anew each time, and blobs by digest."""

    async def load(self) -> bytes | None:
        """The document; None where there is none. Raises Denied, Unavailable."""

    async def save(self, document: bytes) -> None:
        """Put a document in place of the one before."""

    async def has(self, digest: str) -> bool:
        """Whether a blob is there."""

    def fetch(self, digest: str) -> AsyncIterator[bytes]:
        """The bytes of a blob. Raises NotFound."""

    async def store(self, digest: str, size: int, body: AsyncIterable[bytes]) -> None:
        """Put a blob there."""


class Signed(NamedTuple):
    """A request that says who it is from."""

    url: URL
    headers: Mapping[str, str]


class Store(Protocol):
    """A store of objects by key, whose requests are signed."""

    def signed(self, method: str, key: str, *, size: int = 0, digest: str = "") -> Signed:
        """The request for an object; `size` and `digest` (SHA-256 in hex) of what a PUT brings."""


def needed(attributes: Mapping[str, str], *names: str) -> list[str]:
    """The values of attributes that must be there. Raises Invalid."""
    missing = [name for name in names if not attributes.get(name)]
    if missing:
        kind = attributes.get("type", "")
        raise Invalid(f"a cache of type={kind} needs {' and '.join(missing)}", hint=_HINTS.get(missing[0]))
    return [attributes[name] for name in names]


_HINTS = {
    "access_key_id": "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where you build",
    "secret_access_key": "or set AWS_SECRET_ACCESS_KEY or AZURE_STORAGE_KEY where you build",
    "region": "or set AWS_REGION where you build",
    "token": "inside a GitHub action, let a step export ACTIONS_RUNTIME_TOKEN",
    "url_v2": "inside a GitHub action, let a step export ACTIONS_RESULTS_URL",
}
