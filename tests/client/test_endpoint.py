"""Which engine is meant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from nakagin.client.endpoint import DEFAULT_SOCKET, Endpoint, resolve
from nakagin.errors import Invalid, NotFound, Unsupported


def test_addresses() -> None:
    assert Endpoint("unix:///x.sock").path == "/x.sock"
    tcp = Endpoint("tcp://box:99/prefix/")
    assert (tcp.path, tcp.host, tcp.port, tcp.prefix, tcp.host_header) == (
        None,
        "box",
        99,
        "/prefix",
        "box:99",
    )
    assert Endpoint("tcp://[::1]:5").host_header == "[::1]:5"
    assert (Endpoint("tcp://box").port, Endpoint("https://box").port) == (2375, 2376)
    for address, error in (
        ("nonsense", Invalid),
        ("tcp://a:b", Invalid),
        ("tcp://a:99999", Invalid),
        ("npipe://a", Unsupported),
        ("ssh://", Invalid),
        ("ssh://-oProxyCommand=x", Invalid),
    ):
        with pytest.raises(error):
            Endpoint(address)


def test_precedence(tmp_path: Path) -> None:
    everything = {
        "NAKAGIN_HOST": "/n",
        "DOCKER_HOST": "/d",
        "DOCKER_CONTEXT": "c",
        "DOCKER_CONFIG": str(tmp_path),
    }
    assert resolve(everything, host="/x").path == "/x"
    assert resolve(everything).path == "/n"
    assert resolve({"DOCKER_HOST": "/d", "DOCKER_CONTEXT": "c"}).path == "/d"
    local = resolve({})
    assert (local.path, local.default) == (DEFAULT_SOCKET, True)
    assert not resolve({"DOCKER_HOST": f"unix://{DEFAULT_SOCKET}"}).default


def test_contexts(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"far").hexdigest()
    folder = tmp_path / "contexts" / "meta" / digest
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(
        json.dumps({"Name": "far", "Endpoints": {"docker": {"Host": "tcp://far:1"}}})
    )
    certificates = tmp_path / "contexts" / "tls" / digest / "docker"
    certificates.mkdir(parents=True)
    (certificates / "ca.pem").touch()
    environment = {"DOCKER_CONTEXT": "far", "DOCKER_CONFIG": str(tmp_path)}
    found = resolve(environment)
    assert (found.host, found.port) == ("far", 1)
    assert found.tls is not None
    assert (found.tls.ca, found.tls.certificate, found.tls.verify) == (
        str(certificates / "ca.pem"),
        None,
        True,
    )
    assert resolve(environment, context="default").default
    with pytest.raises(NotFound, match="context not found"):
        resolve(environment, context="nope")
    (folder / "meta.json").write_text("{")
    with pytest.raises(Invalid):
        resolve(environment)


def test_addresses_behind_ssh() -> None:
    plain = Endpoint("ssh://box")
    assert (plain.ssh, plain.user, plain.host, plain.port, plain.far_path) == (True, "", "box", 0, "")
    full = Endpoint("ssh://me@[::1]:2222/run/x.sock")
    assert (full.user, full.host, full.port, full.far_path) == ("me", "::1", 2222, "/run/x.sock")
    assert full.path is None
