"""A control group: one logical path, the same in every hierarchy of this machine.

    absent --create()--> empty --join()/add()--> populated <--freeze()/thaw()--> frozen
                           ^                         |
    absent <--remove()-----+----------kill()---------+

With the layout "none" everything is a no-op that says so in the plan's warnings; only freezing refuses.
"""

from __future__ import annotations

import errno
import os
import time

from nakagin.errors import Conflict, StepFailed, Unsupported

from . import files, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layout import Layout
    from .limits import Plan

_SIGKILL = 9  # the signal module costs milliseconds of import on the runtime's start path
_KILL_ROUNDS = 1000


class Group:
    """The group at `path` ("/nakagin/<id>"). Making the object touches nothing."""

    __slots__ = ("_directories", "layout", "path")

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self._directories = [mount + path for mount in (layout.hierarchies or (layout.v2,)) if mount]

    def directory(self, controller: str) -> str:
        """The group's directory in the controller's hierarchy, or "" when this machine has none."""
        mount = self.layout.mount(controller)
        return mount + self.path if mount else ""

    def exists(self) -> bool:
        """Whether any hierarchy has the group."""
        return any(map(os.path.isdir, self._directories))

    def create(self) -> None:
        """Make the group, and its ancestors, in every hierarchy. An existing group is left as it is.

        Raises StepFailed, with nothing left behind.
        """
        made: list[str] = []
        try:
            if self.layout.mode == "v2":
                made += tree.make_v2(self.layout.v2, self.path, self.layout.v2_controllers)
            else:
                for mount in self.layout.hierarchies:
                    made += files.make(mount, self.path)
                if "cpuset" in self.layout.v1:
                    tree.inherit_cpuset(self.layout.v1["cpuset"], self.path)
        except OSError as error:
            for directory in reversed(made):
                files.remove(directory, 0)
            raise _failed(f"make cgroup {self.path}", error) from None

    def settle(self) -> None:
        """What a group of systemd's needs once the first process is in (see scope.py)."""

    def apply(self, plan: Plan) -> list[str]:
        """Carry the plan out; the sentences that say what is not limited.

        Raises StepFailed when the kernel refuses a limit, Conflict when more memory is in use than the new
        limit allows and the plan says to look first.
        """
        warnings = list(plan.warnings)
        if plan.memory_guard is not None:
            self._check_memory(plan.memory_guard)
        if plan.device_program is not None:
            warnings += self._filter_devices(plan.device_program)
        writer = files.Writer()
        try:
            again = [each for each in plan.writes if not self._attempt(writer, plan, each, warnings)]
            for each in again:
                self._attempt(writer, plan, each, warnings, last=True)
        finally:
            writer.close()
        return warnings

    def join(self) -> None:
        """Move the calling process in. Only for a process with one thread, as a fresh child is.

        On v1 a thread that moves itself through `tasks` needs no lock; moving another process waits for an
        RCU grace period (7 to 20 ms on an idle machine). On v2 clone3(CLONE_INTO_CGROUP) with `fd()` is the
        equivalent. Raises StepFailed.
        """
        try:
            if self.layout.mode == "v2":
                files.write(f"{self.layout.v2}{self.path}/cgroup.procs", "0")
                return
            for fd in self.joiners():
                os.write(fd, b"0")
                os.close(fd)
        except OSError as error:
            raise _failed(f"join cgroup {self.path}", error) from None

    def joiners(self) -> list[int]:
        """New descriptors of files to which a process with one thread writes "0" to join (v1 and hybrid).

        For a process that cannot open them by itself: the kernel asks for the rights of who opened them.
        Raises StepFailed.
        """
        files_ = [f"{directory}/tasks" for directory in self._directories]
        if self._beside():
            files_.append(f"{self._beside()}/cgroup.procs")
        opened: list[int] = []
        try:
            opened.extend(os.open(file, os.O_WRONLY | os.O_CLOEXEC) for file in files_)
        except OSError as error:
            for fd in opened:
                os.close(fd)
            raise _failed(f"join cgroup {self.path}", error) from None
        return opened

    def add(self, pid: int) -> None:
        """Move the process in, with all its threads. See `join` for the faster way. Raises StepFailed."""
        try:
            for directory in (*self._directories, self._beside()):
                if directory:
                    files.write(f"{directory}/cgroup.procs", str(pid))
        except OSError as error:
            raise _failed(f"add process {pid} to cgroup {self.path}", error) from None

    def fd(self) -> int:
        """A new file descriptor for CLONE_INTO_CGROUP, or -1 where there is no pure v2. Raises OSError."""
        if self.layout.mode != "v2":
            return -1
        return os.open(self._directories[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> list[int]:
        """The processes in the group and in groups below it; empty when it is gone."""
        directory = self.directory("freezer") or (self._directories[0] if self._directories else "")
        return files.pids(directory) if directory else []

    def freeze(self) -> None:
        """Stop all processes; returns when the last one stands. Raises Unsupported, StepFailed."""
        directory = self._freezer()
        try:
            (tree.freeze_v1 if self.layout.version("freezer") == 1 else tree.freeze_v2)(directory)
        except OSError as error:
            raise _failed(f"freeze cgroup {self.path}", error) from None

    def thaw(self) -> None:
        """Let the processes go on. Raises Unsupported, StepFailed."""
        directory = self._freezer()
        try:
            tree.thaw(directory, self.layout.version("freezer"))
        except OSError as error:
            raise _failed(f"thaw cgroup {self.path}", error) from None

    def frozen(self) -> bool:
        """Whether the group itself was told to freeze (a frozen ancestor does not count)."""
        directory = self.directory("freezer")
        if self.layout.version("freezer") == 1:
            return files.read_or_empty(f"{directory}/freezer.self_freezing").strip() == "1"
        return bool(directory) and files.read_or_empty(f"{directory}/cgroup.freeze").strip() == "1"

    def kill(self, number: int = _SIGKILL) -> None:
        """Send the signal to every process of the group, and to those they fork meanwhile.

        SIGKILL also ends a pause. Returns at once; the processes are dying, not dead. Raises StepFailed.
        """
        try:
            if number == _SIGKILL and self.layout.mode == "v2":
                directory = self._directories[0]
                if os.path.exists(f"{directory}/cgroup.kill"):  # Linux 5.14
                    files.write(f"{directory}/cgroup.kill", "1")
                    return
            self._signal_all(number)
        except OSError as error:
            raise _failed(f"kill cgroup {self.path}", error) from None

    def remove(self, timeout: float = 5.0) -> None:
        """Remove the group and empty groups below it from every hierarchy; one that is gone is fine.

        Waits up to `timeout` seconds for dying processes. Raises StepFailed naming who still lives in it.
        """
        deadline = time.monotonic() + timeout
        for directory in (*self._directories, self._beside()):
            try:
                if directory:
                    files.remove(directory, deadline)
            except OSError as error:
                living = " ".join(map(str, files.pids(directory)[:10]))
                hint = f"processes {living} live in it" if living else None
                raise _failed(f"remove cgroup {directory}", error, hint) from None

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for want of memory; 0 when it is gone."""
        directory = self.directory("memory")
        if not directory:
            return 0
        file = "memory.oom_control" if self.layout.version("memory") == 1 else "memory.events"
        return files.read_table(f"{directory}/{file}").get("oom_kill", 0)

    def _beside(self) -> str:
        """On a hybrid machine the group's v2 directory, if a limit needed one; else ""."""
        if self.layout.mode != "hybrid" or not self.layout.v2_controllers:
            return ""
        directory = self.layout.v2 + self.path
        return directory if os.path.isdir(directory) else ""

    def _attempt(
        self,
        writer: files.Writer,
        plan: Plan,
        write: tuple[str, str, str],
        warnings: list[str],
        *,
        last: bool = False,
    ) -> bool:
        """Do one write; False when it is worth another try after the others. Raises StepFailed."""
        controller, file, value = write
        try:
            writer.write(f"{self._home(controller)}/{file}", value)
        except FileNotFoundError:
            instead = plan.instead.get((file, value))
            if instead is not None:
                return self._attempt(writer, plan, (controller, *instead), warnings, last=last)
            warnings.append(self._why_missing(controller, file))
        except OSError as error:
            if error.errno == errno.EINVAL and not last:
                return False
            # EOPNOTSUPP: weights of a device whose scheduler (BFQ, none …) knows none.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP):
                raise _failed(f"set {file} to {value}", error) from None
            warnings.append(f"{file} is not set to {value}: {error.strerror}")
        return True

    def _home(self, controller: str) -> str:
        """The directory to write a limit to. On a hybrid machine the v2 one is made when first needed."""
        if self.layout.version(controller) == 1:
            return self.layout.v1[controller] + self.path
        directory = self.layout.v2 + self.path
        if self.layout.mode == "hybrid" and not os.path.isdir(directory):
            tree.make_v2(self.layout.v2, self.path, self.layout.v2_controllers)
        return directory

    def _why_missing(self, controller: str, file: str) -> str:
        """Why a limit has no file here. Raises StepFailed when the whole group is missing."""
        directory = self._home(controller)
        if not os.path.isdir(directory):
            raise StepFailed(f"set {file}", f"cgroup {self.path} does not exist", errno=errno.ENOENT)
        if self.layout.version(controller) == 2 and controller != "cgroup":
            given = files.read_or_empty(f"{directory}/cgroup.controllers").split()
            if controller not in given:
                return f"{file} is not set: the {controller} controller is not delegated to {self.path}"
        return f"{file} is not set: this kernel does not have it"

    def _check_memory(self, limit: int) -> None:
        file = "memory.usage_in_bytes" if self.layout.version("memory") == 1 else "memory.current"
        used = files.read_number(f"{self.directory('memory')}/{file}")
        if used > limit:
            raise Conflict(f"memory in use ({used}) is more than the new limit ({limit})")

    def _filter_devices(self, code: bytes) -> list[str]:
        """Attach the v2 device program; a sentence where this process may not."""
        from nakagin.kernel import bpf  # only v2 needs it

        fd = self.fd()
        try:
            bpf.attach_device_program(fd, code)
        except PermissionError as error:
            return [f"access to devices is not limited: bpf: {error.strerror}"]
        except OSError as error:
            raise _failed(f"attach the device program to {self.path}", error) from None
        finally:
            os.close(fd)
        return []

    def _freezer(self) -> str:
        directory = self.directory("freezer")
        if not directory:
            raise Unsupported("cannot pause: this machine has no freezer", hint=self.layout.reason or None)
        return directory

    def _signal_all(self, number: int) -> None:
        """Signal everyone, and who appears meanwhile; for SIGKILL with forks held back where possible.

        Freezing is begun, not waited for: a process that hangs in the kernel must not save the others. Those
        that freeze can neither fork nor exit (no pid is reused); thawing lets them die (v1 needs it).
        """
        freezer = self.directory("freezer") if number == _SIGKILL else ""
        seen = {0}  # what a process of another pid namespace is called here; kill(0) would hit ourselves
        held = bool(freezer) and bool(self.pids())
        if held:
            tree.begin_freeze(freezer, self.layout.version("freezer"))
        try:
            for _ in range(_KILL_ROUNDS):
                new = set(self.pids()) - seen
                if not new:
                    break
                for pid in new:
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
                seen |= new
        finally:
            if held:
                tree.thaw(freezer, self.layout.version("freezer"))


def group_at(path: str, layout: Layout, systemd: bool) -> Group:
    """The group at `path`: systemd's scope, or one that we make ourselves."""
    if not systemd:
        return Group(path, layout)
    from .scope import Scope

    return Scope(path, layout)


def _failed(step: str, error: OSError, hint: str | None = None) -> StepFailed:
    """The step's failure, with what usually is the reason."""
    if hint is None:
        hint = {
            errno.EBUSY: "it is in use beyond that",
            errno.EINVAL: "the kernel refuses this value, or an ancestor's limit forbids it",
            errno.ENODEV: "the group was removed",
        }.get(error.errno or 0)
    return StepFailed(step, error.strerror or str(error), errno=error.errno or 0, hint=hint)
