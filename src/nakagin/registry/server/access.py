"""Who is asking and what they may do: nobody has to say, or by password, or by token."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nakagin.registry.server.refusals import denied, unauthorized
from nakagin.registry.server.settings import ANONYMOUS, Rule

if TYPE_CHECKING:
    from nakagin.registry.server.passwords import Passwords
    from nakagin.registry.server.tokens import Tokens

#: What a method needs in the repository that the path names.
_ACTIONS = {"GET": "pull", "HEAD": "pull", "POST": "push", "PUT": "push", "PATCH": "push", "DELETE": "delete"}


def action_of(method: str, kind: str) -> str:
    """The action that a request needs; the session of an upload is its pusher's, whatever the method."""
    if kind in ("upload", "uploads"):
        return "push"
    return _ACTIONS.get(method, "pull")


def scope_of(action: str, repository: str) -> str:
    """What a token must be for."""
    wanted = {"push": "pull,push"}.get(action, action)
    return f"repository:{repository}:{wanted}"


class Identity(Protocol):
    """An asker."""

    @property
    def user(self) -> str:
        """The name, or "" for nobody in particular."""

    def may(self, action: str, repository: str) -> bool:
        """Whether pull, push or delete is allowed in a repository."""


class Anyone(NamedTuple):
    """Where nobody needs to say who they are, everybody may do everything."""

    user: str = ""

    def may(self, action: str, repository: str) -> bool:
        return True


class Known(NamedTuple):
    """A user (or nobody, "") under the configured rules; with no rules, users may do everything and nobody nothing."""

    user: str
    rules: Sequence[Rule]

    def may(self, action: str, repository: str) -> bool:
        if not self.rules:
            return bool(self.user)
        names = (self.user, "*") if self.user else (ANONYMOUS,)
        return any(
            action in rule.actions
            and any(name in names for name in rule.users)
            and any(fnmatchcase(repository, pattern) for pattern in rule.repositories)
            for rule in self.rules
        )


class Bearer(NamedTuple):
    """Who shows a token may do what the token says."""

    user: str
    granted: Mapping[str, frozenset[str]]
    """Repository -> actions."""

    def may(self, action: str, repository: str) -> bool:
        actions = self.granted.get(repository, frozenset())
        return action in actions or "*" in actions


class Access:
    """The doorkeeper. Without passwords and tokens, everybody is let in."""

    def __init__(
        self, realm: str, rules: Sequence[Rule], passwords: Passwords | None, tokens: Tokens | None
    ) -> None:
        self._realm = realm
        self._rules = rules
        self.passwords = passwords
        self.tokens = tokens

    @property
    def open(self) -> bool:
        """Nobody needs to say who they are."""
        return self.passwords is None and self.tokens is None

    async def identify(self, authorization: str, origin: str, scope: str = "") -> Identity:
        """Who sends this Authorization header; `origin` is this server's URL. Refusal UNAUTHORIZED for a wrong one,
        which names the scope that a token needs."""
        if self.open:
            return Anyone()
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.tokens is not None:
            token = self.tokens.verified(value.strip())
            if token is None:
                raise self._challenge(origin, scope, 'error="invalid_token"', "the token is not valid here")
            return token
        if scheme.lower() == "basic" and self.passwords is not None:
            user, password = credentials(value)
            if not await self.passwords.check(user, password):
                raise self._challenge(origin, "", "", "wrong user name or password")
            return Known(user, self._rules)
        return Known("", self._rules if self.tokens is None else (Rule(users=()),))

    def known(self, user: str) -> Known:
        """A user whose password was right (or nobody, "")."""
        return Known(user, self._rules)

    def require_user(self, identity: Identity, origin: str) -> None:
        """Refusal UNAUTHORIZED for somebody without a name: for what is not about one repository."""
        if not self.open and not identity.user:
            raise self._challenge(origin, "", "", "authentication required")

    def require(self, identity: Identity, action: str, repository: str, origin: str) -> None:
        """Refusal UNAUTHORIZED or DENIED unless the action is allowed in the repository."""
        if identity.may(action, repository):
            return
        scope = scope_of(action, repository)
        if isinstance(identity, Bearer):
            raise self._challenge(
                origin,
                scope,
                'error="insufficient_scope"',
                f"the token does not allow {action} in {repository}",
            )
        if not identity.user:
            raise self._challenge(origin, scope, "", "authentication required")
        raise denied(
            f"{identity.user} may not {action} in {repository}", {"name": repository, "action": action}
        )

    def _challenge(self, origin: str, scope: str, error: str, message: str) -> Exception:
        if self.tokens is None:
            return unauthorized(f'Basic realm="{self._realm}"', message)
        parts = [f'realm="{self.tokens.realm(origin)}"', f'service="{self.tokens.service}"']
        parts += [f'scope="{scope}"'] if scope else []
        parts += [error] if error else []
        return unauthorized("Bearer " + ",".join(parts), message)


def credentials(value: str) -> tuple[str, str]:
    """User and password of a Basic header's value; ("", "") where it is none."""
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return (user, password) if colon else ("", "")
