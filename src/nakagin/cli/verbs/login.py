"""`nakagin login` and `logout`: who the user is to a registry."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.terminal import is_terminal
from nakagin.client.keychain import Auth, Keychain, domain_of, server_key
from nakagin.errors import Denied, Invalid, NakaginError

FLAGS = (
    Flag("password", "p", "string", "Password or Personal Access Token (PAT)"),
    Flag("password-stdin", "", "bool", "Take the Password or Personal Access Token (PAT) from stdin"),
    Flag("username", "u", "string", "Username"),
)


def login(call: Call) -> int:
    """Check credentials with a registry and keep them, encrypted."""
    domain = domain_of(next(iter(call.arguments), ""))
    keychain = Keychain(os.environ)
    username, password = _given(call)
    known = None if username or password else _known(keychain, domain)
    if known is not None:
        say(f"Authenticating with existing credentials... [Username: {known.username or '<token>'}]")
        try:
            _check(call, keychain, domain, known)
        except Denied as error:
            complain(f"Login did not succeed, error: {error}")
        else:
            return 0
    auth = Auth(*_asked(username, password))
    _check(call, keychain, domain, auth)
    return 0


def _given(call: Call) -> tuple[str, str]:
    options = call.options
    username, password = options.text("username"), options.text("password")
    if options.on("password-stdin"):
        if password:
            raise Invalid("--password and --password-stdin are mutually exclusive")
        if not username:
            raise Invalid("must provide --username with --password-stdin")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
        if not password:
            raise Invalid("password is empty")
    elif password:
        complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    return username, password


def _known(keychain: Keychain, domain: str) -> Auth | None:
    try:
        return keychain.find(domain)
    except NakaginError as error:
        complain(str(error))
        return None


def _asked(username: str, password: str) -> tuple[str, str]:
    if username and password:
        return username, password
    if not is_terminal(0):
        raise Invalid(
            "cannot perform an interactive login from a non-TTY device", hint="-u and --password-stdin"
        )
    import getpass

    if not username:
        username = input("Username: ").strip()
    if not username:
        raise Invalid("username is required")
    if not password:
        password = getpass.getpass("Password: ")
    if not password:
        raise Invalid("password is required")
    return username, password


def _check(call: Call, keychain: Keychain, domain: str, auth: Auth) -> None:
    answer = call.client.images.log_in(auth.document(server_key(domain)))
    if token := str(answer.get("IdentityToken") or ""):
        auth = Auth(auth.username, "", token)
    where = keychain.store(domain, auth)
    say(f"Credentials are kept in {where}")
    say(str(answer.get("Status") or "Login Succeeded"))


def logout(call: Call) -> int:
    """Forget a registry's credentials."""
    domain = domain_of(next(iter(call.arguments), ""))
    keychain = Keychain(os.environ)
    if keychain.erase(domain):
        say(f"Removing login credentials for {server_key(domain)}")
    else:
        say(f"Not logged in to {server_key(domain)}")
    if keychain.docker_has(domain):
        complain(
            f"Docker's configuration still has credentials for it: `docker logout {domain}` takes them out"
        )
    return 0


LOGIN = Command(login, "[OPTIONS] [SERVER]", FLAGS, least=0, most=1)
LOGOUT = Command(logout, "[SERVER]", (), least=0, most=1)
