"""The AppArmor profile of containers that ask for none: made by us, loaded once, in the kernel until it reboots.

A second wall behind capabilities, masked paths and read-only mounts. `--security-opt apparmor=unconfined` and
`--privileged` go without it.
"""

from __future__ import annotations

import logging
import subprocess

NAME = "nakagin-default"
# What Docker calls its own, in case that a request names it.
DOCKERS = "docker-default"

_log = logging.getLogger(__name__)

_PARSER = "apparmor_parser"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_PATIENCE = 30.0  # seconds

_PROFILE = f"""
profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  unix,

  # The host may signal the container, and its processes one another.
  signal (receive) peer=unconfined,
  signal (send,receive) peer={NAME},
  ptrace (trace,read,tracedby,readby) peer={NAME},

  deny mount,

  # Of procfs a process may write what is its own; of the sysctls only those of its IPC namespace.
  deny /proc/* w,
  deny /proc/{{acpi,asound,bus,driver,fs,irq,scsi,tty}}/** w,
  deny /proc/sys/{{abi,crypto,debug,dev,fs,net,sunrpc,user,vm}}/** w,
  deny /proc/sys/kernel/[^ms]* w,
  deny /proc/sys/kernel/[^ms]*/** w,
  deny /proc/sys/kernel/m[^s]* w,
  deny /proc/sys/kernel/s[^eh]* w,
  deny /proc/sys/kernel/se[^m]* w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,

  # Of sysfs only the control groups, where they are mounted writable.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}}
"""


def profile() -> str:
    """The text that apparmor_parser(8) compiles; apparmor.d(5) has the language."""
    return _PROFILE


def load(parser: str = _PARSER, loaded: str = _LOADED) -> str:
    """Have the kernel know the profile; its name, or "" (and a warning in the log) where that is not possible."""
    if _is_loaded(loaded):
        return NAME
    try:
        done = subprocess.run(
            [parser, "-Kr"], input=_PROFILE, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        cause = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError:
        cause = f"{parser} is not installed (apt-get install apparmor)"
    except (OSError, subprocess.TimeoutExpired) as error:
        cause = str(error)
    if not cause:
        return NAME
    _log.warning("containers run without an AppArmor profile: %s", cause)
    return ""


def _is_loaded(path: str) -> bool:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return any(line.split(" (")[0] == NAME for line in file)
    except OSError:
        return False  # securityfs is not mounted, or not ours to read
