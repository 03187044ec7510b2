"""Bearer tokens: JWTs that say who may do what in which repository (the distribution project's "Token Authentication").

The algorithm is the key's, never the token's: a token that calls itself unsigned, or signed with a public key as
if that were a secret (CVE-2016-10555), is none.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from nakagin.errors import Invalid
from nakagin.registry.server.access import Bearer
from nakagin.registry.server.settings import Tokens as Settings
from nakagin.registry.server.settings import seconds_of

#: Clocks differ.
_LEEWAY = 60
_LONGEST = 16 << 10
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
Grants = dict[str, frozenset[str]]


class Tokens:
    """Verifies tokens, and issues them where there is a key to sign with. Raises Invalid for unusable keys."""

    def __init__(self, settings: Settings) -> None:
        self.service = settings.service
        self.lifetime = int(seconds_of(settings.lifetime))
        self._refresh_lifetime = int(seconds_of(settings.refresh_lifetime))
        self._issuer = settings.issuer
        self._realm = settings.realm
        self._keys = [(_public(path), path) for path in settings.keys]
        self._signing: Any = None
        if settings.signing_key:
            self._signing = _private(settings.signing_key)
            self._keys.append((self._signing.public_key(), settings.signing_key))
        self._verifying = [(key, _algorithm(key, path)) for key, path in self._keys]
        if not settings.realm and self._signing is None:
            raise Invalid("auth.token needs a realm: the URL where clients get tokens")

    @property
    def issues(self) -> bool:
        """Whether this registry gives out tokens itself."""
        return self._signing is not None

    def realm(self, origin: str) -> str:
        """Where clients get a token."""
        return self._realm or f"{origin}/token"

    def verified(self, token: str) -> Bearer | None:
        """What a token says; None for one that does not hold here."""
        if len(token) > _LONGEST:
            return None
        for key, algorithm in self._verifying:
            try:
                claims = jwt.decode(
                    token, key, algorithms=[algorithm], audience=self.service, issuer=self._issuer,
                    leeway=_LEEWAY, options={"require": ["exp", "iss", "aud"]},
                )  # fmt: skip
            except jwt.PyJWTError:
                continue
            subject = claims.get("sub")
            return Bearer(subject if isinstance(subject, str) else "", _granted(claims.get("access")))
        return None

    def issue(self, user: str, grants: Grants) -> tuple[str, int]:
        """A token for these actions, and the time it was made at (seconds since the epoch)."""
        access = [
            {"type": "repository", "name": name, "actions": sorted(actions)}
            for name, actions in grants.items()
        ]
        return self._signed(user, self.service, self.lifetime, access=access)

    def refresh(self, user: str, mark: str) -> str:
        """What a client keeps instead of the user's password, to get tokens with; it holds while the mark is the
        user's. No access token: it is for another audience."""
        return self._signed(user, self._refresh_audience, self._refresh_lifetime, mark=mark)[0]

    def refreshing(self, token: str) -> tuple[str, str]:
        """(user, mark) of a refresh token; ("", "") for one that does not hold here."""
        key, algorithm = self._verifying[-1]
        try:
            claims = jwt.decode(
                token[:_LONGEST], key, algorithms=[algorithm], audience=self._refresh_audience,
                issuer=self._issuer, options={"require": ["exp", "iss", "aud", "sub", "mark"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            return "", ""
        return str(claims["sub"]), str(claims["mark"])

    @property
    def _refresh_audience(self) -> str:
        return f"{self.service}/refresh"

    def _signed(self, user: str, audience: str, lifetime: int, **more: object) -> tuple[str, int]:
        now = int(time.time())
        claims = {
            "iss": self._issuer, "aud": audience, "sub": user, "iat": now, "nbf": now, "exp": now + lifetime,
            "jti": secrets.token_hex(16), **more,
        }  # fmt: skip
        return jwt.encode(claims, self._signing, algorithm=self._verifying[-1][1]), now


def _granted(access: object) -> Grants:
    granted: Grants = {}
    for each in access if isinstance(access, list) else ():
        if not isinstance(each, dict) or each.get("type") not in ("repository", "registry"):
            continue
        name, actions = each.get("name"), each.get("actions")
        if isinstance(name, str) and isinstance(actions, list):
            words = frozenset(word for word in actions if isinstance(word, str))
            granted[name] = granted.get(name, frozenset()) | words
    return granted


def scopes_of(texts: Iterable[str]) -> Sequence[tuple[str, frozenset[str]]]:
    """(repository, actions) of scopes like "repository:team/app:pull,push"; others are left out."""
    found = []
    for scope in (word for text in texts for word in text.split(" ")):
        kind, _, rest = scope.partition(":")
        name, colon, actions = rest.rpartition(":")
        if kind.partition("(")[0] == "repository" and colon:
            found.append((name, frozenset(actions.split(","))))
    return found


def _public(path: str) -> Any:
    data = _pem(path)
    try:
        if b"CERTIFICATE" in data:
            return load_pem_x509_certificate(data).public_key()
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"not a public key or certificate: {error}", where=path) from None


def _private(path: str) -> Any:
    try:
        return load_pem_private_key(_pem(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid(f"not a private key: {error}", where=path) from None


def _pem(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Invalid(f"cannot read the key: {error.strerror}", where=path) from None


def _algorithm(key: object, path: str) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    raise Invalid("a key of this kind cannot sign tokens", where=path, hint="use RSA, P-256 or Ed25519")
