"""create, start, run."""

from __future__ import annotations

import os

from nakagin.cgroups.layout import Layout
from nakagin.errors import Invalid
from nakagin.kernel import process, signals
from nakagin.runtime import container
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call
    from nakagin.runtime.container import Container
    from nakagin.spec.runtime import Config, Mount


def create_(call: Call) -> int:
    """Create a container and leave it waiting for `start`."""
    _create(call, started_by_other=True).close()
    return 0


def start_(call: Call) -> int:
    """Start a created container."""
    container.load(call.root, call.words[0], call.log.warn).start()
    return 0


def run_(call: Call) -> int:
    """Create and start; unless detached, pass signals and the terminal on, wait, delete."""
    from nakagin.runtime.verbs import foreground

    detach = call.flag("detach")
    if not detach:
        signals.hold_back()
        if not call.flag("no-subreaper"):
            process.set_subreaper()
    made = _create(call, started_by_other=False)
    try:
        made.start()
        if detach:
            return 0
        code = foreground.attend(made.pidfd, made.terminal)
    except BaseException:
        made.delete(force=True)
        raise
    if not call.flag("keep"):
        made.delete()
    return code


def _create(call: Call, *, started_by_other: bool) -> Container:
    bundle = os.path.abspath(call.text("bundle") or ".")
    config = read_config(os.path.join(bundle, call.text("config") or "config.json"))
    _add_notify_socket(config)
    terminal = (config.get("process") or {}).get("terminal")
    socket = call.text("console-socket")
    if socket and not terminal:
        raise Invalid(
            "a console socket is given, but the process wants no terminal", where="--console-socket"
        )
    if terminal and call.flag("detach") and not socket:
        raise Invalid("a detached terminal needs --console-socket", where="process.terminal")
    return container.create(
        root=call.root,
        id=call.words[0],
        bundle=bundle,
        config=config,
        warn=call.log.warn,
        console_socket=socket or None,
        preserve_fds=preserved_fds(call, config),
        pid_file=call.text("pid-file") or None,
        no_pivot=call.flag("no-pivot"),
        no_new_keyring=call.flag("no-new-keyring"),
        systemd_cgroup=call.systemd_cgroup,
        seccomp_cache=f"{call.root}/.seccomp",
        started_by_other=started_by_other,
        machine=Layout("none", {}, reason="--cgroup-manager disabled") if call.without_cgroups else None,
    )


def read_config(path: str) -> Config:
    """config.json as a dict. Raises Invalid."""
    try:
        with open(path, "rb") as file:
            config: Config = document.parse(file.read(), path)
    except FileNotFoundError:
        raise Invalid(
            "there is no config.json", where=path, hint="give --bundle, or make one with spec"
        ) from None
    if not isinstance(config, dict):
        raise Invalid("not an object", where=path)
    return config


def _add_notify_socket(config: Config) -> None:
    """Let the program tell systemd that it is ready (sd_notify(3)), if the runtime's caller may."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith("/"):  # none, or an abstract one, which no mount can bring inside
        return
    inside = "/run/notify/notify.sock"
    bind: Mount = {
        "destination": inside,
        "source": path,
        "type": "bind",
        "options": ["bind", "nosuid", "noexec"],
    }
    config.setdefault("mounts", []).append(bind)
    config.get("process", {}).setdefault("env", []).append(f"NOTIFY_SOCKET={inside}")


def preserved_fds(call: Call, config: Config) -> int:
    """How many descriptors after 2 go to the program: --preserve-fds, and systemd's LISTEN_FDS."""
    count = call.number("preserve-fds") or 0
    listening = os.environ.get("LISTEN_FDS", "")
    if listening.isdecimal() and int(listening) > 0:
        count += int(listening)
        process_ = config.get("process") or {}
        process_.setdefault("env", []).extend([f"LISTEN_FDS={listening}", "LISTEN_PID=1"])
        names = os.environ.get("LISTEN_FDNAMES")
        process_["env"] += [f"LISTEN_FDNAMES={names}"] if names else []
    return count
