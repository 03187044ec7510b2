"""The user's registry credentials: our own sealed store first, then what Docker's configuration and helpers have.

    store     a helper that Docker's configuration names for the server (credHelpers, credsStore)
              └─ else a keyring's helper, if one is installed and answers
                 └─ else the sealed file (docs/registries.md says what that protects from)
    find      the sealed file or keyring ─► credHelpers ─► credsStore ─► auths

Docker's own file is read and never written, so nothing of ours ends up there in clear.
"""

from __future__ import annotations

import os

from nakagin.client import credhelper
from nakagin.client.sealed import SealedFile
from nakagin.errors import Invalid, NakaginError
from nakagin.spec.document import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""The name that Docker's clients keep Docker Hub's credentials under."""
_KEYRINGS = ("secretservice", "pass")
_HUBS = frozenset(("", "docker.io", "index.docker.io", "registry-1.docker.io"))


class Auth:
    """Credentials for one server: name and password, or an identity token. Its repr shows no secret."""

    __slots__ = ("identity_token", "password", "username")

    def __init__(self, username: str, password: str, identity_token: str = "") -> None:
        self.username = username
        self.password = password
        self.identity_token = identity_token

    def document(self, server: str) -> dict[str, str]:
        """As the API has them (AuthConfig)."""
        found = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "serveraddress": server,
        }
        return {name: value for name, value in found.items() if value}

    def configuration(self) -> dict[str, str]:
        """As Docker's configuration file has them."""
        from binascii import b2a_base64

        if self.identity_token:
            return {"identitytoken": self.identity_token}
        plain = f"{self.username}:{self.password}".encode()
        return {"auth": b2a_base64(plain, newline=False).decode()}

    def __repr__(self) -> str:
        return f"Auth({self.username!r}, …)"


class Keychain:
    """Finds, stores and erases credentials by the registry's domain (docker.io, host:port)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME") or "/"
        docker = environment.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
        configuration = environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        state = environment.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
        self._docker_file = os.path.join(docker, "config.json")
        self._path = environment.get("PATH", os.defpath)
        self._sealed = SealedFile(
            os.path.join(configuration, "nakagin", "credentials.json"),
            os.path.join(state, "nakagin", "credentials.key"),
        )

    def find(self, domain: str) -> Auth | None:
        """What is known for a registry; None: ask anonymously. Raises Invalid for files that are broken."""
        if (entry := self._sealed.entry(domain)) is not None:
            if helper := entry.get("helper"):
                return _from_helper(credhelper.get(helper, server_key(domain), self._path))
            return _auth(self._sealed.open(domain))
        return self._from_docker(domain)

    def domains(self) -> set[str]:
        """The registries that something is known for, as far as that stands in files."""
        config = self._docker()
        named = [config.get("auths"), config.get("credHelpers")]
        servers = {server for names in named if isinstance(names, dict) for server in names}
        return {*map(domain_of, servers), *self._sealed.servers()}

    def _from_docker(self, domain: str) -> Auth | None:
        config = self._docker()
        if helper := _helper_of(config, domain):
            return _from_helper(credhelper.get(helper, server_key(domain), self._path))
        auths = config.get("auths")
        for server, auth in auths.items() if isinstance(auths, dict) else ():
            if domain_of(server) == domain and isinstance(auth, dict):
                return _from_config(auth)
        return None

    def store(self, domain: str, auth: Auth) -> str:
        """Keep credentials, never in clear; says where, in words."""
        helper = _helper_of(self._docker(), domain) or self._keyring()
        if helper:
            secret = (
                ("<token>", auth.identity_token) if auth.identity_token else (auth.username, auth.password)
            )
            credhelper.store(helper, server_key(domain), *secret, path=self._path)
            self._sealed.put_helper(domain, helper)
            return f"the keyring behind docker-credential-{helper}"
        self._sealed.seal(domain, auth.document(""))
        return f"{self._sealed.path} (encrypted)"

    def erase(self, domain: str) -> bool:
        """Forget what we keep; whether there was anything."""
        entry = self._sealed.entry(domain)
        helper = (entry or {}).get("helper") or _helper_of(self._docker(), domain)
        known = entry is not None
        if helper and credhelper.get(helper, server_key(domain), self._path) is not None:
            credhelper.erase(helper, server_key(domain), self._path)
            known = True
        self._sealed.remove(domain)
        return known

    def docker_has(self, domain: str) -> bool:
        """Whether Docker's own file has an entry in clear, which only `docker logout` takes out."""
        auths = self._docker().get("auths")
        found = auths.items() if isinstance(auths, dict) else ()
        return any(domain_of(server) == domain and bool(auth) for server, auth in found)

    def _keyring(self) -> str:
        """The helper of a keyring that is there and answers, or ""."""
        return next((name for name in _KEYRINGS if credhelper.answers(name, self._path)), "")

    def _docker(self) -> dict[str, Any]:
        try:
            with open(self._docker_file, encoding="utf-8") as file:
                text = file.read()
        except OSError:
            return {}
        try:
            found = parse(text or "{}")
        except NakaginError as error:
            raise Invalid(
                f"Docker's configuration cannot be read: {error.message}", where=self._docker_file
            ) from None
        return found if isinstance(found, dict) else {}


def domain_of(server: str) -> str:
    """ "https://index.docker.io/v1/" and "" → docker.io, "https://host:5000/v2/" → host:5000."""
    address = server.rpartition("://")[2].partition("/")[0]
    return HUB if address in _HUBS else address


def server_key(domain: str) -> str:
    """The name under which helpers keep a registry's credentials."""
    return HUB_KEY if domain == HUB else domain


def registry_header(domain: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The header with the user's credentials for a request about an image on `domain`."""
    from binascii import b2a_base64

    from nakagin.spec.document import render

    auth = Keychain(environment).find(domain)
    document = auth.document(server_key(domain)) if auth else {}
    text = b2a_base64(render(document).encode(), newline=False).decode()
    return {"X-Registry-Auth": text.replace("+", "-").replace("/", "_")}


def _helper_of(config: Mapping[str, Any], domain: str) -> str:
    helpers = config.get("credHelpers")
    for server, helper in helpers.items() if isinstance(helpers, dict) else ():
        if domain_of(server) == domain:
            return str(helper)
    return str(config.get("credsStore") or "")


def _from_helper(found: tuple[str, str] | None) -> Auth | None:
    if found is None:
        return None
    username, secret = found
    return Auth("", "", secret) if username == "<token>" else Auth(username, secret)


def _from_config(auth: Mapping[str, Any]) -> Auth:
    from binascii import Error, a2b_base64

    username, password = str(auth.get("username") or ""), str(auth.get("password") or "")
    if plain := auth.get("auth"):
        try:
            username, _, password = a2b_base64(str(plain)).decode().partition(":")
        except (Error, ValueError):
            raise Invalid("an `auth` in Docker's configuration is no base64", hint="log in again") from None
    return Auth(username, password.rstrip("\0"), str(auth.get("identitytoken") or ""))


def _auth(document: Mapping[str, str]) -> Auth:
    return Auth(document.get("username", ""), document.get("password", ""), document.get("identitytoken", ""))
