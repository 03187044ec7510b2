"""The API over TLS: who has a certificate of the right authority is let in, nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine, docker_cli
from tests.free_port import free_port

pytestmark = pytest.mark.root


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> Path:
    """ca.pem with, signed by it, a server's and a client's certificate; names as docker's clients want them."""
    folder.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *curve, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        prefix = "" if name == "client" else "server-"
        (folder / "extension").write_text(extension)
        request = ("-subj", f"/CN={name}", "-keyout", f"{prefix}key.pem", "-out", "request")
        openssl(folder, "req", *curve, *request)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extension")
        openssl(folder, "x509", "-req", "-in", "request", *signing, "-out", f"{prefix}cert.pem")
    return folder


class Secured:
    """An engine that listens on TLS, and the folders of two authorities."""

    def __init__(self, engine: ScratchEngine, address: str, ours: Path, foreign: Path) -> None:
        self.engine = engine
        self.address = address
        self.ours = ours
        self.foreign = foreign

    def docker(
        self, *words: str, certificates: Path | None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self._run([docker_cli(), *words], certificates, stdin)

    def nakagin(self, *words: str, certificates: Path | None) -> subprocess.CompletedProcess[str]:
        argv = self.engine.nakagin_argv(*words)
        return self._run([*argv[:3], *argv[5:]], certificates, "")  # without -H

    def _run(
        self, argv: list[str], certificates: Path | None, stdin: str
    ) -> subprocess.CompletedProcess[str]:
        environment = self.engine.environment({"DOCKER_HOST": self.address})
        if certificates:
            environment |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
        return subprocess.run(
            argv, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def secured(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    ours, foreign = make_authority(folder / "ours"), make_authority(folder / "foreign")
    address = f"tcp://127.0.0.1:{free_port()}"
    files = ("ca.pem", "server-cert.pem", "server-key.pem")
    flags = [
        f"--{flag}={ours / file}"
        for flag, file in zip(("tlscacert", "tlscert", "tlskey"), files, strict=True)
    ]
    with running_engine(pytestconfig, "-H", address, "--tlsverify", *flags) as engine:
        yield Secured(engine, address, ours, foreign)


def test_with_the_right_certificate_all_works(secured: Secured) -> None:
    done = secured.docker(
        "run", "-i", "--rm", "busybox", "sh", "-c", "cat; echo err >&2; exit 4",
        certificates=secured.ours, stdin="through the tunnel",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (4, "through the tunnel", "err\n")
    assert "busybox" in secured.nakagin("images", certificates=secured.ours).stdout
    done = secured.nakagin("run", "--rm", "busybox", "echo", "ours", certificates=secured.ours)
    assert (done.returncode, done.stdout) == (0, "ours\n")


def test_the_same_by_flags(secured: Secured, tmp_path: Path) -> None:
    """--tls, --tlsverify, --tlscacert, --tlscert and --tlskey, of docker's command line and of ours."""
    pem = {name: str(secured.ours / f"{name}.pem") for name in ("ca", "cert", "key")}
    own = ("--tlscert", pem["cert"], "--tlskey", pem["key"])
    for call in (secured.docker, secured.nakagin):
        for flags in (
            ("--tlsverify", "--tlscacert", pem["ca"], *own),
            ("--tls", "--tlscacert", pem["ca"], *own),
        ):
            done = call(*flags, "ps", "-q", certificates=None)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
        foreign = str(secured.foreign / "ca.pem")
        done = call("--tlsverify", "--tlscacert", foreign, *own, "ps", certificates=None)
        assert done.returncode == 1
        assert "certificate" in done.stderr.lower()
        missing = call(
            "--tlsverify", "--tlscacert", str(tmp_path / "none.pem"), *own, "ps", certificates=None
        )
        assert missing.returncode == 1
        assert "none.pem" in missing.stderr
    # Without the files' names, those of the user's folder are meant.
    done = secured.nakagin("--config", str(secured.ours), "--tlsverify", "ps", "-q", certificates=None)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_certificate_of_another_authority_is_refused(secured: Secured, tmp_path: Path) -> None:
    for name, origin in (
        ("ca.pem", secured.ours),
        ("cert.pem", secured.foreign),
        ("key.pem", secured.foreign),
    ):
        (tmp_path / name).write_bytes((origin / name).read_bytes())
    for call in (secured.docker, secured.nakagin):
        done = call("ps", certificates=tmp_path)
        assert done.returncode == 1
        assert done.stdout == ""


def test_an_engine_of_another_authority_is_not_trusted(secured: Secured) -> None:
    for call in (secured.docker, secured.nakagin):
        done = call("ps", certificates=secured.foreign)
        assert done.returncode == 1
        assert "certificate" in done.stderr.lower()


def test_without_tls_nobody_is_answered(secured: Secured) -> None:
    for call in (secured.docker, secured.nakagin):
        assert call("ps", certificates=None).returncode == 1
    host, _, port = secured.address.removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port)), 5) as plain:
        plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        plain.settimeout(5)
        try:
            assert b"200" not in plain.recv(4096)
        except ConnectionResetError:
            pass


def test_the_unix_socket_needs_none(secured: Secured) -> None:
    assert secured.engine.docker("version").returncode == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tlsverify",), "tlsverify needs tlscacert"),
        (("--tls", "--tlscert", "/none", "--tlskey", "/none"), "could not load the TLS key pair"),
    ],
)
def test_bad_settings_are_told(flags: tuple[str, ...], words: str, tmp_path: Path) -> None:
    engine = ScratchEngine("-H", f"tcp://127.0.0.1:{free_port()}", *flags, parent=str(tmp_path))
    argv = engine.command()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, env=os.environ)
    assert done.returncode == 1
    assert words in done.stderr
