"""Which containers are plain enough to be made from outside (tests/spine/test_plain.py: they are the same)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nakagin.cgroups.layout import Layout
from nakagin.kernel.automaton import Automaton
from nakagin.runtime import become, filters
from nakagin.runtime.init import Birth
from nakagin.runtime.outside import Misfit, Outside
from nakagin.runtime.plan import plan
from tests.runtime.box import make_config

LAYOUT = Layout("v1", {"memory": "/sys/fs/cgroup/memory"})
Change = Callable[[dict[str, Any]], object]


def never(_flags: int, _cgroup: int) -> Automaton:
    raise AssertionError


@cache
def outside() -> Outside:
    """One for all: it keeps descriptors of its namespaces for as long as the process lives."""
    return Outside(never)


def check(config: Any) -> None:
    planned = plan(config, bundle="/b", holdings=outside().own.holdings, layout=LAYOUT, group="/g")
    birth = Birth({})
    birth.stdio = (0, 1, 2)
    if planned.program.seccomp:
        birth.filter = filters.compile_filter(planned.program.seccomp, {})
    outside().check(planned, birth)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A plain one, in a process that was executed from a read-only mount as the midwife is."""
    monkeypatch.setattr(become, "SEALED", True)
    return make_config(Path("/rootfs"), "true")


def mount(**fields: Any) -> Change:
    return lambda config: config["mounts"].append({"destination": "/mnt", **fields})


PLAIN: dict[str, Change] = {
    "as it is": lambda config: None,
    "the host's network": lambda config: config["linux"]["namespaces"].remove({"type": "network"}),
    "a bind": mount(type="bind", source="/srv", options=["rbind", "ro"]),
    "a filter": lambda config: config["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW"}),
    "a profile": lambda config: config["process"].update(apparmorProfile="x"),
    "a user": lambda config: config["process"]["user"].update(uid=1000, gid=1000),
}
NOT_PLAIN: dict[str, Change] = {
    "the host's processes": lambda config: config["linux"]["namespaces"].remove({"type": "pid"}),
    "another's network": lambda config: config["linux"]["namespaces"][1].update(path="/proc/1/ns/net"),
    "ids of its own": lambda config: (
        config["linux"]["namespaces"].append({"type": "user"}),
        config["linux"].update(
            {key: [{"containerID": 0, "hostID": 0, "size": 9}] for key in ("uidMappings", "gidMappings")}
        ),
    ),
    "clocks of its own": lambda config: config["linux"]["namespaces"].append({"type": "time"}),
    "a terminal": lambda config: config["process"].update(terminal=True),
    "a hook": lambda config: config.update(hooks={"poststop": [{"path": "/bin/true"}]}),
    "another score": lambda config: config["process"].update(oomScoreAdj=777),
    "a label": lambda config: config["process"].update(selinuxLabel="x"),
    "a place": lambda config: config["process"].update(scheduler={"policy": "SCHED_BATCH"}),
    "propagation": lambda config: config["linux"].update(rootfsPropagation="rshared"),
    "copied files": mount(type="tmpfs", source="tmpfs", options=["tmpcopyup"]),
    "a disk": mount(type="ext4", source="/dev/sda1"),
    "a long environment": lambda config: config["process"]["env"].append("A=" + "x" * 40_000),
    "a listener": lambda config: config["linux"].update(
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/run/x",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        }
    ),
}


@pytest.mark.parametrize("change", PLAIN.values(), ids=PLAIN)
def test_plain(config: dict[str, Any], change: Change) -> None:
    change(config)
    check(config)


@pytest.mark.parametrize("change", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_not_plain(config: dict[str, Any], change: Change) -> None:
    change(config)
    with pytest.raises(Misfit):
        check(config)


def test_not_from_an_interpreter_that_could_be_written(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2019-5736: without the launcher only a sealed interpreter is safe."""
    monkeypatch.setattr(become, "SEALED", False)
    with pytest.raises(Misfit):
        check(config)
