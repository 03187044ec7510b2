"""The tests of real groups, device programs and filters once more, on a kernel with nothing but cgroup v2."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.vm import machine

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/cgroups/test_group.py",
    "tests/cgroups/test_stats.py",
    "tests/cgroups/test_layout.py",
    "tests/kernel/test_bpf.py",
    "tests/kernel/test_seccomp.py",
)
INI = """[pytest]
addopts = -q -ra --color=no -p no:cacheprovider --import-mode=importlib --strict-markers
markers =
    root: is root here
    alone: timing; left out here, the machine is emulated
"""


@pytest.mark.vm
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_cgroup_v2_in_a_virtual_machine(tmp_path: Path) -> None:
    if platform.machine() != "x86_64" or not shutil.which(machine.QEMU):
        pytest.skip(f"{machine.QEMU} is not installed (apt-get install qemu-system-x86)")
    if not shutil.which("apt-get"):
        pytest.skip("the kernel comes from a Debian package")
    try:
        machine.kernel()
    except (subprocess.CalledProcessError, StopIteration):
        pytest.skip(f"apt knows no {machine.PACKAGE} (apt-get update)")
    files = [*(ROOT / "src/nakagin").rglob("*.py"), *(ROOT / name for name in TESTS)]
    files += [
        path for path in (ROOT / "tests/__init__.py", ROOT / "tests/cgroups/conftest.py") if path.exists()
    ]
    archive = tmp_path / "initramfs"
    arguments = ["-m", "pytest", "-c", "vm.ini", "-m", "not alone", *TESTS]
    archive.write_bytes(machine.initramfs(ROOT, arguments, files, INI))
    code, console = machine.boot(archive, 240)
    print(console)
    if code or " passed" not in console:
        pytest.fail(f"exit code {code}; the console said:\n{console[-8000:]}", pytrace=False)
