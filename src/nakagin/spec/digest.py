"""Content digests: their grammar, and the identities of layers that are computed from them.

A digest is a plain string "algorithm:encoded" (OCI image specification, descriptor.md). Nothing here
reads files; `storage.blobs` does.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NewType

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from hashlib import _Hash

Digest = NewType("Digest", str)
"""`sha256:<64 hex digits>` (or sha512): the name of some bytes."""

ChainID = NewType("ChainID", str)
"""A digest that names a stack of layers, bottom to top (config.md, "Layer ChainID")."""

_LENGTHS = {"sha256": 64, "sha512": 128}
ALGORITHMS = tuple(_LENGTHS)
"""Of the registered ones (descriptor.md): the required one, and what Python hashes without help."""
_HEX = re.compile(r"[0-9a-f]+")
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


def parse_digest(text: str) -> Digest:
    """`text` as a digest of a known algorithm, or Invalid."""
    algorithm, separator, encoded = text.partition(":")
    if not separator or not _GRAMMAR.fullmatch(text):
        raise Invalid(f"invalid digest {text!r}", hint="a digest looks like sha256:<64 hex digits>")
    length = _LENGTHS.get(algorithm)
    if length is None:
        raise Invalid(f"unsupported digest algorithm {algorithm!r}", hint="sha256 and sha512 are known")
    if len(encoded) != length or not _HEX.fullmatch(encoded):
        raise Invalid(f"invalid digest {text!r}: {algorithm} needs {length} lower-case hex digits")
    return Digest(text)


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of a known algorithm."""
    algorithm, _, encoded = text.partition(":")
    return _LENGTHS.get(algorithm) == len(encoded) and _HEX.fullmatch(encoded) is not None


def digest_of(data: bytes) -> Digest:
    """The sha256 digest of `data`."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def hasher(algorithm: str = "sha256") -> _Hash:
    """A new hash object for a digest algorithm."""
    return hashlib.new(algorithm)


def encoded(digest: str) -> str:
    """The part after the algorithm."""
    return digest.partition(":")[2]


def algorithm(digest: str) -> str:
    """The part before the colon."""
    return digest.partition(":")[0]


def extend_chain(parent: ChainID | None, diff_id: str) -> ChainID:
    """The chain ID of the layer `diff_id` on top of the stack `parent` (None: on nothing)."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID(digest_of(f"{parent} {diff_id}".encode()))


def chain_ids(diff_ids: Iterable[str]) -> Sequence[ChainID]:
    """The chain IDs of every prefix of a stack of layers, bottom first."""
    chains: list[ChainID] = []
    for diff_id in diff_ids:
        chains.append(extend_chain(chains[-1] if chains else None, diff_id))
    return chains
