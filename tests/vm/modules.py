"""A plugin of pytest inside the virtual machine: loads the kernel modules that lie in the archive."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_FINIT_MODULE = 313  # x86-64
#: In the order of their needs.
NAMES = (
    "llc", "stp", "garp", "mrp", "bridge", "8021q", "veth", "macvlan", "ipvlan",
    "crc32c_generic", "libcrc32c", "udp_tunnel", "ip6_udp_tunnel", "sctp",
    "nfnetlink", "nf_tables", "nf_defrag_ipv4", "nf_defrag_ipv6", "nf_conntrack", "nf_nat", "nft_ct", "nft_chain_nat",
    "overlay", "nft_nat", "nft_masq", "nft_fib", "nft_fib_ipv4", "nft_fib_ipv6", "nft_fib_inet",
    "loop", "crc16", "mbcache", "jbd2", "ext4", "quota_tree", "quota_v2",
)  # fmt: skip


def found(folder: Path) -> list[Path]:
    """Those of NAMES that are modules of the kernel whose files are below `folder`; the others are built in."""
    files = {path.name.removesuffix(".ko"): path for path in folder.rglob("*.ko")}
    return [files[name] for name in NAMES if name in files]


def pytest_configure() -> None:
    """Load what MODULES names."""
    library = ctypes.CDLL(None, use_errno=True)
    for path in Path("/modules").read_text(encoding="utf-8").split():
        fd = os.open(path, os.O_RDONLY)
        if library.syscall(_FINIT_MODULE, fd, b"", 0) < 0:
            print(f"{path}: {os.strerror(ctypes.get_errno())}")
        os.close(fd)
