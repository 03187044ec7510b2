"""Bearer tokens against a token server of the test's own, and TLS with own authorities and client certificates."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.registry import faulty
from tests.registry.faulty import FaultyRegistry, Handler
from tests.registry.made import layer_of, made

from nakagin.errors import Denied, Unavailable
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.registry.policy import PolicySource
from nakagin.registry.proxies import Proxies
from nakagin.registry.registries import Registries
from nakagin.registry.transport import Patience

ME = Credentials("me", "secret")


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    found = Registries(PolicySource((), ()), patience=Patience(2, 0.01, 1))
    yield found
    await found.close()


class TokenServer:
    """Behind `realm` of a registry; gives tokens that name what they allow."""

    def __init__(self, registry: FaultyRegistry, *, life: int = 300, oauth: bool = False) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.life = life
        self.oauth = oauth
        self.valid: set[str] = set()
        self.host = registry.host
        registry.put("x", "1", made(layer_of("a")))
        registry.faults.append(self.fault)

    def fault(self, request: Handler) -> bool:
        if request.plain == "/token":
            return self.give(request)
        if request.headers.get("Authorization", "") in {f"Bearer {token}" for token in self.valid}:
            return False
        realm = f'Bearer realm="http://{self.host}/token",service="s",scope="repository:x:pull"'
        request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": realm})
        return True

    def give(self, request: Handler) -> bool:
        if request.command == "POST":
            from urllib.parse import parse_qs

            form = parse_qs(request.body().decode())
            self.asked.append(form)
            good = form.get("password") == ["secret"] or form.get("refresh_token") == ["refresh"]
        elif self.oauth:
            request.reply(404)
            return True
        else:
            self.asked.append(request.query)
            said = request.headers.get("Authorization", "")
            good = said in ("", "Basic " + base64.b64encode(b"me:secret").decode())
        if not good:
            request.refuse(401, "UNAUTHORIZED")
            return True
        token = f"token{len(self.asked)}"
        self.valid.add(token)
        answer = {"token": token, "expires_in": self.life}
        if "offline" in str(request.query) or request.command == "POST":
            answer["refresh_token"] = "refresh"
        request.reply(200, json.dumps(answer).encode())
        return True


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as found:
        yield found


async def test_one_token_serves_many_requests(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    client = registries.registry(registry.host, ME)
    for _ in range(3):
        await client.head_manifest("x", "1")
    assert len(server.asked) == 1
    assert server.asked[0]["scope"] == ["repository:x:pull"]
    assert server.asked[0]["service"] == ["s"]
    assert server.asked[0]["account"] == ["me"]
    # Another client of the same user has it already.
    await registries.registry(registry.host, ME).get_manifest("x", "1")
    assert len(server.asked) == 1


async def test_anonymous_tokens(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    await registries.registry(registry.host, ANONYMOUS).head_manifest("x", "1")
    assert "account" not in server.asked[0]


async def test_a_token_that_is_refused_is_replaced(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    client = registries.registry(registry.host, ME)
    await client.head_manifest("x", "1")
    server.valid.clear()
    await client.head_manifest("x", "1")
    assert len(server.asked) == 2


async def test_wrong_passwords_and_circles(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    with pytest.raises(Denied, match="authentication"):
        await registries.registry(registry.host, Credentials("me", "wrong")).head_manifest("x", "1")
    server.valid = set()
    registry.faults.insert(0, faulty.answer("/token", b'{"token": "never"}'))
    registry.seen.clear()
    with pytest.raises(Denied):
        await registries.registry(registry.host, ME).head_manifest("x", "1")
    assert len(registry.requests("HEAD")) == 2


async def test_identity_tokens_come_and_are_used(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    assert await registries.log_in(registry.host, ME) == "refresh"
    with pytest.raises(Denied):
        await registries.log_in(registry.host, Credentials("me", "wrong"))
    await registries.registry(registry.host, Credentials(identity_token="refresh")).head_manifest("x", "1")
    assert server.asked[-1]["grant_type"] == ["refresh_token"]


async def test_a_server_that_speaks_only_oauth(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry, oauth=True)
    await registries.registry(registry.host, ME).head_manifest("x", "1")
    assert server.asked[-1]["grant_type"] == ["password"]


async def test_a_registry_token_is_sent_as_it_is(registries: Registries, registry: FaultyRegistry) -> None:
    server = TokenServer(registry)
    server.valid.add("mine")
    await registries.registry(registry.host, Credentials(registry_token="mine")).head_manifest("x", "1")
    assert not server.asked


async def test_log_in_with_basic(registries: Registries, registry: FaultyRegistry) -> None:
    registry.faults.append(faulty.ask_basic("me", "secret"))
    assert await registries.log_in(registry.host, ME) == ""
    with pytest.raises(Denied):
        await registries.log_in(registry.host, Credentials("me", "wrong"))


# --- Pages


async def test_tags_over_several_pages(registries: Registries, registry: FaultyRegistry) -> None:
    def pages(request: Handler) -> bool:
        last = request.query.get("last", ["0"])[0]
        following = (
            {"Link": f'</v2/x/tags/list?n=1&last={int(last) + 1}>; rel="next"'} if int(last) < 3 else {}
        )
        request.reply(200, json.dumps({"name": "x", "tags": [f"t{last}"]}).encode(), following)
        return True

    registry.faults.append(pages)
    assert await registries.registry(registry.host).tags("x") == ["t0", "t1", "t2", "t3"]


async def test_referrers_by_the_tag_schema(registries: Registries, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": 1, "artifactType": "x/y"}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    registry.put_manifest(
        "x", image.digest.replace(":", "-"), index, "application/vnd.oci.image.index.v1+json"
    )
    client = registries.registry(registry.host)
    assert [each.digest for each in await client.referrers("x", image.digest)] == [image.digest]
    assert await client.referrers("x", image.digest, "other/type") == []
    assert await client.referrers("x", "sha256:" + "0" * 64) == []


async def test_a_proxy_is_used(registry: FaultyRegistry) -> None:
    """The registry plays the proxy: it is asked for a whole URL of a host that does not exist."""
    registry.put("x", "1", made(layer_of("a")))
    found = Registries(
        PolicySource((), ("nowhere.invalid",)), Proxies(http=f"http://{registry.host}"), Patience(1)
    )
    try:
        descriptor = await found.registry("nowhere.invalid").head_manifest("x", "1")
        assert descriptor.size
        assert registry.seen[-1].headers["Host"] == "nowhere.invalid"
    finally:
        await found.close()


# --- TLS


class Authority:
    """An authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        own = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).add_extension(_usage(signs=True), critical=True)  # fmt: skip
        self.path = folder / "authority.crt"
        self.path.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )  # fmt: skip

    def issue(self, name: str) -> tuple[str, str]:
        """Paths of a certificate (good for 127.0.0.2) and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.2"))])
        certificate = self._builder(subject, key.public_key()).add_extension(names, critical=False).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        ).sign(self._key, hashes.SHA256())  # fmt: skip
        paths = (self.folder / f"{name}.cert", self.folder / f"{name}.key")
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(paths[0]), str(paths[1])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


async def test_own_authorities_and_client_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    registry = FaultyRegistry("127.0.0.2")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    registry.server.socket = context.wrap_socket(registry.server.socket, server_side=True)
    port = registry.host.partition(":")[2]
    certificate, key = authority.issue("client")
    folder = tmp_path / "certs.d" / f"mine.invalid:{port}"
    # By a name that the certificate has not, loopback being trusted by default.
    rules = tmp_path / "registries.toml"
    rules.write_text(
        f'certificates = ["{tmp_path}/certs.d"]\n'
        f'[registry."whole"]\nlocation = "{registry.host}"\nca = ["{authority.path}"]\n'
        f'client-cert = "{certificate}"\nclient-key = "{key}"\n'
    )
    with registry:
        registry.put("x", "1", made(layer_of("a")))
        found = Registries(PolicySource((), (), str(rules)), patience=Patience(1))
        try:
            # With everything it works; without the certificate the server does not let us in.
            assert (await found.registry("whole").head_manifest("x", "1")).size
            with pytest.raises(Unavailable):
                await found.registry(registry.host).head_manifest("x", "1")
            folder = tmp_path / "certs.d" / registry.host
            folder.mkdir(parents=True)
            (folder / "ca.crt").write_bytes(authority.path.read_bytes())
            (folder / "me.cert").write_bytes(Path(certificate).read_bytes())
            (folder / "me.key").write_bytes(Path(key).read_bytes())
            assert (await found.registry(registry.host).head_manifest("x", "1")).size
        finally:
            await found.close()
