"""From `linux.cgroupsPath` to the group's logical path, for cgroupfs and for `--systemd-cgroup`. Pure."""

from __future__ import annotations

import os.path

from nakagin.errors import Invalid

_DEFAULT_PARENT = "/nakagin"


def container_path(
    cgroups_path: str, container_id: str, *, systemd: bool = False, parent: str = _DEFAULT_PARENT
) -> str:
    """The absolute logical path of the container's group; it never leads above the hierarchy's top.

    An absolute path is taken as it is, a relative one lies below `parent`, none is `parent`/`container_id`.
    With `systemd` the path is "slice:prefix:name" and becomes the scope's path that systemd would use.
    Raises Invalid.
    """
    if systemd:
        return _systemd_path(cgroups_path, container_id)
    if ":" in cgroups_path and not cgroups_path.startswith("/"):
        raise Invalid(
            f"{cgroups_path!r} is a path for systemd",
            where="linux.cgroupsPath",
            hint="give --systemd-cgroup or a path of directories",
        )
    if not cgroups_path.startswith("/"):
        cgroups_path = f"{parent}/{cgroups_path or container_id}"
    path = "/" + os.path.normpath("/" + cgroups_path).lstrip("/")
    if path == "/":
        raise Invalid("the top of the hierarchy cannot be a container's group", where="linux.cgroupsPath")
    return path


def _systemd_path(cgroups_path: str, container_id: str) -> str:
    """ "machine.slice:libpod:1234" is /machine.slice/libpod-1234.scope (runc's docs/systemd.md)."""
    parts = cgroups_path.split(":") if cgroups_path else ["", "nakagin", container_id]
    if len(parts) != 3 or not parts[2] or any("/" in part for part in parts):
        raise Invalid(
            f"{cgroups_path!r} is not slice:prefix:name",
            where="linux.cgroupsPath",
            hint="as --systemd-cgroup asks",
        )
    slice_name, prefix, name = parts
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return f"{_slice_path(slice_name or 'system.slice')}/{unit}"


def _slice_path(name: str) -> str:
    """Dashes nest: "a-b.slice" lies in "a.slice" (systemd.slice(5)); "-.slice" is the top."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or suffix != "slice" or (stem != "-" and "" in stem.split("-")):
        raise Invalid(f"{name!r} is not a slice", where="linux.cgroupsPath")
    if stem == "-":
        return ""
    words = stem.split("-")
    return "".join(f"/{'-'.join(words[: count + 1])}.slice" for count in range(len(words)))
