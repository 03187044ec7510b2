"""What is kept about a container in <root>/<id>/ so that another process can find it again.

state.json    facts that do not change once the container is created
config.json   the config as it was at creation
start         there until the container is started; a socket where another process will start it
"""

from __future__ import annotations

import os
import time

from nakagin.errors import Conflict, Invalid, NotFound
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.spec.runtime import Config

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_LATER = _FIRST | frozenset("+-.")


class Facts:
    """The content of state.json. `pid` with `pid_start_ticks` names the first process for ever.

    `systemd` says that its group is a scope of systemd's.
    """

    __slots__ = (
        "bundle", "cgroup_path", "created", "id", "oci_version", "pid", "pid_start_ticks", "rootfs", "systemd",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,
        oci_version: str,
        bundle: str,
        rootfs: str,
        cgroup_path: str,
        created: str,
        pid: int,
        pid_start_ticks: int,
        systemd: bool = False,
    ) -> None:
        self.id = id
        self.oci_version = oci_version
        self.bundle = bundle
        self.rootfs = rootfs
        self.cgroup_path = cgroup_path
        self.created = created
        self.pid = pid
        self.pid_start_ticks = pid_start_ticks
        self.systemd = systemd


def check_id(id: str) -> None:
    """An id becomes a folder's name. Raises Invalid."""
    if not id or id in {".", ".."} or not _LATER.issuperset(id) or id[0] not in _LATER or len(id) > 1024:
        raise Invalid(f"{id!r} is not an id: letters, digits and _+-. are allowed", where="container id")


class Folder:
    """One container's folder below the runtime root."""

    __slots__ = ("path",)

    def __init__(self, root: str, id: str) -> None:
        check_id(id)
        self.path = f"{root}/{id}"

    def make(self) -> None:
        """Make the folder: whoever makes it owns the id. Raises Conflict."""
        try:
            os.mkdir(self.path, 0o711)
        except FileNotFoundError:
            os.makedirs(self.path.rpartition("/")[0], 0o711, exist_ok=True)
            os.mkdir(self.path, 0o711)
        except FileExistsError:
            name = self.path.rpartition("/")[2]
            raise Conflict(
                f"container {name} exists already", hint="delete it first or choose another id"
            ) from None

    def remove(self) -> None:
        """Remove the folder and its files; one that is gone is fine."""
        try:
            for name in os.listdir(self.path):
                os.unlink(f"{self.path}/{name}")
            os.rmdir(self.path)
        except FileNotFoundError:
            pass

    @property
    def start_path(self) -> str:
        """The file that is there until the container is started."""
        return f"{self.path}/start"

    def awaits_start(self) -> bool:
        """Whether the container was not started yet."""
        return os.path.exists(self.start_path)

    def forget_start(self) -> None:
        """Note that the container was started."""
        try:
            os.unlink(self.start_path)
        except FileNotFoundError:
            pass

    def write(self, facts: Facts, config: Config) -> None:
        """Write config.json and then state.json, which appears whole or not at all."""
        _write(f"{self.path}/config.json", document.render(config))
        content = {name: getattr(facts, name) for name in Facts.__slots__}
        _write(f"{self.path}/state.json.new", document.render(content))
        os.rename(f"{self.path}/state.json.new", f"{self.path}/state.json")

    def read(self) -> Facts:
        """Read state.json. Raises NotFound."""
        return Facts(**document.parse(self._read("state.json"), "state.json"))

    def read_config(self) -> Config:
        """Read the config as it was at creation. Raises NotFound."""
        config: Config = document.parse(self._read("config.json"), "config.json")
        return config

    def write_config(self, config: Config) -> None:
        """Replace the kept config (its resources were updated)."""
        _write(f"{self.path}/config.json.new", document.render(config))
        os.rename(f"{self.path}/config.json.new", f"{self.path}/config.json")

    def _read(self, name: str) -> bytes:
        try:
            with open(f"{self.path}/{name}", "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"container {self.path.rpartition('/')[2]} does not exist") from None


def folders(root: str) -> Iterator[Folder]:
    """The folders of all containers below `root`, by id."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return
    for name in names:
        if os.path.exists(f"{root}/{name}/state.json"):
            yield Folder(root, name)


def now() -> str:
    """The time as RFC 3339 has it, in UTC with nanoseconds."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def _write(path: str, text: str) -> None:
    # 0600: a config holds environment variables, and those hold passwords.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
