"""Machines of a LAN, each with an engine and an sshd of its own: network namespaces, invisible from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.engine_fixture import CLI, ScratchEngine, await_until
from tests.network.sandbox import Host
from tests.ssh_fixture import ScratchHost


class Machine(ScratchEngine):
    """An engine on a machine of the LAN; `ssh` is how one comes in from the other machines."""

    def __init__(self, host: Host, address: str, *arguments: str) -> None:
        self.machine, self.address = host, address
        super().__init__(*arguments, log_level="info")

    def inside(self) -> list[str]:
        """What goes before a command so that it runs on this machine."""
        return on(self.machine)

    def command(self) -> list[str]:
        return [*self.inside(), *super().command()]

    def start(self) -> None:
        super().start()
        self.ssh = ScratchHost(self.host, address=self.address, inside=self.inside())

    def here(self, *words: str, timeout: float = 90) -> str:
        """What our command line says on this machine."""
        done = subprocess.run(
            [*self.inside(), *self.nakagin_argv(*words)], capture_output=True, text=True, timeout=timeout, check=False,
            env=self.environment({"XDG_CACHE_HOME": str(self.root / "cache")}),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def leaks(self) -> list[str]:
        """The same as anywhere, and what is left on this machine."""
        links = self._on_machine("ip", "-br", "link").splitlines()
        tables = self._on_machine("nft", "list", "tables").splitlines()
        left = [name for line in links if (name := line.split("@")[0].split()[0]) not in ("lo", "eth0")]
        return [*super().leaks(), *left, *(line for line in tables if "nakagin" in line)]

    def _on_machine(self, *command: str) -> str:
        return subprocess.run(
            [*self.inside(), *command], capture_output=True, text=True, timeout=30, check=True
        ).stdout

    def close(self) -> list[str]:
        if hasattr(self, "ssh"):
            self.ssh.close()
        return super().close()


def on(host: Host) -> list[str]:
    """What goes before a command so that it runs on a machine."""
    return ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--"]


def serve_registry(host: Host, folder: str, address: str) -> subprocess.Popen[bytes]:
    """A registry on a machine, until it is ended; it answers when this returns."""
    process = subprocess.Popen(
        [*on(host), sys.executable, "-c", CLI, "registry", "serve", "--root", folder, "--listen", address],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ask: Sequence[str] = [
        *on(host), sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('http://{address}/v2/')",
    ]  # fmt: skip
    await_until(
        lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0,
        "the registry to answer",
    )
    return process
