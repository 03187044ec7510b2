"""Docker's credential helpers: programs docker-credential-NAME with the verbs get, store, erase and list.

One word on the command line, the server or a JSON object on standard input, a JSON object on standard output
(the docker-credential-helpers project's README). A failure is told on standard output, with exit code 1.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid, NakaginError, NotFound, Unavailable
from nakagin.spec.document import parse, render

_NOT_FOUND = ("credentials not found", "no credentials server url", "no credentials username")
_TIMEOUT = 60.0


def get(name: str, server: str, path: str) -> tuple[str, str] | None:
    """(username, secret) of a server, or None. The username "<token>" marks an identity token."""
    try:
        answer = _run(name, "get", server, path)
    except NotFound:
        return None
    try:
        found = parse(answer)
    except NakaginError:
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"docker-credential-{name} answered something that is no JSON object")
    return str(found.get("Username", "")), str(found.get("Secret", ""))


def store(name: str, server: str, username: str, secret: str, *, path: str) -> None:
    """Keep a secret. Raises Unavailable."""
    _run(name, "store", render({"ServerURL": server, "Username": username, "Secret": secret}), path)


def erase(name: str, server: str, path: str) -> None:
    """Forget a secret."""
    _run(name, "erase", server, path)


def answers(name: str, path: str) -> bool:
    """Whether the helper is installed and its keyring can be used now."""
    try:
        _run(name, "list", "", path)
    except NakaginError:
        return False
    return True


def _run(name: str, verb: str, given: str, path: str) -> str:
    import shutil
    import subprocess

    if not name or os.sep in name:
        raise Invalid(f"{name!r} cannot be the name of a credential helper")
    program = shutil.which(f"docker-credential-{name}", path=path)
    if program is None:
        raise Unavailable(
            f"the credential helper docker-credential-{name} is not installed",
            hint="install it, or take credsStore and credHelpers out of Docker's configuration",
        )
    try:
        done = subprocess.run(
            [program, verb], input=given, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"docker-credential-{name} {verb} failed: {error}") from None
    if done.returncode:
        words = (done.stdout.strip() or done.stderr.strip())[:500]
        if any(known in words.lower() for known in _NOT_FOUND):
            raise NotFound(f"docker-credential-{name}: {words}")
        raise Unavailable(f"docker-credential-{name} {verb} failed: {words}")
    return done.stdout
