"""A file of secrets, each encrypted (AES-256-GCM), with the key in another folder and bound to machine and user.

What this protects from, and what not, stands in docs/registries.md: who can read all files of the user on this
machine can open it; who gets hold of the file alone, or of a copy of the home folder, cannot.
"""

from __future__ import annotations

import os

from nakagin.errors import Denied, Invalid, NakaginError
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MACHINE_ID = "/etc/machine-id"
_PURPOSE = b"nakagin registry credentials 1"


class SealedFile:
    """Entries by server: {"sealed": base64}, or {"helper": name} for what lies in a keyring instead."""

    def __init__(self, path: str, key_path: str) -> None:
        """`path` is the file, `key_path` that of its key; folders and files are made at need, for the user only."""
        self.path = path
        self._key_path = key_path

    def entry(self, server: str) -> dict[str, str] | None:
        """What the file says of a server, still sealed. Raises Invalid for a broken file."""
        found = self._read().get(server)
        return found if isinstance(found, dict) else None

    def servers(self) -> set[str]:
        """Those that have an entry."""
        return set(self._read())

    def open(self, server: str) -> dict[str, str]:
        """The secrets of a server. Raises Denied where the key does not fit."""
        from binascii import Error, a2b_base64

        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        entry = self.entry(server) or {}
        try:
            sealed = a2b_base64(entry.get("sealed", ""))
            plain = AESGCM(self._key(make=False)).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], server.encode()
            )
        except (InvalidTag, Error, ValueError, FileNotFoundError):
            raise Denied(
                f"the credentials for {server} cannot be decrypted: they are of another machine or user, or damaged",
                hint=f"nakagin login {server}",
            ) from None
        found = parse(plain.decode())
        return {str(name): str(value) for name, value in found.items()}

    def seal(self, server: str, secrets: dict[str, str]) -> None:
        """Keep the secrets of a server."""
        from binascii import b2a_base64

        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._key(make=True)).encrypt(nonce, render(secrets).encode(), server.encode())
        self._change(server, {"sealed": b2a_base64(nonce + sealed, newline=False).decode()})

    def put_helper(self, server: str, helper: str) -> None:
        """Note that the secrets of a server lie in a keyring."""
        self._change(server, {"helper": helper})

    def remove(self, server: str) -> None:
        """Forget a server. Fine where it is not known."""
        if self.entry(server) is not None:
            self._change(server, None)

    def _key(self, *, make: bool) -> bytes:
        """The key in use: that of the file, this machine and this user together (HKDF, RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        try:
            with open(self._key_path, "rb") as file:
                secret = file.read()
        except FileNotFoundError:
            if not make:
                raise
            secret = os.urandom(_KEY_BYTES)
            _write(self._key_path, secret)
        if len(secret) != _KEY_BYTES:
            raise Invalid(
                "the key of the credentials is damaged",
                where=self._key_path,
                hint="delete it and log in again",
            )
        try:
            with open(_MACHINE_ID, "rb") as file:
                machine = file.read().strip()
        except OSError:
            machine = b""
        info = b"%b %d" % (machine, os.getuid())
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=_PURPOSE, info=info).derive(secret)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                found = parse(file.read())
        except FileNotFoundError:
            return {}
        except (OSError, NakaginError) as error:
            raise Invalid(f"the credentials cannot be read: {error}", where=self.path) from None
        servers = found.get("servers") if isinstance(found, dict) else None
        return servers if isinstance(servers, dict) else {}

    def _change(self, server: str, entry: dict[str, str] | None) -> None:
        servers = {name: each for name, each in self._read().items() if name != server}
        if entry is not None:
            servers[server] = entry
        _write(self.path, (render({"servers": servers}) + "\n").encode())


def _write(path: str, data: bytes) -> None:
    """Replace a file as a whole; only the user may read it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
