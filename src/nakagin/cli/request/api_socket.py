"""--use-api-socket: the engine's socket in the container, at Docker's place, and the credentials for registries."""

from __future__ import annotations

from nakagin.client.copying.single import packed
from nakagin.client.keychain import Keychain, server_key
from nakagin.errors import Invalid
from nakagin.spec.document import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from nakagin.client.endpoint import Endpoint

_TARGET = "/var/run/docker.sock"
_FOLDER = "/run/secrets/docker"


def mount(body: dict[str, Any], endpoint: Endpoint) -> None:
    """Add the socket's mount to a create request. Invalid where the engine is not at a socket of this machine."""
    if endpoint.path is None or endpoint.ssh:
        raise Invalid(
            f"--use-api-socket needs an engine at a unix socket, not at {endpoint.url}",
            hint="-v mounts a socket of the engine's machine",
        )
    host = body["HostConfig"]
    bind = {"Type": "bind", "Source": endpoint.path, "Target": _TARGET, "BindOptions": {}}
    host["Mounts"] = [*(host.get("Mounts") or ()), bind]


def credentials(environment: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the user is logged in to, as Docker's configuration has it; {} for nothing."""
    keychain = Keychain(environment)
    found = {domain: keychain.find(domain) for domain in keychain.domains()}
    auths = {server_key(domain): auth.configuration() for domain, auth in found.items() if auth is not None}
    return {"auths": auths} if auths else {}


def tell(body: dict[str, Any]) -> None:
    """Say in the container's environment where its Docker configuration is."""
    body["Env"] = [*(body.get("Env") or ()), f"DOCKER_CONFIG={_FOLDER}"]


def archive(known: dict[str, Any]) -> bytes:
    """The tar, for the container's root, that puts the configuration there, for its root alone."""
    return packed(f"{_FOLDER[1:]}/config.json", render(known).encode(), 0o600, 0, 0)
