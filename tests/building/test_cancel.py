"""A build that its client gives up, in every phase: nothing stays but what was finished."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.building.conftest import Rest
from tests.building.servers import Web
from tests.engine_fixture import ScratchEngine, await_until
from tests.registry.faulty import FaultyRegistry, Handler
from tests.registry.made import made
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root


def _running(pattern: str) -> bool:
    return not subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=False).returncode


class Raw(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, engine: ScratchEngine) -> None:
        super().__init__("localhost")
        self._path = str(engine.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@contextmanager
def building(
    engine: ScratchEngine, folder: Path, dockerfile: str, *options: str, output: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "Dockerfile").write_text(dockerfile)
    process = subprocess.Popen(
        engine.nakagin_argv("build", "--progress=plain", *options, str(folder)), env=engine.environment(),
        stdout=output, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def given_up(rest: Rest, process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C: the command line ends, and nothing of the build stays."""
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    rest.await_gone()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_in_a_step(engine: ScratchEngine, rest: Rest, tmp_path: Path, how: signal.Signals) -> None:
    mark = f"98{how.value}7.25"
    first = f"FROM busybox\nRUN echo kept-{how.value} > /kept\n"
    with building(engine, tmp_path, f"{first}RUN sleep {mark}\n") as process:
        await_until(lambda: _running(f"^sleep {mark}"), "the step to run")
        process.send_signal(how)
        assert process.wait(20) != 0
        await_until(lambda: not _running(f"^sleep {mark}"), "the step to end")
        rest.await_gone()
    (tmp_path / "Dockerfile").write_text(first)
    again = engine.nakagin("build", "--progress=plain", str(tmp_path))
    assert again.stderr.count("CACHED") == 1


def test_while_a_file_is_fetched(engine: ScratchEngine, rest: Rest, tmp_path: Path) -> None:
    web, asked, go_on = Web(), threading.Event(), threading.Event()
    web.files["/slow"] = b"x"

    def slowly() -> None:
        asked.set()
        go_on.wait(30)

    web.before = slowly
    try:
        with building(engine, tmp_path, f"FROM busybox\nADD {web.url}/slow /x\n") as process:
            assert asked.wait(20)
            process.send_signal(signal.SIGINT)
            process.wait(20)
            rest.await_gone()
    finally:
        go_on.set()
        web.close()


class Stall:
    """A fault of a registry: requests with this method and these words in their path get no answer."""

    def __init__(self, registry: FaultyRegistry, method: str, words: str) -> None:
        self.asked = threading.Event()
        self._registry = registry
        self._wanted = (method, words)
        registry.faults.append(self)

    def __call__(self, handler: Handler) -> bool:
        method, words = self._wanted
        if handler.command != method or words not in handler.plain:
            return False
        self.asked.set()
        self._registry.closing.wait(30)
        return True


@pytest.mark.parametrize(
    ("method", "words", "line", "options"),
    [
        pytest.param("GET", "/base/manifests/", "FROM {host}/base:1", (), id="base-manifest"),
        pytest.param("GET", "/base/blobs/", "FROM {host}/base:1", (), id="base-layer"),
        pytest.param("GET", "/base/blobs/", "FROM busybox\nCOPY --from={host}/base:1 / /x", (), id="copy-from"),
        pytest.param("POST", "/out/blobs/uploads", "FROM busybox", ("-t", "{host}/out:1", "--push"), id="push"),
        pytest.param("HEAD", "/cache/manifests/", "FROM busybox", ("--cache-from", "{host}/cache:1"), id="cache-from"),
        pytest.param(
            "POST", "/cache/blobs/uploads", "FROM busybox\nRUN date +%N > /date",
            ("--cache-to", "type=registry,ref={host}/cache:1"), id="cache-to",
        ),
    ],
)  # fmt: skip
def test_while_a_registry_is_waited_for(
    engine: ScratchEngine,
    rest: Rest,
    tmp_path: Path,
    method: str,
    words: str,
    line: str,
    options: tuple[str, ...],
) -> None:
    with FaultyRegistry() as registry:
        registry.put("base", "1", made(tar(member("f", b"f"))))
        stall = Stall(registry, method, words)
        here = [each.format(host=registry.host) for each in options]
        with building(engine, tmp_path, line.format(host=registry.host), *here) as process:
            assert stall.asked.wait(20)
            given_up(rest, process)
        if "--push" in options:
            engine.nakagin("rmi", "-f", here[1], check=None)


def test_while_a_repository_is_fetched(engine: ScratchEngine, rest: Rest, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"git://127.0.0.1:{server.getsockname()[1]}/silent.git"
        with building(engine, tmp_path, f"FROM busybox\nADD {url} /x\n") as process:
            server.settimeout(20)
            connection, _ = server.accept()
            with connection:
                given_up(rest, process)
                await_until(lambda: not _running(f"git.*{url}"), "git to end")


def test_while_a_cache_is_waited_for(engine: ScratchEngine, rest: Rest, tmp_path: Path) -> None:
    """Two builds want a cache mount for themselves: the one that waits is given up, the other goes on."""
    mark = "9861.5"
    step = f"RUN --mount=type=cache,id=cancel-{engine.instance},target=/c,sharing=locked"
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with building(engine, first, f"FROM busybox\n{step} sleep {mark}\n") as holder:
        await_until(lambda: _running(f"^sleep {mark}"), "the first to have the cache")
        with building(engine, second, f"FROM busybox\n{step} true\n") as waiter:
            await_until(lambda: rest.temporary() == 2, "the second to wait")
            waiter.send_signal(signal.SIGINT)
            assert waiter.wait(20) != 0
            await_until(lambda: rest.temporary() == 1, "the second to go")
        assert _running(f"^sleep {mark}")
        given_up(rest, holder)
    (second / "Dockerfile").write_text(f"FROM busybox\n{step} true\n")
    engine.nakagin("build", str(second))


def test_while_the_result_is_taken(engine: ScratchEngine, rest: Rest, tmp_path: Path) -> None:
    """Nobody reads what `-o -` writes."""
    text = "FROM scratch\nCOPY big /\n"
    with (tmp_path / "big").open("wb") as file:
        file.truncate(20 << 20)
    with building(engine, tmp_path, text, "-o", "-", output=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1), "it has begun"
        given_up(rest, process)


@pytest.mark.parametrize("kind", ["secret", "shell"])
def test_while_the_client_is_asked(engine: ScratchEngine, rest: Rest, kind: str) -> None:
    """The connection ends where the client should answer: with a secret, or with its terminal."""
    connection = Raw(engine)
    step = "RUN --mount=type=secret,id=s true" if kind == "secret" else "RUN false"
    body = urlencode(
        {
            "text": f"FROM busybox\n{step}",
            "ignore": "",
            "secrets": '["s"]',
            "onerror": "shell",
            "nocache": "1",
        }
    )
    connection.request("POST", "/nakagin/build", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    while (said := json.loads(answer.readline())).get("id") != "nakagin.ask":
        continue
    assert said["aux"]["Kind"] == kind
    answer.close()
    connection.close()
    rest.await_gone()


@pytest.mark.parametrize("path", ["/build", "/nakagin/build"])
def test_while_the_context_comes(engine: ScratchEngine, rest: Rest, path: str) -> None:
    before = engine.nakagin("ps", "-aq").stdout
    connection = Raw(engine)
    if path == "/build":
        connection.putrequest("POST", path)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Content-Type", "application/x-tar")
        connection.endheaders()
        data = tar(member("Dockerfile", b"FROM busybox\n"), member("big", bytes(3 << 20)))[: 1 << 20]
        connection.send(b"%x\r\n%s\r\n" % (len(data), data))
    else:
        body = "text=FROM busybox%0ACOPY . /c"
        connection.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        while json.loads(answer.readline()).get("id") != "nakagin.ask":
            continue
    connection.close()
    rest.await_gone()
    assert engine.nakagin("ps", "-aq").stdout == before


def test_at_any_moment(engine: ScratchEngine, rest: Rest) -> None:
    """The connection ends a little later each time, whatever the build is about then."""
    before = engine.nakagin("ps", "-aq").stdout
    steps = "RUN --mount=type=tmpfs,target=/t echo a > /a\nFROM busybox\nRUN true\nCOPY --from=a /a /\n"
    text = f"FROM busybox AS a\n{steps}"
    context = tar(member("Dockerfile", text.encode()))
    for number in range(24):
        connection = Raw(engine)
        connection.request("POST", "/build?nocache=1", context, {"Content-Type": "application/x-tar"})
        select.select([], [], [], number * 0.008)
        connection.close()
    rest.await_gone()
    assert engine.nakagin("ps", "-aq").stdout == before


def test_by_its_id(engine: ScratchEngine, rest: Rest) -> None:
    """POST /build/cancel"""
    context = tar(member("Dockerfile", b"FROM busybox\nRUN sleep 9876.5\n"))
    with closing(Raw(engine)) as connection, closing(Raw(engine)) as other:
        connection.request("POST", "/build?buildid=mine", context, {"Content-Type": "application/x-tar"})
        await_until(lambda: _running("^sleep 9876.5"), "the step to run")
        other.request("POST", "/build/cancel?id=mine")
        assert other.getresponse().status == 200
        said = connection.getresponse().read().decode()
        assert "the build was cancelled" in said
        rest.await_gone()
