"""ipvlan, VLANs and sctp, by hand and by an engine, and project quotas, on a kernel that has them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.engine_fixture import docker_cli
from tests.vm import machine, modules

from nakagin.compare.kernel import QEMU, kernel
from nakagin.errors import Unsupported
from nakagin.kernel import nftables

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/network/test_vlans.py",
    "tests/network/test_sctp.py",
    "tests/networking/test_vlans.py",
    "tests/storage/test_quota.py",
)
NEEDED = (
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/engine_fixture.py",
    "tests/forked.py",
    "tests/network_fixture.py",
    "tests/network/sandbox.py",
    "tests/network/test_networks.py",
    "tests/networking/__init__.py",
    "tests/networking/conftest.py",
    "tests/vm/modules.py",
    *TESTS,
)
PROGRAMS = ("nft", "ip", "nsenter", "mke2fs")
PACKAGES = (
    "_hypothesis_globals", "aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "certifi", "charset_normalizer",
    "docker", "frozenlist", "hypothesis", "idna", "isal", "multidict", "propcache", "requests", "sortedcontainers",
    "urllib3", "yarl", "zstandard",
)  # fmt: skip
INI = """[pytest]
addopts = -q -ra --color=no -p no:cacheprovider -p tests.vm.modules --import-mode=importlib --strict-markers
markers =
    root: is root here
    forked: is run as it is
"""


@pytest.mark.vm
@pytest.mark.alone
@pytest.mark.timeout(450)
def test_ipvlan_vlans_sctp_and_quotas_in_a_virtual_machine(tmp_path: Path) -> None:
    if platform.machine() != "x86_64" or not shutil.which(QEMU):
        pytest.skip(f"{QEMU} is not installed (apt-get install qemu-system-x86)")
    try:
        folder = Path(kernel()).parents[1]
    except Unsupported as reason:
        pytest.skip(str(reason))
    loaded = modules.found(folder)
    files = [*(ROOT / "src/nakagin").rglob("*.py"), *(ROOT / name for name in NEEDED), *loaded]
    files = [each for each in files if each.is_file()]
    programs = [_program(each) for each in PROGRAMS]
    binaries = [_library(nftables.LIBRARY), *programs]
    files += [*binaries, *machine.libraries(*binaries), Path("/bin/busybox"), Path(docker_cli())]
    listed = {"/modules": "\n".join(map(str, loaded))}
    archive = tmp_path / "initramfs"
    arguments = ["-m", "pytest", "-c", "vm.ini", *TESTS]
    archive.write_bytes(machine.initramfs(ROOT, arguments, files, INI, listed, PACKAGES))
    code, console = machine.boot(archive, 400)
    print(console)
    if code or "12 passed" not in console:
        pytest.fail(f"exit code {code}; the console said:\n{console[-8000:]}", pytrace=False)


def _program(name: str) -> Path:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"{name} is not installed: make setup-test"
    return Path(found)


def _library(name: str) -> Path:
    """Where the loader finds a library."""
    shown = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return Path(next(line.rpartition(" => ")[2] for line in shown.splitlines() if line.split()[0] == name))
