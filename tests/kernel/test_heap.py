"""One heap for all threads: seen in a process of its own, where nothing was allocated before."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, re, sys, threading
from nakagin.kernel import heap
if sys.argv[1] == "shared":
    heap.share_one()
malloc = ctypes.CDLL(None).malloc  # without the interpreter's lock: threads meet here
malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
gate = threading.Barrier(4)
def work():
    gate.wait()
    for _ in range(2000):
        malloc(5000)
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
heap.trim()
# A further heap of the C library begins at a multiple of 64 MB, and no other mapping that can be written does.
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if " rw-p " in line]
print(sum(start % (64 << 20) == 0 for start in starts))
"""


def heaps(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


def test_threads_share_one_heap() -> None:
    if heaps("several") == 0:
        pytest.skip("this C library has one heap anyway")
    assert heaps("shared") == 0
