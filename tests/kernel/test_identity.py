"""Capabilities and limits of processes."""

from __future__ import annotations

import os
import resource

import pytest

from nakagin.kernel import identity, process
from nakagin.kernel.calls import perform

pytestmark = pytest.mark.forked


def test_names_and_masks() -> None:
    assert identity.capability_mask(["CAP_CHOWN", "CAP_KILL", "CAP_X"]) == (1 | 1 << 5, ["CAP_X"])
    assert identity.capability_names(1 | 1 << 5) == ["CAP_CHOWN", "CAP_KILL"]


def test_own_sets_are_those_of_proc() -> None:
    with open("/proc/self/status") as file:
        shown = dict(line.rstrip().split(":\t") for line in file if line.startswith("Cap"))
    own = identity.own_capabilities()
    assert (own.permitted, own.effective) == (int(shown["CapPrm"], 16), int(shown["CapEff"], 16))
    assert identity.bounding_mask() == int(shown["CapBnd"], 16)
    assert identity.bounding_mask() & ~identity.all_capabilities() == 0


@pytest.mark.root
def test_what_is_dropped_is_gone() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        try:
            keep = identity.capability_mask(["CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"])[0]
            kill = identity.capability_mask(["CAP_KILL"])[0]
            perform(identity.bounding_calls(keep, identity.bounding_mask()))
            perform(identity.user_calls(12, 34, [56]))
            perform(identity.capability_calls(identity.CapabilitySets(kill, kill, kill)))
            perform(identity.ambient_calls(kill))
            own = identity.own_capabilities()
            right = (
                identity.bounding_mask() == keep
                and (own.permitted, own.effective, own.inheritable) == (kill,) * 3
                and (os.getresuid(), os.getresgid(), os.getgroups()) == ((12,) * 3, (34,) * 3, [56])
            )
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert process.wait_pidfd(pidfd) == 0
    os.close(pidfd)


def test_limits() -> None:
    number = identity.RLIMITS.index("RLIMIT_NOFILE")
    assert identity.get_rlimit(number) == resource.getrlimit(resource.RLIMIT_NOFILE)
    pid, pidfd = process.clone3(0)
    if pid == 0:
        perform([identity.rlimit_call(number, 50, 60)])
        os._exit(0 if resource.getrlimit(resource.RLIMIT_NOFILE) == (50, 60) else 1)
    assert process.wait_pidfd(pidfd) == 0
    os.close(pidfd)
