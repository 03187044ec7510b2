"""The list of everything an OCI runtime must know, row by row, where it lies beside the repository.

A row is either found in the code that acts on it, or named here with the reason why not; and what is named
here is in docs/runtime.md too.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from nakagin.kernel import namespaces, scheduling, seccomp
from nakagin.runtime import command, options
from nakagin.runtime.verbs import features

ROOT = Path(__file__).parents[2]
LISTS = (ROOT.parent / "shared/surface", ROOT.parents[1] / "shared/surface")

# Rows that are refused or ignored on purpose.
REFUSED = {
    "OCIRT.op.checkpoint": "refused: no CRIU",
    "OCIRT.op.restore": "refused: no CRIU",
    "OCIRT.solaris": "another platform",
    "OCIRT.windows": "another platform",
    "OCIRT.vm": "another platform",
    "OCIRT.zos": "another platform",
    "OCIRT.freebsd": "another platform",
    "OCIRT.process.commandLine": "Windows",
    "OCIRT.process.user.username": "Windows",
    "OCIRT.linux.resources.memory.useHierarchy": "the only way since Linux 5.11; runc ignores it too",
}
# Values that Linux does not have, though the specification lists them.
NOT_IN_LINUX = {"SCHED_ISO"}
# Which tests show the rows that are deeds and not words.
SHOWN = {
    "OCIRT.linux.fds": "test_become", "OCIRT.linux.devlinks": "test_furnish",
    "OCIRT.linux.default-devices": "test_furnish", "OCIRT.linux.ptmx": "test_furnish",
    "OCIRT.linux.default-fs": "test_furnish", "OCIRT.linux.cgroup-v2": "../cgroups/test_limits",
    "OCIRT.linux.cgroup-path": "../cgroups/test_paths", "OCIRT.linux.userns-map": "test_init",
    "OCIRT.linux.masked": "test_furnish", "OCIRT.linux.seccomp-listener": "test_listener",
    "OCIRT.linux.idmap-mount": "test_furnish", "OCIRT.linux.mount-options": "test_options",
    "OCIRT.linux.no-new-privs": "test_become", "OCIRT.linux.caps-order": "test_become",
    "OCIRT.linux.rlimits-dup": "test_program", "OCIRT.linux.oom-score": "test_become",
    "OCIRT.linux.rootfs-prop": "test_init", "OCIRT.linux.exec-path": "test_become",
    "OCIRT.linux.cwd": "test_security", "OCIRT.linux.time-ns": "test_init",
    "OCIRT.linux.net-devices": "test_netdevices", "OCIRT.linux.memory-policy": "test_become",
    "OCIRT.linux.intelrdt": "../cgroups/test_rdt", "OCIRT.life": "test_container", "OCIRT.hook": "test_hooks",
    "OCIRT.error": "test_container", "OCIRT.warn": "test_become", "OCIRT.status": "test_container",
    "OCIRT.state": "test_container",
}  # fmt: skip


@cache
def rows() -> list[tuple[str, str, str]]:
    """(id, area, item)."""
    for folder in LISTS:
        path = folder / "oci-runtime.tsv"
        if path.exists():
            lines = path.read_text().splitlines()[1:]
            return [(fields[0], fields[1], fields[2]) for line in lines if (fields := line.split("\t"))]
    return []


def of(*areas: str) -> list[tuple[str, str]]:
    found = [(name, item) for name, area, item in rows() if area in areas and name not in REFUSED]
    if not found:
        pytest.skip("the list is not beside this repository")
    return found


@cache
def sources() -> str:
    """The code that acts on a config; the words alone (spec/) do not count."""
    package = ROOT / "src/nakagin"
    files = [path for room in ("runtime", "cgroups", "kernel") for path in (package / room).rglob("*.py")]
    return "\n".join(path.read_text() for path in files)


def test_every_key_of_a_config_is_acted_on() -> None:
    missing = []
    for name, item in of("config"):
        key = re.sub(r"\[\]|\{\}", "", item.rpartition(".")[2])
        if not re.search(rf"[\"']{re.escape(key)}[\"']", sources()):
            missing.append(name)
    assert not missing


def test_every_key_of_a_config_occurs_in_a_test() -> None:
    folders = [ROOT / "tests" / room for room in ("runtime", "cgroups", "kernel", "vm")]
    files = [path for folder in folders for path in folder.rglob("*.py") if path != Path(__file__)]
    text = "\n".join(path.read_text() for path in files)
    missing = []
    for name, item in of("config"):
        key = re.sub(r"\[\]|\{\}", "", item.rpartition(".")[2])
        if not re.search(rf"\b{re.escape(key)}\b", text):
            missing.append(name)
    assert not missing


def test_every_value_is_known() -> None:  # and what each of them does: test_values.py
    known = {
        *seccomp.ARCHITECTURES, *seccomp.ACTIONS, *seccomp.FLAGS, *seccomp.OPERATORS, *scheduling.POLICIES,
        *scheduling.SCHEDULER_FLAGS, *scheduling.MEMORY_MODES, *scheduling.MEMORY_FLAGS, *namespaces.KINDS,
        *options.PROPAGATION, *NOT_IN_LINUX,
    }  # fmt: skip
    missing = [
        name
        for name, item in of("enum")
        if (value := item.split()[-1]) not in known
        and not re.search(rf"[\"']{re.escape(value)}[\"']", sources())
    ]
    assert not missing


def test_every_feature_is_told() -> None:
    text = Path(features.__file__).read_text()
    missing = [name for name, item in of("features") if f'"{item.rpartition(".")[2]}"' not in text]
    assert not missing


def test_every_verb_and_option_of_the_command_line() -> None:
    accepted = {*command.GLOBAL, *(option for verb in command.VERBS.values() for option in verb.options)}
    missing = []
    for name, item in of("runc CLI", "operation"):
        verb = name.removeprefix("OCIRT.op.")
        if name.startswith("OCIRT.op.") and verb not in command.VERBS:
            missing.append(name)
        missing += [
            f"{name} {option}" for option in re.findall(r"--([a-z-]+)", item) if option not in accepted
        ]
    assert not missing


def test_every_deed_has_its_tests() -> None:
    missing = []
    for name, _ in of("linux runtime", "lifecycle", "hook", "rule", "state", "state value"):
        file = SHOWN.get(name) or SHOWN.get(name.rpartition(".")[0])
        if file is None or not (Path(__file__).parent / f"{file}.py").exists():
            missing.append(name)
    assert not missing


def test_no_row_is_of_a_kind_that_nobody_looks_at() -> None:
    looked_at = {
        "config", "enum", "features", "runc CLI", "operation", "linux runtime", "lifecycle", "hook", "rule", "state",
        "state value", "other-platform",
    }  # fmt: skip
    assert {area for _, area, _ in rows()} <= looked_at


def test_what_is_refused_is_documented() -> None:
    text = (ROOT / "docs/runtime.md").read_text()
    for word in {name.rpartition(".")[2] for name in REFUSED} | NOT_IN_LINUX:
        assert word in text
