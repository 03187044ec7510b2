"""The user's credentials: our sealed file, Docker's configuration, and helpers that speak the real protocol."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from nakagin.client import credhelper
from nakagin.client.keychain import Auth, Keychain, domain_of, registry_header
from nakagin.errors import Denied, Invalid, Unavailable

HELPER = """#!/bin/sh
# A keyring in a folder, by the protocol of docker-credential-helpers.
read_all() { cat; }
case "$1" in
  list) echo '{}' ;;
  store) cat > "$KEYRING/stored" ;;
  get) server=$(read_all)
    if grep -q "\\"$server\\"" "$KEYRING/stored" 2>/dev/null; then cat "$KEYRING/stored"
    else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) rm -f "$KEYRING/stored" ;;
  *) echo unknown; exit 2 ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin"}


def docker_config(tmp_path: Path, **document: object) -> None:
    (tmp_path / ".docker").mkdir(exist_ok=True)
    (tmp_path / ".docker/config.json").write_text(json.dumps(document))


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A helper of the name; it keeps its secret in `keyring/stored`."""
    program = tmp_path / "bin" / f"docker-credential-{name}"
    program.write_text(HELPER)
    program.chmod(0o755)
    (tmp_path / "keyring").mkdir(exist_ok=True)
    monkeypatch.setenv("KEYRING", str(tmp_path / "keyring"))


def shown(auth: Auth | None) -> tuple[str, str, str] | None:
    return (auth.username, auth.password, auth.identity_token) if auth else None


def test_the_sealed_file(tmp_path: Path, environment: dict[str, str]) -> None:
    keychain = Keychain(environment)
    assert keychain.find("h:1") is None
    assert "encrypted" in keychain.store("h:1", Auth("me", "secret word"))
    keychain.store("docker.io", Auth("you", "", "identity"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o77 == 0 for path in files)
    assert not any(word in path.read_bytes() for path in files for word in (b"secret", b'me"', b"identity"))
    again = Keychain(environment)
    assert shown(again.find("h:1")) == ("me", "secret word", "")
    assert shown(again.find("docker.io")) == ("you", "", "identity")
    assert again.erase("h:1")
    assert not again.erase("h:1")
    assert again.find("h:1") is None


def test_entries_cannot_be_moved_or_opened_with_another_key(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    keychain = Keychain(environment)
    keychain.store("a", Auth("me", "secret"))
    path = tmp_path / ".config/nakagin/credentials.json"
    document = json.loads(path.read_text())
    document["servers"]["b"] = document["servers"]["a"]
    path.write_text(json.dumps(document))
    with pytest.raises(Denied, match="cannot be decrypted"):
        keychain.find("b")
    (tmp_path / ".local/state/nakagin/credentials.key").write_bytes(bytes(32))
    with pytest.raises(Denied, match="nakagin login a"):
        keychain.find("a")
    (tmp_path / ".local/state/nakagin/credentials.key").unlink()
    with pytest.raises(Denied):
        keychain.find("a")
    path.write_text("{")
    with pytest.raises(Invalid, match=r"credentials\.json"):
        keychain.find("a")


def test_dockers_configuration(tmp_path: Path, environment: dict[str, str]) -> None:
    auth = base64.b64encode(b"me:pass:word").decode()
    docker_config(
        tmp_path,
        auths={
            "https://index.docker.io/v1/": {"auth": auth},
            "h:1": {"auth": auth, "identitytoken": "t"},
            "https://old.example/v1/": {"username": "a", "password": "b"},
        },
    )
    keychain = Keychain(environment)
    assert shown(keychain.find("docker.io")) == ("me", "pass:word", "")
    assert shown(keychain.find("h:1")) == ("me", "pass:word", "t")
    assert shown(keychain.find("old.example")) == ("a", "b", "")
    assert keychain.find("other") is None
    assert keychain.docker_has("h:1")
    keychain.store("h:1", Auth("new", "x"))
    assert shown(keychain.find("h:1")) == ("new", "x", "")


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_helpers(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    install(tmp_path, monkeypatch, "mine")
    docker_config(tmp_path, **{key: "mine" if key == "credsStore" else {"h:1": "mine"}})
    keychain = Keychain(environment)
    assert keychain.find("h:1") is None
    assert "docker-credential-mine" in keychain.store("h:1", Auth("me", "secret"))
    stored = json.loads((tmp_path / "keyring/stored").read_text())
    assert stored == {"ServerURL": "h:1", "Username": "me", "Secret": "secret"}
    assert shown(keychain.find("h:1")) == ("me", "secret", "")
    keychain.store("h:1", Auth("me", "", "identity"))
    assert shown(keychain.find("h:1")) == ("", "", "identity")
    assert keychain.erase("h:1")
    assert keychain.find("h:1") is None


def test_a_keyring_is_preferred_to_the_file(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "secretservice")
    keychain = Keychain(environment)
    keychain.store("docker.io", Auth("me", "secret"))
    assert json.loads((tmp_path / "keyring/stored").read_text())["ServerURL"] == "https://index.docker.io/v1/"
    assert not (tmp_path / ".local").exists()
    assert shown(keychain.find("docker.io")) == ("me", "secret", "")


def test_helpers_that_fail(tmp_path: Path, environment: dict[str, str]) -> None:
    docker_config(tmp_path, credsStore="missing")
    with pytest.raises(Unavailable, match="docker-credential-missing is not installed"):
        Keychain(environment).find("h:1")
    program = tmp_path / "bin/docker-credential-bad"
    program.write_text("#!/bin/sh\necho locked; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(Unavailable, match="locked"):
        credhelper.get("bad", "h", environment["PATH"])
    with pytest.raises(Invalid):
        credhelper.get("../bad", "h", environment["PATH"])
    assert not credhelper.answers("bad", environment["PATH"])


def test_servers_and_headers(tmp_path: Path, environment: dict[str, str]) -> None:
    assert domain_of("") == domain_of("https://index.docker.io/v1/") == domain_of("docker.io") == "docker.io"
    assert domain_of("https://h:5/v2/") == domain_of("h:5") == "h:5"
    Keychain(environment).store("h:1", Auth("me", "ÿ>?"))
    header = registry_header("h:1", environment)["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(header)) == {
        "username": "me",
        "password": "ÿ>?",
        "serveraddress": "h:1",
    }
    assert (
        json.loads(base64.urlsafe_b64decode(registry_header("other", environment)["X-Registry-Auth"])) == {}
    )
    assert "ÿ" not in repr(Auth("me", "ÿ"))
