"""Once more on a kernel with nothing but cgroup v2, and with AppArmor: groups, device programs, filters, runtimes."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.vm import machine

from nakagin.compare.kernel import QEMU, kernel
from nakagin.containers import apparmor
from nakagin.errors import Unsupported

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/cgroups/test_group.py",
    "tests/cgroups/test_stats.py",
    "tests/cgroups/test_layout.py",
    "tests/kernel/test_bpf.py",
    "tests/kernel/test_seccomp.py",
    "tests/monitor/test_life.py",
)
NEEDED = ("tests/monitor/test_monitor.py",)
RUNTIMES = ("/usr/bin/crun", "/usr/sbin/runc")
INI = """[pytest]
addopts = -q -ra --color=no -p no:cacheprovider --import-mode=importlib --strict-markers
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
markers =
    root: is root here
    forked: is run as it is
    alone: timing; left out here, the machine is emulated
"""


@pytest.mark.vm
@pytest.mark.alone
@pytest.mark.timeout(700)
def test_cgroup_v2_in_a_virtual_machine(tmp_path: Path) -> None:
    if platform.machine() != "x86_64" or not shutil.which(QEMU):
        pytest.skip(f"{QEMU} is not installed (apt-get install qemu-system-x86)")
    try:
        kernel()
    except Unsupported as reason:
        pytest.skip(str(reason))
    files = [*(ROOT / "src/nakagin").rglob("*.py"), *(ROOT / name for name in (*TESTS, *NEEDED))]
    files += ROOT.glob("tests/**/__init__.py")
    files += [ROOT / "tests/cgroups/conftest.py", Path("/bin/busybox")]
    runtimes = [Path(name) for name in RUNTIMES if Path(name).exists()]
    files += [*runtimes, *machine.libraries(*runtimes)]
    archive = tmp_path / "initramfs"
    arguments = ["-m", "pytest", "-c", "vm.ini", "-m", "not alone", *TESTS]
    archive.write_bytes(machine.initramfs(ROOT, arguments, files, INI, compiled_profile()))
    code, console = machine.boot(archive, 600)
    print(console)
    if code or " passed" not in console:
        pytest.fail(f"exit code {code}; the console said:\n{console[-8000:]}", pytrace=False)


def compiled_profile() -> dict[str, bytes]:
    """Our AppArmor profile as the kernel takes it; nothing where its compiler is not installed."""
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    if not parser:
        return {}
    command = [parser, "-S", "-Q", "-K"]
    done = subprocess.run(command, input=apparmor.profile().encode(), capture_output=True, check=True)
    return {"/profile": done.stdout}
