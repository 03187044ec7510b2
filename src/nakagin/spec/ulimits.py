"""The names of resource limits, as --ulimit has them: getrlimit(2) without "RLIMIT_"."""

from __future__ import annotations

ULIMITS = frozenset(
    (
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    )
)  # fmt: skip
