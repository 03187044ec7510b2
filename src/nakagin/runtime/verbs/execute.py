"""exec: run a further process in a running container."""

from __future__ import annotations

from nakagin.errors import Conflict, Invalid
from nakagin.kernel import process as processes
from nakagin.kernel import signals
from nakagin.runtime import container, rendezvous
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call
    from nakagin.spec.runtime import Config, Process


def exec_(call: Call) -> int:
    """Run the process; its exit code, or at once 0 when detached."""
    from nakagin.runtime.verbs import foreground

    made = container.load(call.root, call.words[0], call.log.warn)
    wanted = described_process(call, made.config)
    detach = call.flag("detach")
    socket = call.text("console-socket")
    if wanted.get("terminal") and detach and not socket:
        raise Invalid("a detached terminal needs --console-socket", where="--tty")
    paused = made.status == "paused"
    if paused and not call.flag("ignore-paused"):
        raise Conflict(
            f"cannot exec in container {made.id}: it is paused", hint="resume it or use --ignore-paused"
        )
    if not detach:
        signals.hold_back()
        if not call.flag("no-subreaper"):
            processes.set_subreaper()
    sub_cgroups = call.listed("cgroup")
    executed = made.exec(
        wanted,
        console_socket=socket or None,
        preserve_fds=call.number("preserve-fds") or 0,
        seccomp_cache=f"{call.root}/.seccomp",
        sub_cgroup=sub_cgroups[-1].rpartition(":")[2] if sub_cgroups else "",
        ignore_paused=paused,
    )
    if call.text("pid-file"):
        rendezvous.write_pid_file(call.text("pid-file"), executed.pid)
    if detach:
        return 0
    return foreground.attend(executed.pidfd, executed.terminal)


def described_process(call: Call, config: Config) -> Process:
    """The process to run: from --process, or the container's own with another command. Raises Invalid."""
    path = call.text("process")
    if path:
        with open(path, "rb") as file:
            given: Process = document.parse(file.read(), path)
        if call.flag("tty"):
            given["terminal"] = True
        return given
    if len(call.words) < 2:
        raise Invalid("there is no command to run", where="exec")
    wanted: Process = {**(config.get("process") or {})}
    wanted["args"] = call.words[1:]
    wanted["terminal"] = call.flag("tty")
    wanted.pop("consoleSize", None)
    if call.text("cwd"):
        wanted["cwd"] = call.text("cwd")
    wanted["env"] = [*(wanted.get("env") or ()), *call.listed("env")]
    if call.text("apparmor"):
        wanted["apparmorProfile"] = call.text("apparmor")
    if call.text("process-label"):
        wanted["selinuxLabel"] = call.text("process-label")
    if call.flag("no-new-privs"):
        wanted["noNewPrivileges"] = True
    _set_user(call, wanted)
    _add_capabilities(call, wanted)
    return wanted


def _set_user(call: Call, wanted: Process) -> None:
    user = {**(wanted.get("user") or {})}
    if call.text("user"):
        uid, _, gid = call.text("user").partition(":")
        if not uid.isdecimal() or (gid and not gid.isdecimal()):
            raise Invalid("a user is UID or UID:GID", where="--user")
        user["uid"] = int(uid)
        if gid:
            user["gid"] = int(gid)
    extra = [int(each) for each in call.listed("additional-gids")]
    if extra:
        user["additionalGids"] = extra
    wanted["user"] = user  # type: ignore[typeddict-item]


def _add_capabilities(call: Call, wanted: Process) -> None:
    extra = call.listed("cap")
    if not extra:
        return
    sets = {name: list(each) for name, each in (wanted.get("capabilities") or {}).items()}  # type: ignore[call-overload]
    for name in ("bounding", "effective", "permitted", "inheritable"):
        sets[name] = list(dict.fromkeys([*sets.get(name, []), *extra]))
    sets["ambient"] = list(dict.fromkeys([*sets.get("ambient", []), *extra]))
    wanted["capabilities"] = sets  # type: ignore[typeddict-item]
