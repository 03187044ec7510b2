"""The user's credentials as a config.json for clients in containers."""

from __future__ import annotations

import base64
import json
import os

from nakagin.client.keychain import Keychain, domain_of


def as_config() -> str:
    """All that Docker's configuration names, with what its helpers keep. Raises Invalid for a broken file."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            named = json.load(file).get("auths") or {}
    except (OSError, ValueError, AttributeError):
        named = {}
    keychain = Keychain(os.environ)
    auths: dict[str, dict[str, str]] = {}
    for server in named:
        auth = keychain.find(domain_of(server))
        if auth is not None and auth.identity_token:
            auths[server] = {"identitytoken": auth.identity_token}
        elif auth is not None:
            auths[server] = {"auth": base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()}
    return json.dumps({"auths": auths})
