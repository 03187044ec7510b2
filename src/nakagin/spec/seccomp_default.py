"""System call filter profiles in Docker's format: the default one, and how a profile becomes an OCI section.

The default allows what is listed and answers EPERM to all else: kernel modules, clocks, keyrings,
kexec, mounts, new namespaces, BPF, io_uring and whatever else a container's namespaces do not cover. A
capability that the user adds opens the calls that it is for. Source: Docker's documentation of
seccomp profiles.
"""

from __future__ import annotations

import errno

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, TypedDict

    from nakagin.spec.runtime import Seccomp, SeccompArg, SeccompRule

    class Filter(TypedDict, total=False):
        """When a rule counts: on these Go architectures, with these capabilities, from this kernel on."""

        arches: list[str]
        caps: list[str]
        minKernel: str

    class Rule(SeccompRule, total=False):
        name: str
        comment: str
        includes: Filter
        excludes: Filter

    class ArchitectureMap(TypedDict, total=False):
        architecture: str
        subArchitectures: list[str] | None

    class Profile(TypedDict, total=False):
        defaultAction: str
        defaultErrnoRet: int
        archMap: list[ArchitectureMap]
        architectures: list[str]
        flags: list[str]
        listenerPath: str
        listenerMetadata: str
        syscalls: list[Rule]


# By machine (uname -m): libseccomp's word, and Go's, which the profiles' `arches` use.
_MACHINES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
    futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64
    mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64
    preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat
    renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync
    sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64
    utimes vmsplice write writev
"""
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
    llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_ASYNCHRONOUS_IO = """
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect remap_file_pages
"""
_PROCESSES = """
    execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
    getrusage getsid gettid get_robust_list get_thread_area ioprio_get ioprio_set kill pause pidfd_open
    pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq sched_getaffinity
    sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield setpgid setpriority setrlimit setsid set_robust_list set_thread_area
    set_tid_address sysinfo tgkill times tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid
"""
_SIGNALS = """
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn
"""
_IDENTITY = """
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset
    landlock_restrict_self seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setuid setuid32
"""
_NETWORK = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_MESSAGES = """
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
    msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
"""
# Setting a clock needs CAP_SYS_TIME anyway; reading it through adjtimex does not.
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64
"""

_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount
        mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname
        setns statmount syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

_AF_VSOCK = 40
# CLONE_NEW{CGROUP,UTS,IPC,USER,PID,NET,NS}: a clone with any of these makes a namespace.
_NEW_NAMESPACES = 0x7E020000
# personality(2): Linux, Linux on 32 bits, the same with UNAME26, and "tell me which".
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def _allow(
    names: str, *args: SeccompArg, includes: Filter | None = None, excludes: Filter | None = None
) -> Rule:
    rule: Rule = {"names": sorted(names.split()), "action": "SCMP_ACT_ALLOW"}
    if args:
        rule["args"] = [*args]
    if includes:
        rule["includes"] = includes
    if excludes:
        rule["excludes"] = excludes
    return rule


def _when(index: int, op: str, value: int, value_two: int = 0) -> SeccompArg:
    return {"index": index, "value": value, "valueTwo": value_two, "op": op}


def default_profile() -> Profile:
    """The default profile, as a new document in Docker's format."""
    unconditional = (
        _FILES
        + _ATTRIBUTES
        + _WAITING
        + _ASYNCHRONOUS_IO
        + _MEMORY
        + _PROCESSES
        + _SIGNALS
        + _IDENTITY
        + _NETWORK
    )
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "archMap": [
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            },
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": [
            _allow(unconditional + _MESSAGES + _TIME),
            # Before 4.8 ptrace could change a system call after the filter had seen it.
            _allow("process_vm_readv process_vm_writev ptrace", includes={"minKernel": "4.8"}),
            # Virtual machine sockets are not part of any network namespace.
            _allow("socket", _when(0, "SCMP_CMP_NE", _AF_VSOCK)),
            *(_allow("personality", _when(0, "SCMP_CMP_EQ", value)) for value in _PERSONALITIES),
            _allow(
                "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
                includes={"arches": ["arm", "arm64"]},
            ),
            _allow("arch_prctl", includes={"arches": ["amd64", "x32"]}),
            _allow("modify_ldt", includes={"arches": ["amd64", "x32", "x86"]}),
            *(_allow(names, includes={"caps": [capability]}) for capability, names in _BY_CAPABILITY.items()),
            _allow(
                "clone",
                _when(0, "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES),
                excludes={"caps": ["CAP_SYS_ADMIN"]},
            ),
            # clone3's flags are in memory, where a filter cannot look: ENOSYS sends the C library to clone.
            {
                "names": ["clone3"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": errno.ENOSYS,
                "excludes": {"caps": ["CAP_SYS_ADMIN"]},
            },
        ],
    }


def resolve(profile: Profile, capabilities: Collection[str], machine: str, kernel_release: str) -> Seccomp:
    """The OCI section for a container: the rules that count for its capabilities (the bounding set), this
    machine (uname -m) and kernel (uname -r). Pure. Raises Invalid for a contradictory profile."""
    architecture, go_name = _MACHINES.get(machine, (f"SCMP_ARCH_{machine.upper()}", machine))
    section: Seccomp = {"defaultAction": profile.get("defaultAction") or ""}
    if not section["defaultAction"]:
        raise Invalid("defaultAction is missing", where="seccomp profile")
    architectures = _architectures(profile, architecture)
    if architectures:
        section["architectures"] = architectures
    for key in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
        if profile.get(key) is not None:
            section[key] = profile[key]
    facts = (go_name, frozenset(capabilities), _version(kernel_release))
    section["syscalls"] = [
        _bare(rule, index)
        for index, rule in enumerate(profile.get("syscalls") or ())
        if _included(rule.get("includes") or {}, *facts) and not _excluded(rule.get("excludes") or {}, *facts)
    ]
    return section


def parse(text: str | bytes) -> Profile:
    """A profile of the user's (`--security-opt seccomp=FILE`). Raises Invalid."""
    import json  # only the engine comes here

    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise Invalid(f"not JSON: {error}", where="seccomp profile") from None
    if not isinstance(document, dict) or not isinstance(document.get("syscalls") or [], list):
        raise Invalid("not a profile", where="seccomp profile", hint="it is an object with syscalls")
    profile: Profile = document  # type: ignore[assignment]
    for index, rule in enumerate(profile.get("syscalls") or ()):
        _bare(rule, index)
    return profile


def _architectures(profile: Profile, native: str) -> list[str]:
    if profile.get("architectures"):
        if profile.get("archMap"):
            raise Invalid("has both architectures and archMap", where="seccomp profile")
        return list(profile["architectures"])
    for entry in profile.get("archMap") or ():
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return []


def _bare(rule: Rule, index: int) -> SeccompRule:
    """The rule without its conditions."""
    where = f"seccomp profile: syscalls[{index}]"
    if not isinstance(rule, dict) or not rule.get("action"):
        raise Invalid("has no action", where=where)
    if rule.get("name") and rule.get("names"):
        raise Invalid("has both name and names", where=where)
    bare: SeccompRule = {"names": [rule["name"]] if rule.get("name") else [*(rule.get("names") or ())]}
    if not bare["names"]:
        raise Invalid("names no system call", where=where)
    bare["action"] = rule["action"]
    if rule.get("errnoRet") is not None:
        bare["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        bare["args"] = [*rule["args"]]
    return bare


def _included(when: Filter, machine: str, capabilities: frozenset[str], kernel: tuple[int, int]) -> bool:
    """Every condition that is given holds."""
    if when.get("arches") and machine not in when["arches"]:
        return False
    if not capabilities.issuperset(when.get("caps") or ()):
        return False
    return not when.get("minKernel") or kernel >= _version(when["minKernel"])


def _excluded(when: Filter, machine: str, capabilities: frozenset[str], kernel: tuple[int, int]) -> bool:
    """Any condition that is given holds."""
    if machine in (when.get("arches") or ()) or not capabilities.isdisjoint(when.get("caps") or ()):
        return True
    return bool(when.get("minKernel")) and kernel >= _version(when["minKernel"])


def _version(release: str) -> tuple[int, int]:
    """(major, minor) of "6.1.0-18-amd64" or "4.8"."""
    major, _, rest = release.partition(".")
    minor = ""
    for character in rest:
        if not character.isdecimal():
            break
        minor += character
    try:
        return int(major), int(minor or 0)
    except ValueError:
        raise Invalid(f"{release!r} is not a kernel version", where="seccomp profile") from None
