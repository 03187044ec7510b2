"""The midwife goes in and out of containers' roots and imports nothing: what it may need is there before."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src"
ROOMS = ("cgroups", "kernel", "monitor", "network", "runtime")
#: What only monitors, the containers' own processes and the runtime's command line import.
NOT_BY_THE_MIDWIFE = {
    "nakagin.cgroups.scope": "systemd's scopes are made by the monitor in waiting",
    "nakagin.cgroups.rdt": "a container with intelRdt is none of the midwife's",
    "nakagin.runtime.netdevices": "nor is one that is given interfaces of the host",
    "nakagin.runtime.rootless": "she is root",
    "nakagin.kernel.bpf": "of v1 nobody needs it",
    "zlib": "the monitor's log files",
}
LOADED = """
import json, sys
sys.path.insert(0, {root!r})
from nakagin.monitor import zygote
from nakagin.runtime import ahead
from nakagin.cgroups.layout import Layout
ahead.preload(Layout(*{layout!r}))
print(json.dumps(sorted(sys.modules)))
"""


def loaded(mode: str) -> set[str]:
    """Every module that the zygote has on a machine of this mode."""
    layout = ("v1", {"devices": "/x"}) if mode == "v1" else ("v2", {}, "/x")
    code = LOADED.format(root=str(ROOT), layout=layout)
    done = subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def late(modules: set[str]) -> set[str]:
    """What functions of these modules import that is not among them."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / "nakagin" / room).glob("*.py"):
            if f"nakagin.{room}.{path.stem}" in modules:
                tree = ast.parse(path.read_text())
                functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
                for node in (node for each in functions for node in ast.walk(each)):
                    found |= {name for name in _imported(node, room) if name not in modules}
    return found


def _imported(node: ast.AST, room: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = ".".join(filter(None, (f"nakagin.{room}" if node.level else "", node.module)))
    below = [f"{base}.{each.name}" for each in node.names]
    files = [name for name in below if (ROOT / (name.replace(".", "/") + ".py")).exists()]
    return files or [base]


@pytest.mark.parametrize("mode", ["v1", "v2"])
def test_nothing_is_imported_late(mode: str) -> None:
    allowed = set(NOT_BY_THE_MIDWIFE) - ({"nakagin.kernel.bpf"} if mode == "v2" else set())
    assert late(loaded(mode)) == allowed
