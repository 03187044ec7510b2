"""Where builds fetch from in tests: a web server and a git server on loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.engine_fixture import await_until
from tests.free_port import free_port


class Web:
    """Files by path; `seen` has (path, Authorization) of each request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.modified = "Sat, 03 Feb 2001 04:05:06 GMT"
        self.seen: list[tuple[str, str]] = []
        self.secret = ""
        self.before: Callable[[], None] = lambda: None
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                sent = self.headers.get("Authorization", "")
                web.seen.append((path, sent))
                web.before()
                if web.secret and sent != web.secret:
                    self.send_error(401)
                elif path in web.files:
                    self.send_response(200)
                    self.send_header("Last-Modified", web.modified)
                    self.send_header("Content-Length", str(len(web.files[path])))
                    self.end_headers()
                    self.wfile.write(web.files[path])
                else:
                    self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Repository:
    """A git repository below the folder of a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        environment = {
            **os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "c",
            "GIT_COMMITTER_EMAIL": "c@example.org", "GIT_COMMITTER_DATE": "1000000000 +0000",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }  # fmt: skip
        argv = ["git", "-C", str(self.folder), *words]
        return subprocess.run(
            argv, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: dict[str, str], message: str = "more") -> str:
        """The commit's ID."""
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            if path.endswith(".sh"):
                target.chmod(0o755)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@contextmanager
def git_server(base: Path) -> Iterator[str]:
    """git daemon for the repositories below `base`; its URL."""
    port = free_port()
    argv = [
        "git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr",
    ]  # fmt: skip
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        ask = ["git", "ls-remote", f"git://127.0.0.1:{port}/{next(base.iterdir()).name}"]
        await_until(
            lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0,
            "git daemon to answer",
        )
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()
