"""User names and passwords in an htpasswd file of bcrypt hashes. The file is read again when it changes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets

import bcrypt

from nakagin.errors import Invalid

_PREFIXES = (b"$2y$", b"$2b$", b"$2a$")
#: Right answers that are remembered: bcrypt takes a tenth of a second, and clients ask with every request.
_MOST_REMEMBERED = 1000
#: bcrypt looks at no more; newer libraries refuse longer ones.
_LONGEST = 72
#: Somebody who is not in the file takes as long as somebody who is.
_NOBODY = bcrypt.hashpw(b"", bcrypt.gensalt(rounds=5))


class Passwords:
    """The users of one file. Raises Invalid for a file that cannot be read or has other hashes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp = (0, 0)
        self._hashes: dict[str, bytes] = {}
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, str] = {}
        self._read()

    def _read(self) -> None:
        try:
            status = os.stat(self._path)
            if (stamp := (status.st_mtime_ns, status.st_size)) == self._stamp:
                return
            with open(self._path, "rb") as file:
                lines = file.read().splitlines()
        except OSError as error:
            if self._stamp != (0, 0):  # in the moment of its exchange: the old one holds
                return
            raise Invalid(f"cannot read the password file: {error.strerror}", where=self._path) from None
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith(b"#"):
                continue
            name, colon, hashed = line.strip().partition(b":")
            if not colon or not hashed.startswith(_PREFIXES):
                raise Invalid(
                    f"line {number} has no bcrypt hash", where=self._path, hint="make it with `htpasswd -B`"
                )
            hashes[name.decode(errors="surrogateescape")] = b"$2b$" + hashed[4:]
        self._hashes, self._stamp = hashes, stamp
        self._right.clear()

    def mark(self, user: str) -> str:
        """What changes with the user's password, and tells nothing of it; "" for nobody who is known."""
        self._read()
        known = self._hashes.get(user)
        return hashlib.sha256(b"mark\0" + known).hexdigest()[:32] if known is not None else ""

    async def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password."""
        self._read()
        word = password.encode(errors="surrogateescape")[:_LONGEST]
        key = hmac.digest(self._secret, user.encode(errors="surrogateescape") + b"\0" + word, hashlib.sha256)
        if key in self._right:
            return True
        known = self._hashes.get(user)
        right = await asyncio.to_thread(_matches, word, known or _NOBODY) and known is not None
        if right and self._hashes.get(user) == known:
            if len(self._right) >= _MOST_REMEMBERED:
                self._right.pop(next(iter(self._right)))
            self._right[key] = user
        return right


def _matches(word: bytes, hashed: bytes) -> bool:
    try:
        return b"\0" not in word and bcrypt.checkpw(word, hashed)
    except ValueError:  # a hash that only looks like one
        return False
