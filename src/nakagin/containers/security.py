"""What a container may do: capabilities, system calls, hidden and read-only paths. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nakagin.containers.defaults import CAPABILITIES, MASKED_PATHS, READONLY_PATHS
from nakagin.errors import Invalid
from nakagin.spec import seccomp_default

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

_LABELS = {"user", "role", "type", "level", "filetype", "disable"}


class SecurityOptions(NamedTuple):
    """What `--security-opt` says. `seccomp` is "" (the engine's profile), "unconfined", or a profile as JSON."""

    seccomp: str = ""
    no_new_privileges: bool = False
    apparmor: str = ""
    label: tuple[str, ...] = ()
    writable_cgroups: bool = False


def parse_options(options: Sequence[str], *, no_new_privileges: bool = False) -> SecurityOptions:
    """Docker's security options, in their "key=value" and old "key:value" forms; Invalid for anything else."""
    parsed = SecurityOptions(no_new_privileges=no_new_privileges)
    for option in options:
        key, separator, value = _split(option)
        match key:
            case "no-new-privileges":
                parsed = parsed._replace(no_new_privileges=_boolean(option, value) if separator else True)
            case "seccomp":
                parsed = parsed._replace(seccomp=_profile(value))
            case "apparmor":
                parsed = parsed._replace(apparmor=value)
            case "label":
                if value.partition(":")[0] not in _LABELS:
                    raise Invalid(f'bad SELinux option "{value}"')
                parsed = parsed._replace(label=(*parsed.label, value))
            case "writable-cgroups":
                parsed = parsed._replace(writable_cgroups=_boolean(option, value) if separator else True)
            case _:
                raise Invalid(f'invalid --security-opt 2: "{option}"')
    return parsed


def unapplied(options: SecurityOptions, *, has_apparmor: bool) -> list[str]:
    """What of the options has no effect on this machine. Docker ignores such labels too, but says nothing."""
    warnings = []
    if options.apparmor not in {"", "unconfined"} and not has_apparmor:
        warnings.append(
            f"The AppArmor profile {options.apparmor} is not applied: this machine has no AppArmor"
        )
    if any(label != "disable" for label in options.label):
        warnings.append("SELinux labels are not applied: the engine runs without them")
    return warnings


def _split(option: str) -> tuple[str, str, str]:
    separator = "=" if "=" in option else ":"
    return option.partition(separator)


def _boolean(option: str, value: str) -> bool:
    if value.lower() not in {"true", "false", "1", "0"}:
        raise Invalid(f'invalid --security-opt 2: "{option}"')
    return value.lower() in {"true", "1"}


def _profile(value: str) -> str:
    if value == "builtin":
        return ""
    if value != "unconfined":
        seccomp_default.parse(value)
    return value


def capability_names(names: Iterable[str], known: frozenset[str]) -> list[str]:
    """Normal forms ("CAP_X", "ALL"); Invalid for an unknown one."""
    normal = []
    for name in names:
        upper = name.upper()
        full = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
        if full == "CAP_ALL":
            full = "ALL"
        if full != "ALL" and full not in known:
            raise Invalid(f'invalid capability: "{name}"', hint="see capabilities(7) for the names")
        normal.append(full)
    return normal


def capabilities(
    privileged: bool, add: Iterable[str], drop: Iterable[str], known: frozenset[str], held: frozenset[str]
) -> list[str]:
    """The capabilities that are wanted of those `known` to this kernel, as far as they are `held` by the engine."""
    added, dropped = capability_names(add, known), capability_names(drop, known)
    wanted: set[str] = set(known) if privileged or "ALL" in added else set(CAPABILITIES)
    if not privileged:
        if "ALL" in dropped:
            wanted = set(known) - set(dropped) if "ALL" in added else set()
        wanted -= set(dropped)
        wanted |= set(added) - {"ALL"}
    return sorted(wanted & held)


def masked_paths(host: docker.HostConfig) -> list[str]:
    """Paths that show nothing inside: the defaults, or what the request says instead."""
    if host.privileged:
        return []
    return list(MASKED_PATHS if host.masked_paths is None else host.masked_paths)


def readonly_paths(host: docker.HostConfig) -> list[str]:
    """Paths that cannot be written inside: the defaults, or what the request says instead."""
    if host.privileged:
        return []
    return list(READONLY_PATHS if host.readonly_paths is None else host.readonly_paths)


def seccomp_filter(
    options: SecurityOptions, privileged: bool, standard: str, names: Sequence[str], machine: str, kernel: str
) -> oci.Seccomp | None:
    """The filter for a container with the capabilities `names`, or None; `standard` is the engine's own profile.

    Profiles are JSON texts, "" the built-in one, "unconfined" none. `machine` and `kernel` are of uname(1).
    """
    text = options.seccomp or ("unconfined" if privileged else standard)
    return None if text == "unconfined" else _resolved(text, tuple(names), machine, kernel)


@functools.lru_cache(maxsize=32)
def _resolved(text: str, names: tuple[str, ...], machine: str, kernel: str) -> oci.Seccomp:
    profile = seccomp_default.parse(text) if text else seccomp_default.default_profile()
    return seccomp_default.resolve(profile, names, machine, kernel)
