"""Id maps without root: the caller's own id alone, or ranges through newuidmap(1) and newgidmap(1)."""

from __future__ import annotations

import os

from nakagin.errors import StepFailed


def write_maps(pid: int, uid_map: str, gid_map: str) -> None:
    """Write the maps of `pid`'s new user namespace. Raises OSError or StepFailed."""
    own = _is_own(uid_map, os.geteuid()) and _is_own(gid_map, os.getegid())
    if own:
        # Without privilege the kernel wants setgroups(2) off before a gid map (user_namespaces(7)).
        for name, text in (("setgroups", "deny"), ("gid_map", gid_map), ("uid_map", uid_map)):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(text)
        return
    for tool, text in (("newgidmap", gid_map), ("newuidmap", uid_map)):
        argv = [tool, str(pid), *text.split()]
        try:
            child = os.posix_spawnp(tool, argv, os.environ)
        except FileNotFoundError:
            raise StepFailed(
                f"map ids with {tool}", "not installed", errno=2, hint="install uidmap"
            ) from None
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            hint = "see /etc/subuid and /etc/subgid"
            raise StepFailed(f"map ids with {' '.join(argv)}", f"exit code {code}", hint=hint)


def _is_own(text: str, own: int) -> bool:
    """Whether the map has one line of one id: the caller's own."""
    fields = text.split()
    return len(fields) == 3 and fields[1:] == [str(own), "1"]
