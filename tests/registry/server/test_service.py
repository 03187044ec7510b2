"""The registry as a process: TLS, limits, metrics, log, signals, its command line."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine_fixture import CLI, await_until
from tests.free_port import free_port
from tests.registry.server.box import Client, Served, digest_of, make_image, served
from tests.registry.server.pki import Authority, Pair

from nakagin.errors import Conflict, Invalid, NakaginError, Unavailable
from nakagin.registry.server.command import main


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    trusting = ssl.create_default_context(cafile=str(authority.path))
    with served(tmp_path / "root", trusting, tls=tls) as registry:
        image = make_image(2, 500_000)
        registry.push(image)
        registry.check(image)
        registry.tls = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            registry.get("/v2/")


def test_only_clients_with_a_certificate(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "another")
    pair, client, stranger = authority.issue("server"), authority.issue("client"), other.issue("stranger")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "client_ca": str(authority.path)}

    def context(pair: Pair | None = None) -> ssl.SSLContext:
        found = ssl.create_default_context(cafile=str(authority.path))
        if pair:
            found.load_cert_chain(pair.certificate, pair.key)
        return found

    with served(tmp_path / "root", context(client), tls=tls) as registry:
        assert registry.get("/v2/").status == 200
        for wrong in (context(), context(stranger)):
            registry.tls = wrong
            with pytest.raises((ssl.SSLError, OSError)):
                registry.get("/v2/")


def test_a_renewed_certificate(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    pair = old.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    trusting = ssl.create_default_context(cafile=str(new.path))
    with served(tmp_path / "root", trusting, tls=tls) as registry:
        with pytest.raises(ssl.SSLCertVerificationError):
            registry.get("/v2/")
        renewed = new.issue("renewed")
        renewed.certificate.rename(pair.certificate)
        renewed.key.rename(pair.key)
        registry.service.reload()
        assert registry.get("/v2/").status == 200
        pair.key.write_text("broken")
        registry.service.reload()
        assert registry.get("/v2/").status == 200


def test_too_many_requests(own: Callable[..., Served]) -> None:
    registry = own(requests_per_minute=5)
    for _ in range(5):
        assert registry.get("/v2/").status == 200
    answer = registry.get("/v2/")
    answer.fails(429, "TOOMANYREQUESTS")
    assert 1 <= int(answer.headers["retry-after"]) <= 12


def test_metrics(own: Callable[..., Served]) -> None:
    registry = own(metrics=True)
    registry.push(make_image(), "v1")
    registry.get("/v2/app/manifests/none")
    registry.begin()
    answer = registry.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(
        line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#")
    )
    prefix = "nakagin_registry_"
    assert lines[f'{prefix}requests_total{{method="PUT",endpoint="manifest",status="201"}}'] == "1"
    assert lines[f'{prefix}requests_total{{method="GET",endpoint="manifest",status="404"}}'] == "1"
    assert lines[f"{prefix}uploads"] == "1"
    assert lines[f"{prefix}requests_under_way"] == "1"
    assert int(lines[f"{prefix}received_bytes_total"]) > 4000
    assert int(lines[f"{prefix}sent_bytes_total"]) > 100
    buckets = [int(value) for name, value in lines.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    off = own("other")
    assert off.get("/metrics").status == 404


def test_access_log(own: Callable[..., Served], caplog: pytest.LogCaptureFixture) -> None:
    registry = own(access_log=True)
    with caplog.at_level(logging.INFO, "nakagin.registry.access"):
        registry.get("/v2/app/tags/list", User_Agent='curl "x"')
        await_until(lambda: caplog.messages, "a line")
    (line,) = [each for each in caplog.messages if "tags/list" in each]
    assert line.startswith('127.0.0.1 - "GET /v2/app/tags/list" 404 ')
    assert line.endswith("\"curl 'x'\"")


def test_one_registry_per_root(own: Callable[..., Served]) -> None:
    own()
    with pytest.raises(Conflict, match="another registry"):
        own()


def test_an_address_that_is_taken(own: Callable[..., Served]) -> None:
    first = own()
    with pytest.raises(Unavailable, match="cannot listen"):
        own("other", listen=[first.address])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"unknown": 1}, "unknown"), ({"listen": []}, "listen"), ({"listen": ["x"]}, "address"),
        ({"tls": {"key": "x"}}, "certificate"), ({"tls": {"client_ca": "x"}}, "certificate"),
        ({"access": [{"users": ["a"]}]}, "htpasswd"), ({"quota": {"total": "much"}}, "size"),
        ({"gc": {"grace": "soon"}}, "duration"), ({"retention": [{}]}, "keep"), ({"page": 0}, "positive"),
        ({"manifest_limit": "8m"}, "at most"),
        ({"auth": {"htpasswd": "/none"}}, "password file"), ({"auth": {"token": {"keys": ["/none"]}}}, "key"),
        ({"tls": {"certificate": "/none", "key": "/none"}}, "certificate"),
        ({"access": [{"actions": ["fly"]}], "auth": {"htpasswd": "x"}}, "fly"),
        ({"auth": {"token": {"signing_key": "x"}}}, "htpasswd"), ({"listen": 5}, "array"),
    ],
)  # fmt: skip
def test_settings_that_are_none(own: Callable[..., Served], document: dict[str, Any], words: str) -> None:
    with pytest.raises(NakaginError, match=words):
        own(**document)


def test_a_collection_from_outside(
    own: Callable[..., Served], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command asks the running registry, which knows what is in use; without one it does it itself."""
    registry = own()
    registry.push_blob(b"nobody needs this")
    root = ["--root", registry.settings.root, "--log-level", "error"]
    assert main(["gc", "--dry-run", *root]) == 0
    assert "would delete 0 tags, 0 manifests, 1 blobs (17 bytes)" in capsys.readouterr().out
    assert main(["gc", *root]) == 0
    assert "deleted 0 tags, 0 manifests, 1 blobs (17 bytes)" in capsys.readouterr().out
    registry.push_blob(b"nor this")
    registry.close()
    config = tmp_path / "registry.toml"
    config.write_text('[gc]\ngrace = "0s"\n')
    assert main(["gc", "--config", str(config), *root]) == 0
    assert "1 blobs (8 bytes)" in capsys.readouterr().out


def test_check_and_its_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "registry.toml"
    config.write_text('root = "/somewhere"\n[gc]\ninterval = "1h"\n')
    assert main(["check", "--config", str(config)]) == 0
    assert "/somewhere" in capsys.readouterr().out
    config.write_text("root = [")
    assert main(["check", "--config", str(config)]) == 2
    assert str(config) in capsys.readouterr().err
    assert main(["check", "--config", str(tmp_path / "none")]) == 2
    with pytest.raises(SystemExit):
        main([])


def test_the_command_and_a_graceful_stop(tmp_path: Path) -> None:
    """`nakagin registry serve`; SIGTERM lets a request under way finish, then it ends with 0."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-c", CLI, "registry", "serve",
            "--listen", f"127.0.0.1:{port}", "--root", str(tmp_path / "root"), "--access-log",
        ],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        client = Client(port)
        location = client.begin()
        data = b"x" * 100_000
        reached, go_on = threading.Event(), threading.Event()

        def slowly() -> Any:
            yield data[:50_000]
            reached.set()
            go_on.wait(20)
            yield data[50_000:]

        answers: list[Any] = []
        put = f"{location}?digest={digest_of(data)}"
        thread = threading.Thread(target=lambda: answers.append(client.ask("PUT", put, slowly())))
        thread.start()
        assert reached.wait(20)
        process.send_signal(signal.SIGTERM)
        await_until(lambda: not connects(port), "the port to close")
        go_on.set()
        thread.join(20)
        assert answers[0].status == 201
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.root
def test_a_full_disk(own: Callable[..., Served], tmp_path: Path) -> None:
    """What does not fit is refused with words, and what was there stays and goes on."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)], check=True)
    registry = own("small/root")
    try:
        image = make_image(1, 500_000)
        registry.push(image)
        location = registry.begin()
        answer = registry.ask("PATCH", location, b"x" * (4 << 20))
        answer.fails(507, "DENIED")
        assert "no space left" in answer.body.decode()
        registry.check(image)
        assert registry.ask("DELETE", location).status == 204
        registry.push_blob(b"y" * 1_000_000)
    finally:
        registry.close()
        subprocess.run(["umount", str(folder)], check=True)


def test_pace() -> None:
    from nakagin.registry.server.pace import Pace

    pace = Pace(60)
    assert [pace.wait("a", 0.0) for _ in range(60)] == [0] * 60
    assert pace.wait("a", 0.0) == 1
    assert pace.wait("b", 0.0) == 0
    assert pace.wait("a", 1.1) == 0
    assert pace.wait("a", 1.2) == 1


def test_durations_and_addresses() -> None:
    from nakagin.registry.server.settings import address_of, seconds_of

    assert (seconds_of("7d"), seconds_of("1h30m"), seconds_of("")) == (7 * 86400, 5400, 0)
    assert address_of("[::1]:5") == ("::1", 5)
    assert address_of(":80") == ("", 80)
    with pytest.raises(Invalid):
        address_of("host")
