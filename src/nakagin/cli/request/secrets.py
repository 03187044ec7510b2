"""`run --secret id=NAME,src=FILE|env=VAR[,type=env][,target=…][,uid=…][,gid=…][,mode=…]` → a secret of the request."""

from __future__ import annotations

import os

from nakagin.client.requests import secret
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEYS = {"id", "src", "source", "env", "type", "target", "uid", "gid", "mode"}


def parse_secret(text: str) -> dict[str, Any]:
    """The secret with its content, from a file or a variable of the caller. Invalid, NotFound."""
    given: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals or key not in _KEYS:
            raise Invalid(f"invalid --secret: {field!r}", hint="id=NAME,src=FILE or id=NAME,env=VARIABLE")
        given["src" if key == "source" else key] = value
    name = given.get("id") or os.path.basename(given.get("src", "")) or given.get("env", "")
    options: dict[str, Any] = {}
    if given.get("type") == "env":
        options["Env"] = given.get("target") or name
    elif given.get("type", "mount") not in ("mount", "file"):
        raise Invalid(f"invalid --secret: type {given['type']!r}", hint="mount or env")
    elif "target" in given:
        target = given["target"]
        options["Target"] = target if target.startswith("/") else f"/run/secrets/{target}"
    for key, base in (("uid", 10), ("gid", 10), ("mode", 8)):
        if key in given:
            try:
                options[key.capitalize()] = int(given[key], base)
            except ValueError:
                raise Invalid(f"invalid --secret: {key}={given[key]}") from None
    return secret(name, _content(given), **options)


def _content(given: dict[str, str]) -> bytes:
    if "src" in given:
        try:
            with open(given["src"], "rb") as file:
                return file.read()
        except OSError as error:
            raise NotFound(f"the secret {given['src']} cannot be read: {error.strerror}") from None
    variable = given.get("env") or given.get("id", "")
    value = os.environ.get(variable)
    if value is None:
        raise NotFound(
            f"there is no variable {variable} to make a secret of", hint="or name a file with src="
        )
    return os.fsencode(value)
