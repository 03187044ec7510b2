"""A host of its own to ssh to: an sshd on a loopback port, with keys made for the test, as whoever runs it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.engine_fixture import CLI
from tests.free_port import free_port

SSHD = "/usr/sbin/sshd"

PROXY = """
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))

def back():
    while piece := there.recv(1 << 16):
        os.write(1, piece)
    os._exit(0)

threading.Thread(target=back, daemon=True).start()
count = 0
while piece := os.read(0, 1 << 16):
    count += len(piece)
    with open(sys.argv[2] + "~", "w") as file:
        file.write(str(count))
    os.rename(sys.argv[2] + "~", sys.argv[2])
    there.sendall(piece)
"""


class ScratchHost:
    """An sshd whose sessions find `nakagin`, and with it the engine at `engine` (a NAKAGIN_HOST).

    On another machine it listens at `address`, and `inside` goes before what is started there.
    """

    def __init__(
        self, engine: str, *, installed: bool = True, address: str = "127.0.0.1", inside: Sequence[str] = ()
    ) -> None:
        self.address = address
        self._inside = list(inside)
        self.root = Path(tempfile.mkdtemp(prefix="nk-ssh-", dir="/var/tmp"))
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.port = free_port()
        for name in ("host", "key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.root / name)], check=True
            )
        shutil.copy(self.root / "key.pub", self.root / "authorized")
        (self.root / "bin").mkdir()
        if installed:
            self._install()
        self._configure(engine)
        self.log = self.root / "log"
        os.makedirs("/run/sshd", exist_ok=True)  # where the Debian package's sshd separates its privileges
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._inside, SSHD, "-D", "-e", "-f", str(self.root / "sshd_config")],
                stdin=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self._await()

    def _install(self) -> None:
        program = self.root / "bin/nakagin"
        source = Path(__file__).parents[1] / "src"
        program.write_text(
            f"#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -c '{CLI.replace(chr(10), ' ')}' \"$@\"\n"
        )
        program.chmod(0o755)

    def _configure(self, engine: str) -> None:
        (self.root / "sshd_config").write_text(
            f"""Port {self.port}
ListenAddress {self.address}
HostKey {self.root}/host
PidFile {self.root}/pid
AuthorizedKeysFile {self.root}/authorized
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
SetEnv PATH={self.root}/bin:/usr/bin:/bin NAKAGIN_HOST={engine} XDG_DATA_HOME={self.root}/data
"""
        )
        key = (self.root / "host.pub").read_text().split()[:2]
        (self.root / "known").write_text(f"[{self.address}]:{self.port} {' '.join(key)}\n")
        self.write_client(known="known", key="key")

    def counting_proxy(self, tag: str) -> str:
        """A command for ssh to connect by, which writes the number of bytes that ssh sent to `count-<tag>`."""
        program = self.root / "proxy"
        program.write_text(PROXY)
        return f"{sys.executable} {program} {self.port} {self.root}/count-{tag}"

    def write_client(self, *, known: str, key: str, more: str = "") -> None:
        """The client's configuration: which host keys it knows, which key it shows."""
        (self.root / "config").write_text(
            f"Host *\n  IdentityFile {self.root}/{key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {self.root}/{known}\n  GlobalKnownHostsFile /dev/null\n"
            f"  StrictHostKeyChecking yes\n  {more}\n"
        )

    def _await(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._knock()
            except (ConnectionRefusedError, subprocess.CalledProcessError):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            else:
                return

    def _knock(self) -> None:
        if not self._inside:
            socket.create_connection((self.address, self.port)).close()
            return
        program = f"import socket; socket.create_connection(({self.address!r}, {self.port}))"
        subprocess.run([*self._inside, sys.executable, "-c", program], check=True, capture_output=True)

    @property
    def url(self) -> str:
        """The host as our commands name it."""
        return f"ssh://{self.user}@{self.address}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to come in. The shared connections' sockets are this host's own."""
        (self.root / "run").mkdir(exist_ok=True)
        return {"NAKAGIN_SSH": f"ssh -F {self.root}/config", "XDG_RUNTIME_DIR": str(self.root / "run")}

    def logins(self) -> int:
        """How many connections were let in so far."""
        return self.log.read_text().count("Accepted publickey")

    def end_sharing(self) -> None:
        """End the shared connections."""
        for path in (self.root / "run").glob("nakagin-ssh-*/*[!k]"):
            subprocess.run(
                ["ssh", "-F", "/dev/null", "-O", "exit", "-o", f"ControlPath={path}", "x"],
                capture_output=True, check=False,
            )  # fmt: skip

    def close(self) -> None:
        """End the shared connections and the sshd, and take everything away."""
        self.end_sharing()
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.root)
