"""An ssh agent with a key, and a base image whose ssh-add can ask it."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine_fixture import await_until


def make_key(path: Path) -> str:
    """A key without a passphrase; its fingerprint as ssh-add -l shows it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, "-C", "k"], check=True)
    return subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout


@contextmanager
def agent_with(key: Path) -> Iterator[str]:
    """An agent that has the key; the path of its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        try:
            await_until(lambda: os.path.exists(path), "the agent")
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
            yield path
        finally:
            process.terminate()
            process.wait()


def with_ssh_add(folder: Path) -> str:
    """A Dockerfile's beginning that has the machine's ssh-add; its files are put into the context `folder`."""
    program = "/usr/bin/ssh-add"
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    words = (word for line in listed.splitlines() for word in line.split())
    with tarfile.open(folder / "tools.tar", "w") as archive:
        for path in (program, *(word for word in words if word.startswith("/"))):
            archive.add(os.path.realpath(path), path.removeprefix("/"))
    return "FROM busybox\nADD tools.tar /\n"
