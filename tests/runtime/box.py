"""Bundles for black-box tests: a config.json goes in, what the program sees of itself comes out."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect

COMMAND = Path(__file__).parents[2] / "bin" / "nakagin-runtime"
BUSYBOX = Path("/bin/busybox")
CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
]  # fmt: skip
APPLETS = (
    "sh", "ls", "cat", "echo", "true", "false", "id", "mount", "ps", "sleep", "grep", "head", "stat", "env",
    "hostname", "touch", "mkdir", "readlink", "test", "tty", "stty", "ip", "date", "nice", "dd", "kill", "ln",
    "umask", "pwd", "chmod", "rm", "tr", "sed", "cut", "wc", "find", "dmesg", "uname", "nc", "od", "sysctl",
)  # fmt: skip


def make_rootfs(path: Path) -> Path:
    """A root filesystem of busybox and empty folders."""
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "root", "srv"):
        (path / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, path / "bin" / "busybox")
    for applet in APPLETS:
        (path / "bin" / applet).symlink_to("busybox")
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/srv:/bin/sh\n")
    return path


def make_config(rootfs: Path, *args: str) -> dict[str, Any]:
    """A config as an engine would write it."""
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.2.0",
        "hostname": "box",
        "root": {"path": str(rootfs)},
        "process": {
            "args": list(args),
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
            {
                "destination": "/sys/fs/cgroup",
                "type": "cgroup",
                "source": "cgroup",
                "options": [*quiet, "ro"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }


# A detached program would hold the pipes that the test reads to their ends.
_QUIET = "exec </dev/null >/dev/null 2>&1;"


class Answer:
    """What a call of the runtime gave."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()


class Box:
    """One bundle and a runtime root of its own; whatever still lives at the end of the test is deleted."""

    def __init__(self, folder: Path, rootfs: Path) -> None:
        self.folder = folder
        self.rootfs = rootfs
        self.root = folder / "state"
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        self.id = f"nk-{uuid.uuid4().hex[:10]}"
        self.config = make_config(rootfs, "true")
        self.config["linux"]["cgroupsPath"] = f"/nk-test-{self.id}/box"

    @property
    def process(self) -> dict[str, Any]:
        """The config's process."""
        return self.config["process"]  # type: ignore[no-any-return]

    @property
    def linux(self) -> dict[str, Any]:
        """The config's linux section."""
        return self.config["linux"]  # type: ignore[no-any-return]

    def add_mount(self, destination: str, source: str | Path, *options: str, type: str = "bind") -> None:
        """Append a mount to the config."""
        self.config["mounts"].append(
            {"destination": destination, "source": str(source), "type": type, "options": list(options)}
        )

    def make_user_namespace(self, host_id: int = 100_000) -> None:
        """Give the container a user namespace whose root is `host_id` outside."""
        self.linux["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": host_id, "size": 65536}]
        self.linux["uidMappings"] = mapping
        self.linux["gidMappings"] = list(mapping)

    def call(self, *words: str, stdin: str = "", before: str = "") -> Answer:
        """Call the runtime with these words after --root; `before` is what a shell does first."""
        argv = [str(COMMAND), "--root", str(self.root), *words]
        if before:
            argv = ["sh", "-c", f'{before} exec "$@"', "sh", *argv]
        return Answer(
            subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        )

    def write(self, *args: str) -> None:
        """Write config.json, with these args if any are given."""
        if args:
            self.process["args"] = list(args)
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def run(self, *args: str, options: tuple[str, ...] = (), stdin: str = "", before: str = "") -> Answer:
        """Run the program in the foreground."""
        self.write(*args)
        return self.call("run", "--bundle", str(self.bundle), *options, self.id, stdin=stdin, before=before)

    def sh(self, script: str, before: str = "") -> str:
        """What a shell script in the container prints; it must succeed."""
        answer = self.run("sh", "-ec", script, before=before)
        assert answer.code == 0, answer.err
        return answer.out.strip()

    def begin(self, *args: str) -> None:
        """Run the program detached."""
        self.write(*args)
        log = self.folder / "log"
        answer = self.call(
            "--log", str(log), "run", "--bundle", str(self.bundle), "--detach", self.id, before=_QUIET
        )
        assert answer.code == 0, log.read_text()

    def exec(self, *words: str) -> Answer:
        """exec with these words after the id."""
        return self.call("exec", self.id, *words)

    def state(self) -> dict[str, Any]:
        """The state document."""
        answer = self.call("state", self.id)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Delete what lives and check that nothing is left."""
        self.call("delete", "--force", self.id)
        # The runtime removes its own group; the parent that the config named is the test's.
        Group(f"/nk-test-{self.id}", detect()).remove()
