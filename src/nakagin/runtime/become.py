"""The last steps of every process that runs a user's program, whether first (init) or later (enter).

The order of the calls is the kernel's demand; the comments say why here. Runs in the child.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from nakagin.errors import CommandFailed, StepFailed, Unsupported
from nakagin.kernel import abi, fds, identity, labels, launcher, paths, signals
from nakagin.kernel.calls import Call, CallFailed, perform
from nakagin.runtime import seal, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from nakagin.runtime.program import Program
    from nakagin.runtime.sync import Channel

_NULL = os.makedev(1, 3)
# Asked at once: later /proc is the container's.
SEALED = seal.is_sealed()
_DAC_OVERRIDE = 1 << identity.CAPABILITIES.index("CAP_DAC_OVERRIDE")


class Filter:
    """A compiled seccomp filter: the program, its install flags, and whether it lets the launcher through."""

    __slots__ = ("flags", "lets_launch", "program")

    def __init__(self, program: bytes, flags: int, lets_launch: bool) -> None:
        self.program = program
        self.flags = flags
        self.lets_launch = lets_launch


def forbid_imports() -> None:
    """From here on only modules that are there already can be had.

    Inside the container's root the interpreter would look for a module in the image's own files, and run
    what it finds with the runtime's rights. Even a warning of the interpreter imports.
    """
    sys.meta_path.clear()
    sys.path.clear()


def place(program: Program) -> None:
    """Put scheduler, CPUs and so on into force; the parent imported what is needed. Raises StepFailed."""
    from nakagin.runtime import placement

    placement.place(program)


def require_labels(program: Program) -> None:
    """Raises Unsupported for a label that nobody here enforces. Asked outside: inside, /sys is the container's."""
    for name, text, is_there in (
        ("AppArmor", program.apparmor, labels.has_apparmor),
        ("SELinux", program.selinux, labels.has_selinux),
    ):
        if text and not is_there():
            raise Unsupported(f"{name} is asked for ({text}), and this machine does not have it")


def label(program: Program, proc: int) -> None:
    """AppArmor and SELinux labels for the next execve; while the runtime's /proc is still at hand."""
    for words, file, text in _labels(program):
        try:
            paths.write_proc(proc, file, text)
        except OSError as error:
            raise StepFailed(words, error.strerror or "", errno=error.errno or 0) from None


def label_calls(program: Program, proc: int, opened: int) -> list[Call]:
    """The same in another process; `opened` is the number that the next descriptor opened there gets."""
    calls = []
    for words, file, text in _labels(program):
        encoded = text.encode()
        calls += [
            paths.proc_call(words, proc, file, os.O_WRONLY),
            Call(words, abi.NR_WRITE, opened, encoded, len(encoded)),
            Call(words, abi.NR_CLOSE_RANGE, opened, opened, 0),
        ]
    return calls


def _labels(program: Program) -> list[tuple[str, str, str]]:
    """(step, file of procfs, what is written there)."""
    found = []
    if program.apparmor:
        words = f"set the AppArmor profile {program.apparmor}"
        found.append((words, "self/attr/apparmor/exec", f"exec {program.apparmor}"))
    if program.selinux:
        found.append((f"set the SELinux label {program.selinux}", "self/attr/exec", program.selinux))
    return found


_MAKE_EXECUTABLE = "make the file executable in the image (chmod +x), or give it to an interpreter"


def find_command(program: Program) -> str:
    """The path of the command, looked up in the container's PATH as execvp(3) does.

    Raises CommandFailed in the words that Docker's clients know. Runs inside the container's root.
    """
    name = program.args[0]
    step = f'exec: "{name}"'
    if "/" in name:
        path = name if name.startswith("/") else os.path.join(program.cwd, name)
        try:
            found = os.stat(path)
        except OSError as error:
            hint = "name a program that is in the image"
            raise CommandFailed(
                f"{step}: stat {name}", _lower(error), errno=error.errno or 2, hint=hint
            ) from None
        if stat.S_ISDIR(found.st_mode):
            # Docker's clients before 23 know only the second half; both make them exit with 126.
            raise CommandFailed(
                step, "is a directory: permission denied", errno=21, hint="name a program in it"
            )
        if not may_execute(found, program):
            raise CommandFailed(step, "permission denied", errno=13, hint=_MAKE_EXECUTABLE)
        return path
    denied = False
    for directory in program.env.get("PATH", "").split(":"):
        path = os.path.join(program.cwd, directory, name)
        try:
            found = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            if may_execute(found, program):
                return path
            denied = True
    if denied:
        raise CommandFailed(step, "permission denied", errno=13, hint=_MAKE_EXECUTABLE)
    hint = f"the image has none in {program.env.get('PATH') or 'an empty PATH'}; is it installed there?"
    raise CommandFailed(step, "executable file not found in $PATH", errno=2, hint=hint)


def may_execute(found: os.stat_result, program: Program) -> bool:
    """Whether the mode bits let the program's user execute the file; the kernel has the last word."""
    bits = stat.S_IMODE(found.st_mode)
    if program.effective & _DAC_OVERRIDE or (program.uid == 0 and program.bounding & _DAC_OVERRIDE):
        return bool(bits & 0o111)
    if found.st_uid == program.uid:
        return bool(bits & 0o100)
    if found.st_gid in {program.gid, *program.groups}:
        return bool(bits & 0o010)
    return bool(bits & 0o001)


def _lower(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def default_home(program: Program) -> None:
    """Set HOME from the container's /etc/passwd where the config does not, as runc does."""
    if program.env.get("HOME"):
        return
    program.env["HOME"] = "/"
    try:
        with open("/etc/passwd", "rb") as file:
            for line in file:
                fields = line.rstrip(b"\n").split(b":")
                if len(fields) >= 6 and fields[2] == str(program.uid).encode():
                    program.env["HOME"] = os.fsdecode(fields[5]) or "/"
                    return
    except OSError:
        pass


def enter_directory(path: str) -> None:
    """Go to the working directory, which must lie inside the root.

    CVE-2024-21626: a working directory like /proc/self/fd/7 led out through a leaked descriptor. Magic
    links are not followed, foreign descriptors were closed, and the result is verified.
    """
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        fd = paths.open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(root)
    try:
        os.fchdir(fd)
    finally:
        os.close(fd)
    verify_directory()


def verify_directory() -> None:
    """The kernel itself must say that the working directory lies below the root (CVE-2024-21626)."""
    if not paths.current_directory().startswith(b"/"):
        raise OSError(1, "the working directory is outside the container")


def own_stdio(uid: int, streams: Iterable[int] = (0, 1, 2)) -> None:
    """Give the standard streams to the user, who may want to open /dev/stdout again."""
    for fd in streams:
        found = os.fstat(fd)
        if found.st_uid == uid or (stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL):
            continue
        try:
            os.fchown(fd, uid, -1)
        except OSError:  # a read-only filesystem, an unmapped owner: the streams themselves still work
            pass


class Command:
    """What is about to be executed: its path, and the launcher's descriptor (-1: executed directly)."""

    __slots__ = ("launcher", "path")

    def __init__(self, path: str, launcher: int) -> None:
        self.path = path
        self.launcher = launcher


def confine(program: Program, filter_: Filter | None, channel: Channel) -> Command:
    """Limits, ids, capabilities, no_new_privs: all but the late filter. Returns what is to be executed."""
    _perform(limit_calls(program))
    default_home(program)
    command = find_command(program)
    refuse_magic_links(command)
    # The filter may forbid memory files, so the launcher is made before it. From a read-only interpreter
    # (CVE-2019-5736) nothing can be written, and the program is executed directly.
    wanted = not SEALED and (not filter_ or filter_.lets_launch)
    launch = launcher.seal(command, channel.fileno()) if wanted else -1
    present = identity.bounding_mask()
    if filter_ and not program.no_new_privs:
        # Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before the capabilities go.
        install(filter_, channel)
    own_stdio(program.uid)
    inside = True
    try:
        step(f"enter working directory {program.cwd}", enter_directory, program.cwd)
    except StepFailed as error:
        if error.errno != errno.EACCES:
            raise
        inside = False  # root may lack what the user has (NFS): tried again below
    _perform(right_calls(program, present))
    if not inside:
        step(f"enter working directory {program.cwd}", enter_directory, program.cwd)
    return Command(command, launch)


def limit_calls(program: Program) -> list[Call]:
    """What puts the program's resource limits into force."""
    return [identity.rlimit_call(*limit) for limit in program.rlimits]


def right_calls(program: Program, present: int) -> list[Call]:
    """What makes a process the program's user, with its capabilities; `present` is the bounding set until then."""
    sets = identity.CapabilitySets(program.permitted, program.effective, program.inheritable)
    calls = identity.bounding_calls(program.bounding, present)  # can be cut only while CAP_SETPCAP is there
    calls += identity.user_calls(program.uid, program.gid, program.groups)
    calls.append(Call("set the umask", abi.NR_UMASK, program.umask))
    calls += identity.capability_calls(sets)
    calls += identity.ambient_calls(program.ambient)
    if program.no_new_privs:
        calls.append(Call("set no_new_privs", abi.NR_PRCTL, abi.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return calls


def _perform(calls: list[Call]) -> None:
    try:
        perform(calls)
    except CallFailed as error:
        raise call_failed(error) from None


def call_failed(error: CallFailed) -> StepFailed:
    """A call's failure in the words of the user's step."""
    return StepFailed(error.words, error.strerror or "", errno=error.errno or 0)


def install(filter_: Filter, channel: Channel) -> None:
    """Put this process under the filter; a listener's descriptor is handed to the runtime."""
    from nakagin.kernel import seccomp

    listener = step("install the seccomp filter", seccomp.install, filter_.program, filter_.flags)
    if filter_.flags & seccomp.NEW_LISTENER:
        # Told by number, fetched by the runtime (pidfd_getfd): sendmsg(2) may itself wait for the listener.
        channel.send(sync.LISTENER, str(listener).encode())
        channel.await_go()
        os.close(listener)


def execute(program: Program, command: Command, keep: int, channel: Channel) -> NoReturn:
    """Become the user's program, with descriptors 0, 1, 2 and `keep` more. Raises CommandFailed."""
    _perform(signals.default_calls())
    # CVE-2024-21626: whatever is still open here closes with execve.
    fds.close_on_exec(3 + keep)
    verify_directory()
    launched = command.launcher >= 0
    os.set_inheritable(channel.fileno(), launched)
    channel.send(sync.EXECUTING)
    try:
        os.execve(command.launcher if launched else command.path, program.args, program.env)  # noqa: S606
    except OSError as error:
        raise CommandFailed(f"exec {command.path}", _lower(error), errno=error.errno or 0) from None


def refuse_magic_links(command: str) -> None:
    """CVE-2019-5736: /proc/self/exe still is the host's interpreter now, by whatever symlink it is reached."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(paths.open_in_root(root, command, os.O_PATH))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CommandFailed(
                f'exec: "{command}"',
                "permission denied: it leads through a magic link of procfs",
                errno=errno.EACCES,
            ) from None
        raise CommandFailed(f'exec: "{command}"', _lower(error), errno=error.errno or 0) from None
    finally:
        os.close(root)


def step(words: str, call: Callable[..., Any], *arguments: object) -> Any:
    """Do one thing; a refusal by the kernel is told in these words."""
    try:
        return call(*arguments)
    except OSError as error:
        raise StepFailed(words, error.strerror or str(error), errno=error.errno or 0) from None
