"""A container's birth, in a helper process of its monitor that ends once the program runs.

    zygote ── fork ──► monitor ── fork ──► helper ── clone3(CLONE_PARENT) ──► init process
                          ▲                   │                               (the monitor's child)
                          └── the container ──┘

What a birth dirties in memory goes with the helper, so the monitor that stays is small. Both are forked
ahead of the request where there is time, so that a start does not wait for them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time

from nakagin.errors import NakaginError
from nakagin.kernel import process, terminal
from nakagin.monitor import logfile, notes, protocol
from nakagin.monitor.logfile import timestamp
from nakagin.network import links
from nakagin.runtime import container as runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from nakagin.cgroups.layout import Layout
    from nakagin.monitor.protocol import Message
    from nakagin.spec.runtime import Config


def await_request(zygote: socket.socket, monitor: socket.socket, machine: Layout) -> NoReturn:
    """Be the helper: take the one request that comes from the zygote, deliver, and end."""
    status = 0
    try:
        process.set_name("nakagin-birth")
        received = protocol.receive(zygote)
        if received is not None:
            zygote.close()
            _deliver(*received, monitor, machine)
    except BaseException as error:  # noqa: BLE001  outermost frame of the process: nothing above could tell
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _deliver(request: Message, fds: list[int], monitor: socket.socket, machine: Layout) -> None:
    """Start the container of `request`; tell the engine how it went, hand what lives to the monitor."""
    control = socket.socket(fileno=fds[0])
    try:
        born, more = _bear(request, machine)
    except (NakaginError, OSError) as error:
        code = getattr(error, "exit_code", 125)
        notes.write_exit(request["run_dir"], notes.exit_document(code, "", error=str(error)))
        _tell(control, {"event": "failed", "error": protocol.error_document(error)})
        return
    _tell(control, {"event": "started", "pid": born["pid"], "started_at": born["started_at"]})
    protocol.send(monitor, {**request, **born, "rootfs": None, "network": None}, [*more, *fds])


def _tell(control: socket.socket, message: Message) -> None:
    """Tell the engine, if it is still there: a birth does not depend on it."""
    try:
        protocol.send(control, message)
    except OSError:
        pass


def _bear(request: Message, machine: Layout) -> tuple[Message, list[int]]:
    """Create and start the container: its facts, and [listener, pidfd, terminal | stdin, stdout, stderr].

    stdin is left out where it is closed.
    """
    os.makedirs(request["run_dir"], mode=0o700, exist_ok=True)
    listener = _listen(request["run_dir"])
    # Only now: an engine that finds no socket takes the configuration away, and nothing starts behind its back.
    with open(os.path.join(request["bundle"], "config.json"), "rb") as file:
        config: Config = json.load(file)
    if request["log"]["driver"] != "none":
        logfile.make(request["log"]["path"])
    ours, theirs = pipes(request["tty"], request["open_stdin"])
    try:
        container = runtime.create(
            root=request["runtime_root"], id=request["id"], bundle=request["bundle"], config=config,
            rootfs=request["rootfs"], rootfs_cwd=request["rootfs_cwd"], cgroup_path=request["cgroup_path"],
            stdio=theirs, on_namespaces=lambda pid, _: _connect_network(request, pid),
            seccomp_cache=request["seccomp_cache"], parent_death_signal=signal.SIGKILL, as_sibling=True,
            machine=machine, warn=notes.complain,
        )  # fmt: skip
    finally:
        for fd in set(theirs or ()):
            os.close(fd)
    if container.terminal is not None and (size := request.get("console_size")):
        terminal.set_size(container.terminal, size[0], size[1])
    try:
        container.start()
    except (NakaginError, OSError):
        container.delete(force=True)
        raise
    started_at = timestamp(time.time_ns())
    # The monitor is this helper's parent.
    facts = {"monitor_pid": os.getppid(), "pid": container.pid, "started_at": started_at}
    notes.write(request["run_dir"], protocol.FACTS_NAME, facts)
    own_init = any(each["type"] == "pid" for each in config["linux"]["namespaces"])
    streams = [fd for fd in ours if fd >= 0] if ours else [container.terminal or -1]
    return {**facts, "own_init": own_init}, [listener.detach(), container.pidfd, *streams]


def _connect_network(request: Message, pid: int) -> None:
    for plan in request["network"]:
        links.attach(plan, pid)


def _listen(run_dir: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    # The path may be longer than sun_path holds (108 bytes, unix(7)): go by the directory's descriptor.
    directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(protocol.SOCKET_NAME, dir_fd=directory)
        except FileNotFoundError:
            pass
        listener.bind(f"/proc/self/fd/{directory}/{protocol.SOCKET_NAME}")
    finally:
        os.close(directory)
    listener.listen(16)
    return listener


def pipes(tty: bool, open_stdin: bool) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
    """Our and the process's ends of stdin, stdout and stderr; None where the runtime makes a terminal.

    Ours of stdin is -1 where the process reads from /dev/null.
    """
    if tty:
        return None, None
    stdin, ours_in = (
        os.pipe2(os.O_CLOEXEC) if open_stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    )
    ours_out, stdout = os.pipe2(os.O_CLOEXEC)
    ours_err, stderr = os.pipe2(os.O_CLOEXEC)
    return (ours_in, ours_out, ours_err), (stdin, stdout, stderr)
