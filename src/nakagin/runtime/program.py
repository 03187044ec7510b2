"""The user's process: from the `process` object to exact numbers. Pure, but for `observe`.

What this process may not hand on is cut down here and told as a warning: a container that asks for
more than the machine allows runs with what there is.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid
from nakagin.kernel import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec.runtime import IOPriority, Linux, MemoryPolicy, Process, Rlimit, Scheduler, Seccomp

_SYS_RESOURCE = 1 << identity.CAPABILITIES.index("CAP_SYS_RESOURCE")


class Holdings:
    """What the runtime itself holds and so can hand on: capabilities (a mask) and hard limits."""

    __slots__ = ("capabilities", "hard_limits", "may_raise_limits")

    def __init__(self, capabilities: int, hard_limits: list[int], may_raise_limits: bool) -> None:
        self.capabilities = capabilities
        self.hard_limits = hard_limits
        self.may_raise_limits = may_raise_limits


def observe(*, user_namespace: bool = False) -> Holdings:
    """The holdings of this process; with a new user namespace all capabilities are there to hand on."""
    own = identity.own_capabilities().permitted & identity.bounding_mask()
    capabilities = identity.all_capabilities() if user_namespace else own
    hard_limits = [identity.get_rlimit(number)[1] for number in range(len(identity.RLIMITS))]
    return Holdings(capabilities, hard_limits, bool(own & _SYS_RESOURCE))


class Program:
    """What is executed and as whom; masks are capability bits, rlimits are (number, soft, hard)."""

    __slots__ = (
        "ambient", "apparmor", "args", "bounding", "console_size", "cwd", "effective", "env", "final_cpus",
        "gid", "groups", "inheritable", "initial_cpus", "io_priority", "memory_policy", "no_new_privs",
        "oom_score_adj", "permitted", "personality", "rlimits", "scheduler", "seccomp", "selinux", "terminal",
        "uid", "umask", "warnings",
    )  # fmt: skip

    def __init__(self, args: list[str], cwd: str) -> None:
        self.args = args
        self.cwd = cwd
        self.env: dict[str, str] = {}
        self.terminal = False
        self.console_size: tuple[int, int] | None = None
        self.uid = 0
        self.gid = 0
        self.groups: list[int] = []
        self.umask = 0o022
        self.bounding = self.permitted = self.effective = self.inheritable = self.ambient = 0
        self.no_new_privs = False
        self.rlimits: list[tuple[int, int, int]] = []
        self.oom_score_adj: int | None = None
        self.io_priority: int | None = None
        self.scheduler: Scheduler | None = None
        self.personality: int | None = None
        self.memory_policy: MemoryPolicy | None = None
        self.initial_cpus: set[int] = set()
        self.final_cpus: set[int] = set()
        self.seccomp: Seccomp | None = None
        self.apparmor = ""
        self.selinux = ""
        self.warnings: list[str] = []

    @property
    def is_placed(self) -> bool:
        """Whether the config says where and how it runs (scheduler, CPUs, memory nodes …)."""
        asked = (self.io_priority, self.personality, self.scheduler, self.memory_policy)
        return bool(self.final_cpus) or any(each is not None for each in asked)

    def describe(self) -> list[str]:
        """For people, one line per thing that is set."""
        lines = [f"limit {identity.RLIMITS[number]} to {soft}:{hard}" for number, soft, hard in self.rlimits]
        names = [name.removeprefix("CAP_").lower() for name in identity.capability_names(self.bounding)]
        lines.append(f"keep capabilities {' '.join(names) or 'none'}")
        if self.seccomp:
            lines.append(f"filter system calls (default {self.seccomp.get('defaultAction', '')})")
        if self.no_new_privs:
            lines.append("give up gaining privileges")
        lines.append(f"become user {self.uid}:{self.gid} in {self.cwd}")
        return [*lines, f"execute {' '.join(self.args)}"]


def program(process: Process, linux: Linux, holdings: Holdings) -> Program:
    """The program for `process`. Raises Invalid with the place in the document."""
    args = process.get("args")
    if not args:
        raise Invalid("there is no command to run", where="process.args")
    cwd = process.get("cwd") or ""
    if not cwd.startswith("/"):
        raise Invalid(f"the working directory {cwd!r} is not an absolute path", where="process.cwd")
    made = Program(list(args), os.path.normpath(cwd))
    for variable in process.get("env") or ():
        name, equals, value = variable.partition("=")
        if not equals or not name or "\0" in variable:
            raise Invalid(f"{variable!r} is not NAME=VALUE", where="process.env")
        made.env[name] = value
    made.terminal = bool(process.get("terminal"))
    size = process.get("consoleSize")
    if size and made.terminal:
        made.console_size = (size["height"], size["width"])
    user = process.get("user") or {}
    made.uid, made.gid = user.get("uid", 0), user.get("gid", 0)
    made.groups = list(user.get("additionalGids") or ())
    made.umask = user.get("umask", 0o022)
    made.no_new_privs = bool(process.get("noNewPrivileges"))
    made.oom_score_adj = process.get("oomScoreAdj")
    made.seccomp = linux.get("seccomp")
    made.apparmor = process.get("apparmorProfile") or ""
    made.selinux = process.get("selinuxLabel") or ""
    made.scheduler = process.get("scheduler")
    made.memory_policy = linux.get("memoryPolicy")
    made.io_priority = _io_priority(process.get("ioPriority"))
    made.personality = _personality(linux)
    affinity = process.get("execCPUAffinity") or {}
    made.initial_cpus = cpu_list(affinity.get("initial", ""), "process.execCPUAffinity.initial")
    made.final_cpus = cpu_list(affinity.get("final", ""), "process.execCPUAffinity.final")
    _capabilities(made, process, holdings)
    made.rlimits = _rlimits(made, process.get("rlimits") or [], holdings)
    return made


def _capabilities(made: Program, process: Process, holdings: Holdings) -> None:
    """The five sets, cut down to what may be held and to what the kernel lets go together."""
    wanted = process.get("capabilities") or {}
    missing = 0
    unknown: set[str] = set()

    def mask(names: list[str] | None) -> int:
        nonlocal missing
        asked, strange = identity.capability_mask(names or [])
        unknown.update(strange)
        missing |= asked & ~holdings.capabilities
        return asked & holdings.capabilities

    made.bounding = mask(wanted.get("bounding"))
    made.permitted = mask(wanted.get("permitted"))
    made.effective = mask(wanted.get("effective")) & made.permitted
    made.inheritable = mask(wanted.get("inheritable")) & made.bounding  # the kernel wants no more
    made.ambient = mask(wanted.get("ambient")) & made.permitted & made.inheritable
    left_out = [*identity.capability_names(missing), *sorted(unknown)]
    if left_out:
        made.warnings.append(f"these capabilities are not held here and are left out: {' '.join(left_out)}")


def _rlimits(made: Program, wanted: list[Rlimit], holdings: Holdings) -> list[tuple[int, int, int]]:
    limits: dict[int, tuple[int, int, int]] = {}
    for at, limit in enumerate(wanted):
        where = f"process.rlimits[{at}]"
        name = limit.get("type", "")
        if name not in identity.RLIMITS:
            raise Invalid(f"{name!r} is not a resource limit", where=where)
        number = identity.RLIMITS.index(name)
        if number in limits:
            raise Invalid(f"{name} is given twice", where=where)
        soft, hard = limit["soft"], limit["hard"]
        most = holdings.hard_limits[number]
        if hard > most and not holdings.may_raise_limits:
            made.warnings.append(f"{name} {hard} is above this machine's hard limit and is cut to {most}")
            hard = most
        limits[number] = (number, min(soft, hard), hard)
    return list(limits.values())


_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}


def _io_priority(wanted: IOPriority | None) -> int | None:
    """The number for ioprio_set(2)."""
    if not wanted:
        return None
    kind = wanted.get("class", "")
    if kind not in _IO_CLASSES:
        raise Invalid(f"{kind!r} is not a class of I/O priority", where="process.ioPriority.class")
    level = wanted.get("priority", 0)
    if not 0 <= level <= 7:
        raise Invalid(f"{level} is not between 0 and 7", where="process.ioPriority.priority")
    return _IO_CLASSES[kind] << 13 | level


def _personality(linux: Linux) -> int | None:
    """The number for personality(2)."""
    wanted = linux.get("personality")
    if not wanted:
        return None
    domain = wanted.get("domain", "")
    if domain not in {"LINUX", "LINUX32"}:
        raise Invalid(f"{domain!r} is not a personality", where="linux.personality.domain")
    if wanted.get("flags"):
        raise Invalid("flags of a personality are not defined yet", where="linux.personality.flags")
    return 8 if domain == "LINUX32" else 0


def cpu_list(text: str, where: str) -> set[int]:
    """ "0-3,7" -> {0, 1, 2, 3, 7}; also for memory nodes."""
    cpus: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, dash, last = part.partition("-")
        try:
            cpus.update(range(int(first), int(last if dash else first) + 1))
        except ValueError:
            raise Invalid(f"{text!r} is not a list like 0-3,7", where=where) from None
    return cpus
