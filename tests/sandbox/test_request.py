"""What a sandbox asks of the engine, and that asking is quick: its start is felt at every use."""

from __future__ import annotations

import os
import subprocess
import sys

from nakagin.sandbox.request import environment, options, private

HEAVY = (
    "typing",
    "re",
    "dataclasses",
    "enum",
    "asyncio",
    "inspect",
    "json.encoder",
    "urllib.parse",
    "tempfile",
)
START = "main, registry, flags, verbs.sandbox, conversation, relay, connect, door"
LOADED = f"""
import sys
sys.path.insert(0, {os.path.abspath("src")!r})
for name in {START!r}.split(", "):
    __import__("nakagin.cli." + name)
for name in ("sandbox.request", "sandbox.secrets", "client.containers", "client.requests", "client.hijack"):
    __import__("nakagin." + name)
print(*sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def test_a_start_loads_nothing_heavy() -> None:
    """Each of these would cost as much as a part of the interpreter's own start."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def asked(folder: str, mode: str = "overlay") -> dict[str, object]:
    return dict(
        options(
            folder=folder, mode=mode, user=(1000, 1000, [1000, 5]), copied=["/home"], masked=["/etc/shadow"],
            environment={"A": "b"}, network="none", memory=0, cpus=0.5, pids=9, tty=False,
        )
    )  # fmt: skip


def test_the_folder_as_it_is_wished() -> None:
    assert asked("/work")["rootfs"] == "/:overlay"
    host = asked("/work", "read-only")["host_config"]
    assert isinstance(host, dict)
    assert host["Binds"] == ["/home:/home:O"]
    assert host["Mounts"] == [{"Type": "bind", "Source": "/work", "Target": "/work", "ReadOnly": True}]
    assert host["GroupAdd"] == ["5"]
    assert "/etc/shadow" in host["MaskedPaths"]
    assert "memory" not in asked("/work")


def test_what_is_empty_inside() -> None:
    assert list(private("/home/me", [])) == ["/tmp", "/run"]
    assert list(private("/tmp/x", [])) == ["/run"]
    assert list(private("/tmpx", [])) == ["/tmp", "/run"]


def test_a_file_system_of_its_own_in_what_is_empty() -> None:
    assert list(private("/tmp/x", ["/tmp"])) == ["/run"]
    assert list(private("/run/user/5/x", ["/home", "/run/user/5"])) == ["/tmp", "/run"]
    assert list(private("/run/user/5/x", ["/home", "/run"])) == ["/tmp"]


def test_few_variables_go_in() -> None:
    caller = {"PATH": "/bin", "API_KEY": "secret", "LC_ALL": "C", "MINE": "1"}
    assert environment(["MINE", "X=y", "NOT_THERE"], caller) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "MINE": "1",
        "X": "y",
    }
