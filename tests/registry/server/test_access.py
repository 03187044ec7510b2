"""Who may do what: passwords, rules, tokens, and the forms of no."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bcrypt
import jwt
import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.server.box import Answer, Served, digest_of, make_image
from tests.registry.server.pki import write_key, write_public
from tests.registry.server.test_peers import runnable_image

from nakagin.errors import Invalid
from nakagin.registry.server.access import Known, action_of, credentials
from nakagin.registry.server.passwords import Passwords
from nakagin.registry.server.settings import Rule
from nakagin.registry.server.settings import Tokens as TokenSettings
from nakagin.registry.server.tokens import Tokens, scopes_of


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    """anna:secret, bert:other, ci:robot."""
    path = tmp_path / "htpasswd"
    words = {"anna": "secret", "bert": "other", "ci": "robot"}
    lines = [
        f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode().replace('$2b$', '$2y$')}"
        for user, word in words.items()
    ]
    path.write_text("# users\n\n" + "\n".join(lines) + "\n")
    return path


def test_passwords(own: Callable[..., Served], htpasswd: Path) -> None:
    registry = own(auth={"htpasswd": str(htpasswd)})
    asked = registry.get("/v2/")
    asked.fails(401, "UNAUTHORIZED")
    assert asked.headers["www-authenticate"] == 'Basic realm="Nakagin registry"'
    for wrong in (
        basic("anna", "other"),
        basic("nobody", "secret"),
        basic("", ""),
        {"Authorization": "Basic !"},
    ):
        registry.ask("GET", "/v2/", headers=wrong).fails(401, "UNAUTHORIZED")
    for path in ("app/tags/list", "app/manifests/x", f"app/blobs/{digest_of(b'')}", "_catalog"):
        registry.get(f"/v2/{path}").fails(401, "UNAUTHORIZED")
    registry.ask("POST", "/v2/app/blobs/uploads/").fails(401, "UNAUTHORIZED")
    registry.headers = basic("anna", "secret")
    image = make_image()
    registry.push(image)
    registry.check(image)
    assert registry.ask("DELETE", "/v2/app/manifests/latest").status == 202


def test_the_password_file_may_change(own: Callable[..., Served], htpasswd: Path) -> None:
    registry = own(auth={"htpasswd": str(htpasswd)})
    assert registry.ask("GET", "/v2/", headers=basic("anna", "secret")).status == 200
    hashed = bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()
    htpasswd.write_text(f"anna:{hashed}\n")
    registry.ask("GET", "/v2/", headers=basic("anna", "secret")).fails(401, "UNAUTHORIZED")
    assert registry.ask("GET", "/v2/", headers=basic("anna", "new")).status == 200


@pytest.mark.skipif(not shutil.which("htpasswd"), reason="no htpasswd (apache2-utils)")
async def test_apaches_own_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    subprocess.run(["htpasswd", "-Bbc", str(path), "anna", "secret"], check=True, capture_output=True)
    passwords = Passwords(str(path))
    assert await passwords.check("anna", "secret")
    assert await passwords.check("anna", "secret")
    assert not await passwords.check("anna", "Secret")


@pytest.mark.parametrize("line", ["anna", "anna:plain", "anna:$apr1$x$y", "anna:{SHA}x"])
def test_password_files_with_other_hashes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    path.write_text(line + "\n")
    with pytest.raises(Invalid, match="bcrypt"):
        Passwords(str(path))


def test_rules(own: Callable[..., Served], htpasswd: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"users": ["anonymous", "*"], "repositories": ["public/*"], "actions": ["pull"]},
        {"users": ["anna"]},
        {"users": ["ci"], "repositories": ["public/*"], "actions": ["pull", "push"]},
    ]
    registry = own(auth={"htpasswd": str(htpasswd)}, access=rules)
    anna, bert, robot = basic("anna", "secret"), basic("bert", "other"), basic("ci", "robot")
    image = make_image()
    registry.headers = anna
    registry.push(image, "v1", "private/app")
    registry.headers = robot
    registry.push(image, "v1", "public/app")
    registry.ask("DELETE", "/v2/public/app/manifests/v1").fails(403, "DENIED")
    registry.get("/v2/private/app/manifests/v1").fails(403, "DENIED")
    # Nor is a blob got out of a private repository by mounting it.
    mount = f"?mount={digest_of(image.layers[0])}&from=private/app"
    assert registry.ask("POST", f"/v2/public/new/blobs/uploads/{mount}").status == 202
    registry.headers = bert
    registry.check(image, "v1", "public/app")
    registry.ask("POST", "/v2/public/app/blobs/uploads/").fails(403, "DENIED")
    assert registry.get("/v2/_catalog").json == {"repositories": ["public/app"]}
    registry.headers = {}
    registry.check(image, "v1", "public/app")
    registry.get("/v2/private/app/manifests/v1").fails(401, "UNAUTHORIZED")
    registry.ask("POST", "/v2/public/app/blobs/uploads/").fails(401, "UNAUTHORIZED")
    registry.get("/v2/").fails(401, "UNAUTHORIZED")


def test_what_needs_which_action() -> None:
    found = {action_of(method, "blob") for method in ("GET", "HEAD")}
    assert found == {"pull"}
    assert action_of("DELETE", "manifest") == "delete"
    assert {action_of(method, "upload") for method in ("GET", "DELETE", "PATCH")} == {"push"}


def test_rules_are_a_union() -> None:
    rules = (
        Rule(users=("a",), actions=("pull",)),
        Rule(users=("*",), repositories=("x/*",), actions=("push",)),
    )
    assert Known("a", rules).may("pull", "y")
    assert Known("a", rules).may("push", "x/y")
    assert not Known("a", rules).may("push", "y")
    assert not Known("", rules).may("push", "x/y")
    assert Known("b", ()).may("delete", "y")
    assert not Known("", ()).may("pull", "y")


@pytest.mark.parametrize("value", ["", "!", "YQ==", "/w==", "á"])
def test_credentials_that_are_none(value: str) -> None:
    assert credentials(value) == ("", "")


# --- Tokens


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Any, Path]:
    """A signing key, and the file of its public half."""
    key = write_key(tmp_path / "signing.pem")
    return key, write_public(tmp_path / "public.pem", key)


def token_of(key: Any, algorithm: str = "ES256", **changes: Any) -> str:
    claims = {
        "iss": "issuer", "aud": "service", "sub": "anna", "exp": time.time() + 300, "nbf": time.time() - 10,
        "access": [{"type": "repository", "name": "app", "actions": ["pull", "push"]}], **changes,
    }  # fmt: skip
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


def test_tokens_of_somebody_else(own: Callable[..., Served], keys: tuple[Any, Path], tmp_path: Path) -> None:
    key, public = keys
    settings = {"service": "service", "issuer": "issuer", "keys": [str(public)]}
    registry = own(auth={"token": {"realm": "https://auth.example/token", **settings}})
    asked = registry.get("/v2/app/manifests/x")
    asked.fails(401, "UNAUTHORIZED")
    assert asked.headers["www-authenticate"] == (
        'Bearer realm="https://auth.example/token",service="service",scope="repository:app:pull"'
    )
    pushing = registry.ask("POST", "/v2/app/blobs/uploads/")
    assert 'scope="repository:app:pull,push"' in pushing.headers["www-authenticate"]

    registry.headers = {"Authorization": f"Bearer {token_of(key)}"}
    assert registry.get("/v2/").status == 200
    image = make_image()
    registry.push(image, "v1")
    registry.check(image, "v1")
    insufficient = registry.ask("DELETE", "/v2/app/manifests/v1")
    insufficient.fails(401, "UNAUTHORIZED")
    assert 'error="insufficient_scope"' in insufficient.headers["www-authenticate"]
    registry.get("/v2/other/manifests/v1").fails(401, "UNAUTHORIZED")

    stranger = write_key(tmp_path / "stranger.pem")
    bad = [
        token_of(stranger),
        token_of(key, exp=time.time() - 100),
        token_of(key, nbf=time.time() + 100),
        token_of(key, iss="another"),
        token_of(key, aud="another"),
        token_of(key, exp=None),
        token_of(key, aud=None),
        "x.y.z",
        "x" * 20_000,
        "",
    ]
    for token in bad:
        answer = registry.ask("GET", "/v2/app/tags/list", headers={"Authorization": f"Bearer {token}"})
        answer.fails(401, "UNAUTHORIZED")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def unsigned(claims: dict[str, Any], header: dict[str, Any], secret: bytes) -> str:
    """A token as an attacker writes it."""
    import hashlib
    import hmac

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    signature = hmac.digest(secret, body.encode(), hashlib.sha256) if secret else b""
    return f"{body}.{part(signature)}"


def test_tokens_that_choose_their_algorithm(keys: tuple[Any, Path]) -> None:
    """CVE-2016-10555: a token that says "none", or is signed with the public key as if that were a secret."""
    _, public = keys
    tokens = Tokens(TokenSettings(realm="x", service="service", issuer="issuer", keys=(str(public),)))
    claims = {"iss": "issuer", "aud": "service", "exp": time.time() + 300, "access": []}
    for algorithm, secret in (("none", b""), ("None", b""), ("HS256", public.read_bytes())):
        assert tokens.verified(unsigned(claims, {"alg": algorithm, "typ": "JWT"}, secret)) is None


def test_claims_of_any_form(keys: tuple[Any, Path]) -> None:
    key, public = keys
    tokens = Tokens(TokenSettings(realm="x", service="service", issuer="issuer", keys=(str(public),)))
    odd = {"type": "repository", "name": 1, "actions": "pull"}
    for access in (None, "x", 7, ["x"], [{"type": "repository"}], [odd]):
        bearer = tokens.verified(token_of(key, access=access))
        assert bearer is not None
        assert not bearer.may("pull", "app")


def test_the_registry_issues_tokens_itself(
    own: Callable[..., Served], htpasswd: Path, keys: tuple[Any, Path], tmp_path: Path
) -> None:
    rules: list[dict[str, Any]] = [
        {"users": ["anna"]},
        {"users": ["anonymous"], "repositories": ["public"], "actions": ["pull"]},
    ]
    registry = own(
        auth={"htpasswd": str(htpasswd), "token": {"signing_key": str(tmp_path / "signing.pem")}},
        access=rules,
    )
    realm = f'Bearer realm="http://{registry.address}/token",service="nakagin-registry"'
    assert registry.get("/v2/").headers["www-authenticate"] == realm
    scope = urlencode({"service": "nakagin-registry", "scope": "repository:public:pull,push,delete"})

    def token(answer: Answer) -> dict[str, str]:
        assert answer.status == 200, answer
        assert answer.json["token"] == answer.json["access_token"]
        return {"Authorization": f"Bearer {answer.json['token']}"}

    registry.ask("GET", f"/token?{scope}", headers=basic("anna", "wrong")).fails(401, "UNAUTHORIZED")
    registry.headers = token(registry.ask("GET", f"/token?{scope}", headers=basic("anna", "secret")))
    image = make_image()
    registry.push(image, "v1", "public")
    registry.headers = {}
    registry.headers = token(registry.ask("GET", f"/token?{scope}"))  # nobody in particular: may pull
    registry.check(image, "v1", "public")
    registry.ask("POST", "/v2/public/blobs/uploads/").fails(401, "UNAUTHORIZED")
    words = {"grant_type": "password", "username": "anna", "password": "secret"}
    form = urlencode({**words, "scope": "repository:a/b:push"})
    registry.headers = token(registry.ask("POST", "/token", form.encode()))
    assert registry.ask("POST", "/v2/a/b/blobs/uploads/").status == 202
    assert registry.ask("POST", "/token", b"grant_type=refresh_token").status == 400
    assert registry.ask("PUT", "/token").status == 405


def with_tokens(own: Callable[..., Served], htpasswd: Path, tmp_path: Path) -> Served:
    return own(auth={"htpasswd": str(htpasswd), "token": {"signing_key": str(tmp_path / "signing.pem")}})


def test_refresh_tokens(
    own: Callable[..., Served], htpasswd: Path, keys: tuple[Any, Path], tmp_path: Path
) -> None:
    """Given instead of the password to who asks for one; they open no door, and end with the password."""
    registry = with_tokens(own, htpasswd, tmp_path)
    anna = basic("anna", "secret")
    assert "refresh_token" not in registry.ask("GET", "/token", headers=anna).json
    assert "refresh_token" not in registry.ask("GET", "/token?offline_token=true").json  # of nobody
    refresh = registry.ask("GET", "/token?offline_token=true&client_id=x", headers=anna).json["refresh_token"]
    password = {"grant_type": "password", "username": "anna", "password": "secret", "access_type": "offline"}
    assert registry.ask("POST", "/token", urlencode(password).encode()).json["refresh_token"]

    def renewed(token: str) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": token, "scope": "repository:a/b:pull,push"}
        return registry.ask("POST", "/token", urlencode(form).encode())

    answer = renewed(refresh)
    assert answer.json["scope"] == "repository:a/b:pull,push"
    assert answer.json["refresh_token"] == refresh
    bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert registry.ask("POST", "/v2/a/b/blobs/uploads/", headers=bearer).status == 202
    # Neither is the other.
    registry.ask("GET", "/v2/", headers={"Authorization": f"Bearer {refresh}"}).fails(401, "UNAUTHORIZED")
    for wrong in (answer.json["access_token"], refresh[:-4] + "AAAA", "junk", "x" * 100_000):
        renewed(wrong).fails(401, "UNAUTHORIZED")
    text = htpasswd.read_text()
    anew = bcrypt.hashpw(b"new secret", bcrypt.gensalt(4)).decode()
    lines = [f"anna:{anew}" if line.startswith("anna:") else line for line in text.splitlines()]
    htpasswd.write_text("\n".join(lines) + "\n# a new password\n")
    renewed(refresh).fails(401, "UNAUTHORIZED")


@pytest.mark.root
@pytest.mark.parametrize("program", ["docker", "nakagin"])
def test_a_login_keeps_no_password(
    own: Callable[..., Served], htpasswd: Path, keys: tuple[Any, Path], tmp_path: Path, engine: ScratchEngine,
    program: str,
) -> None:  # fmt: skip
    """What the client keeps is a refresh token, with which it pushes and pulls later."""
    registry = with_tokens(own, htpasswd, tmp_path)
    argv = engine.docker_argv if program == "docker" else engine.nakagin_argv
    environment = {**engine.environment(), "DOCKER_CONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)}
    environment["XDG_DATA_HOME"] = environment["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")

    def run(*words: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            argv(*words),
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    login = ("login", "-u", "anna", "--password-stdin", registry.address)
    run(*login, stdin="wrong", code=1)
    assert "Login Succeeded" in run(*login, stdin="secret")
    name = f"{registry.address}/team/{program}:1"
    run("tag", "busybox", name)
    run("push", name)
    run("rmi", name)
    run("pull", name)
    kept = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "config" in str(path)
    )
    assert base64.b64encode(b"anna:secret") not in kept
    if program == "docker":
        assert b"identitytoken" in kept
    run("logout", registry.address)
    run("rmi", name)
    assert "denied" in run("pull", name, code=1)


def test_scopes() -> None:
    assert scopes_of(
        ["repository:a/b:pull,push repository:host:5000/c:pull", "registry:catalog:*", "x", ""]
    ) == [
        ("a/b", frozenset({"pull", "push"})),
        ("host:5000/c", frozenset({"pull"})),
    ]


@pytest.mark.skipif(not shutil.which("skopeo"), reason="no skopeo")
@pytest.mark.parametrize("way", ["basic", "token"])
def test_skopeo_logs_in(
    own: Callable[..., Served], htpasswd: Path, keys: tuple[Any, Path], tmp_path: Path, way: str
) -> None:
    token = {"token": {"signing_key": str(tmp_path / "signing.pem")}} if way == "token" else {}
    registry = own(auth={"htpasswd": str(htpasswd), **token})
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    def skopeo(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["skopeo", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    login = ("login", "--tls-verify=false", "-u", "anna")
    assert skopeo(*login, "-p", "wrong", registry.address).returncode != 0
    done = skopeo(*login, "-p", "secret", registry.address)
    assert done.returncode == 0, done.stderr
    there = f"docker://{registry.address}"
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    registry.headers = basic("anna", "secret")
    image = runnable_image()
    registry.push(image, "v1", "team/app")
    copied = skopeo("copy", *both, f"{there}/team/app:v1", f"{there}/team/copy:v2")
    assert copied.returncode == 0, copied.stderr
    registry.check(image, "v2", "team/copy")
