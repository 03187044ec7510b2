"""The hashes by which Compose sees that something changed: SHA-256 over Go's JSON, in the model's order of fields.

They stand in labels (com.docker.compose.config-hash), so they must be Compose's to the bit: then each of the two
leaves alone what the other made.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from nakagin.compose.model import Network, Service, Volume

_encoder = msgspec.json.Encoder(order="deterministic")
# What Go's encoder writes in another way than everybody else.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def service_hash(service: Service) -> str:
    """Without what changes no container: how it is built, pulled, scaled, ordered and chosen."""
    deploy = replace(service.deploy, replicas=None) if service.deploy else None
    return _hash(
        replace(service, build=None, pull_policy="", scale=None, deploy=deploy, depends_on={}, profiles=[])
    )


def network_hash(network: Network) -> str:
    """Of a network as the project has it."""
    return _hash(network)


def volume_hash(volume: Volume) -> str:
    """Of a volume as the project has it."""
    return _hash(volume if volume.driver else replace(volume, driver="local"))


def content_hash(content: bytes) -> str:
    """Of what a config or secret holds."""
    import hashlib  # loads a library of its own, which who only ends things need not wait for

    return hashlib.sha256(content).hexdigest()


def _hash(value: msgspec.Struct) -> str:
    text = _encoder.encode(value)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return content_hash(text)
