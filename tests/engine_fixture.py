"""A scratch engine for tests and the bench: its own data root, socket, bridge, table and cgroup parent.

It is started as a child process, ended by its pid, and afterwards `leaks()` names whatever is left of it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from docker import DockerClient

CLI = "import sys; from nakagin.cli.main import main; sys.exit(main())"


def await_until(true: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Poll `true` until it holds; AssertionError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still waiting for: {what}"
        time.sleep(0.01)


def forget_nameless(engine: ScratchEngine) -> None:
    """Take away what other tests left without a tag."""
    if left := engine.docker("images", "-q", "-f", "dangling=true").stdout.split():
        engine.docker("rmi", "-f", *left)


@cache
def docker_cli() -> str:
    """The newest docker command line of PATH and /usr/local/bin (which a bare PATH hides)."""
    folders = [*os.environ.get("PATH", os.defpath).split(":"), "/usr/local/bin"]
    found = {path for folder in folders if (path := shutil.which("docker", path=folder))}
    assert found, "no docker command line: make setup-test installs one"

    return max(sorted(found), key=docker_version)


@cache
def docker_version(path: str) -> tuple[int, ...]:
    """The numbers in "Docker version 28.2.2, build e6534b4"."""
    words = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(int(part) for part in words[2].split("+")[0].rstrip(",").split(".") if part.isdigit())


class ScratchEngine:
    """One engine that shares nothing with another; `start`, use, `stop`, then `leaks` must be empty."""

    name = "nakagin"

    def __init__(self, *arguments: str, parent: str = "/var/tmp", log_level: str = "debug") -> None:
        self.instance = "t" + secrets.token_hex(3)
        # short: a unix socket's path has 107 bytes
        self.root = Path(tempfile.mkdtemp(prefix=f"nk-{self.instance}-", dir=parent))
        self.data_root = self.root / "data"
        self.exec_root = self.root / "exec"
        self.socket = self.root / "api.sock"
        self.log = self.root / "log"
        self.arguments = arguments
        self.log_level = log_level
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[DockerClient] = []

    # life

    def command(self) -> list[str]:
        """The engine's argv."""
        return [
            sys.executable, "-m", "nakagin.daemon",
            "--data-root", str(self.data_root), "--exec-root", str(self.exec_root),
            "-H", self.host, "--instance", self.instance, "--pidfile", str(self.root / "pid"),
            "--log-level", self.log_level, *self.arguments,
        ]  # fmt: skip

    def start(self) -> None:
        """Start the engine and wait for its answer; RuntimeError with the end of its log where it dies."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "NAKAGIN_SCRATCH": self.instance}, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the engine did not start:\n{self.log_tail()}")
            time.sleep(0.005)

    def answers(self) -> bool:
        """Whether `GET /_ping` is answered."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in connection.recv(4096)
        return False

    @property
    def pid(self) -> int:
        """The engine's process id."""
        assert self.process is not None, "the engine was not started"
        return self.process.pid

    def kill9(self) -> None:
        """End the engine as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again after `kill9` or `terminate`."""
        assert self.process is not None
        assert self.process.poll() is not None, "the engine is still alive"
        self.start()

    def terminate(self, seconds: float = 30.0) -> int:
        """SIGTERM, and the engine's exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def remove_containers(self) -> None:
        """Remove every container and the volumes that nobody named."""
        ids = self.docker("ps", "-aq").stdout.split()
        if ids:
            self.docker("rm", "-f", "-v", *ids)

    def close(self) -> list[str]:
        """Remove all containers, end the engine, delete its folders; what it left behind, as text lines."""
        found: list[str] = []
        for client in self._clients:
            client.close()
        if self.process is not None:
            try:
                self._end(found)
            except (AssertionError, RuntimeError, subprocess.TimeoutExpired) as error:
                found.append(f"{error}\n{self.log_tail()}")
                self.kill9()
            with contextlib.suppress(AssertionError):  # a dying process may need a moment
                await_until(lambda: not self.leaks(), "leaks to vanish", 5)
            found += self.leaks()
        if found:
            self._sweep()
        if not found or not os.environ.get("KEEP_SCRATCH"):
            shutil.rmtree(self.root, ignore_errors=True)
        return found

    def _end(self, found: list[str]) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            found.append(f"the engine had died (exit code {self.process.returncode}):\n{self.log_tail()}")
            self.start()
        self.remove_containers()
        if code := self.terminate():
            found.append(f"the engine ended with exit code {code}:\n{self.log_tail()}")

    def _sweep(self) -> None:
        """What a failed test left is told; it must not stay on the machine as well."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            await_until(lambda: not self.processes(), "processes to end", 5)
        subprocess.run(["ip", "link", "delete", f"nk-{self.instance}0"], capture_output=True, check=False)
        subprocess.run(
            ["nft", "delete", "table", "inet", f"nakagin_{self.instance}"], capture_output=True, check=False
        )
        for group in sorted(control_groups(self.cgroup_parent), key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(group)

    # clients

    @property
    def host(self) -> str:
        """What DOCKER_HOST names."""
        return f"unix://{self.socket}"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a client: this engine, no configuration of the user's, no colours."""
        config = str(self.root / "config")
        return {
            **os.environ,
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": config,
            "TERM": "dumb",
            **(extra or {}),
        }

    def nakagin_argv(self, *arguments: str) -> list[str]:
        """Our command line as argv."""
        return [sys.executable, "-c", CLI, "-H", self.host, *arguments]

    def docker_argv(self, *arguments: str) -> list[str]:
        """Docker's command line as argv; DOCKER_HOST says where."""
        return [docker_cli(), *arguments]

    def docker(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60, check: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker command line; AssertionError with its words unless it exits with `check`."""
        return self._run(self.docker_argv(*arguments), stdin, timeout, check)

    def nakagin(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60, check: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run our command line in the same way."""
        return self._run(self.nakagin_argv(*arguments), stdin, timeout, check)

    def _run(
        self, argv: Sequence[str], stdin: str | None, timeout: float, check: int | None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=self.environment(),
            stdin=subprocess.DEVNULL if stdin is None else None, check=False,
        )  # fmt: skip
        assert check is None or done.returncode == check, (
            f"exit code {done.returncode} instead of {check}: {argv}\n{done.stdout}{done.stderr}"
        )
        return done

    def client(self) -> DockerClient:
        """A docker-py client, closed with the engine."""
        client = DockerClient(base_url=self.host, version="auto", timeout=60)
        self._clients.append(client)
        return client

    def bootstrap_busybox(self, name: str = "busybox") -> str:
        """An image from Debian's busybox, as a user would make it; its name."""
        self.nakagin("image", "bootstrap", "busybox", "-t", name, timeout=180)
        return name

    # what it leaves

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the engine's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def cgroup_parent(self) -> str:
        """The cgroup below which every container of this engine lives."""
        return f"nakagin-{self.instance}"

    def processes(self) -> list[int]:
        """Every living process of this engine: engine, zygote, monitors, containers, proxies."""
        return sorted(_processes(self.instance.encode(), self.cgroup_parent, str(self.root).encode()))

    def stored_files(self) -> set[str]:
        """Every path below the data root, except what comes and goes by itself: database journals, trash."""
        found = set()
        for folder, folders, files in os.walk(self.data_root):  # unlike rglob, it may shrink meanwhile
            below = os.path.relpath(folder, self.data_root)
            found |= {os.path.normpath(os.path.join(below, name)) for name in (*folders, *files)}
        passing = ("-wal", "-shm", "-journal")
        return {path for path in found if not path.endswith(passing) and not path.startswith("trash/")}

    def leaks(self) -> list[str]:
        """What of this engine is still there, one line each; [] when it left as it came."""
        return [
            *(f"process {pid}: {_cmdline(pid)}" for pid in self.processes()),
            *(f"mount {line}" for line in _lines("/proc/self/mountinfo") if str(self.root) in line),
            *(f"loop device over {path}" for path in _loop_files() if str(self.root) in path),
            *(f"cgroup {path}" for path in control_groups(self.cgroup_parent)),
            *(f"interface {name}" for name in os.listdir("/sys/class/net") if self.instance in name),
            *(f"network namespace {name}" for name in _listed("/run/netns") if self.instance in name),
            *(f"nft {line}" for line in _nft_tables() if self.instance in line),
            *(f"file {path}" for path in glob.glob(f"{self.exec_root}/containers/*")),
            *(f"file {path}" for path in glob.glob(f"{self.data_root}/containers/*")),
            *(f"file {path}" for path in glob.glob(f"{self.data_root}/trash/*")),
        ]


def _processes(token: bytes, cgroup: str, root: bytes) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            state = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
            environment = Path(f"/proc/{entry}/environ").read_bytes()
            arguments = Path(f"/proc/{entry}/cmdline").read_bytes()
            groups = Path(f"/proc/{entry}/cgroup").read_text()
        except OSError:  # gone, or not ours to look at
            continue
        ours = b"NAKAGIN_SCRATCH=" + token in environment or f"/{cgroup}" in groups
        if state not in "ZX" and (ours or (root in arguments and b"nakagin" in arguments)):
            yield int(entry)


def _cmdline(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return "(gone)"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _loop_files() -> list[str]:
    found = []
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # detached meanwhile
            found.append(Path(path).read_text().strip())
    return found


def _listed(path: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(path)
    return []


def control_groups(parent: str) -> list[str]:
    """The parent's folder in every hierarchy (v1, or v2 itself), and what is below it."""
    tops = [*glob.glob(f"/sys/fs/cgroup/{parent}"), *glob.glob(f"/sys/fs/cgroup/*/{parent}")]
    return [folder for top in tops for folder, _, _ in os.walk(top)]


def _nft_tables() -> list[str]:
    if not (nft := shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")):
        return []
    return subprocess.run(
        [nft, "list", "tables"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
