"""What a process that makes many containers imports ahead."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cgroups import layout


def preload(machine: layout.Layout) -> None:
    """Import what only some containers need and is imported at its use, for the sake of the command line.

    For a process that forks: what it has not imported, every child would import anew, and the midwife could not.
    """
    from nakagin.kernel import seccomp
    from nakagin.runtime import copy_up, enter, filters, idmap, listener, outside, placement, quick

    assert all((seccomp, copy_up, enter, filters, idmap, listener, outside, placement, quick))
    if machine.version("devices") == 2:
        from nakagin.kernel import bpf

        assert bpf
