"""A Python app in two stages, with pip and a wheel, on an image of this machine's own Debian packages."""

from __future__ import annotations

import shutil
import urllib.request
import zipfile
from pathlib import Path

import pytest
from tests.building.hosted import packed
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this machine has no Debian packages"),
]

_DOCKERFILE = """
FROM hosted/python AS build
WORKDIR /src
RUN python3 -m venv --without-pip /venv
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache/pip \\
    PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3 -m pip --python /venv/bin/python3 install \\
    --quiet --root-user-action=ignore --no-index --find-links=wheels greeting && /venv/bin/greet --version
FROM hosted/python
COPY --from=build /venv /venv
ENV WHO=nobody
USER nobody
EXPOSE 8000
HEALTHCHECK --interval=1s CMD ["/venv/bin/greet", "--version"]
CMD ["/venv/bin/greet"]
"""
_APP = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"greetings from {os.environ['WHO']}, uid {os.getuid()}".encode())

def main():
    if "--version" in sys.argv:
        print("greeting 1.0")
    else:
        http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def wheel(folder: Path) -> None:
    folder.mkdir()
    info = "greeting-1.0.dist-info"
    with zipfile.ZipFile(folder / "greeting-1.0-py3-none-any.whl", "w") as archive:
        for name, text in (
            ("greeting.py", _APP),
            (f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"),
            (
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ),
            (f"{info}/entry_points.txt", "[console_scripts]\ngreet = greeting:main\n"),
            (f"{info}/RECORD", ""),
        ):
            archive.writestr(name, text)


def test_it_is_built_and_answers(engine: ScratchEngine, folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root.tar"
    root.write_bytes(packed(["python3-venv", "dash", "coreutils"]))
    engine.nakagin("import", str(root), "hosted/python")
    wheel(folder / "wheels")
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    port = free_port()
    try:
        built = engine.nakagin(
            "build", "--progress=plain", "--sbom=true", "-t", "hosted/app", str(folder), timeout=120
        )
        assert "greeting 1.0" in built.stderr
        publish = f"127.0.0.1:{port}:8000"
        engine.nakagin("run", "-d", "--name", "hosted-app", "-p", publish, "hosted/app")
        found: list[str] = []

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    found.append(answer.read().decode())
            except OSError:
                return False
            return True

        await_until(answers, "the app to answer", 60)
        assert found[0] == "greetings from nobody, uid 65534"
        shown = ("container", "inspect", "-f", "{{.State.Health.Status}}", "hosted-app")
        await_until(lambda: engine.nakagin(*shown).stdout == "healthy\n", "the app to be healthy", 60)
        assert "pkg:pypi/greeting@1.0" in bill(engine), "the bill of materials knows what pip installed"
    finally:
        engine.nakagin("rm", "-f", "hosted-app", check=None)
        engine.nakagin("rmi", "-f", "hosted/app", "hosted/python", check=None)


def bill(engine: ScratchEngine) -> str:
    api = engine.client().api
    found: str = api.get(api._url("/images/hosted/app/attestations"), params={"statement": "1"}).text
    return found
