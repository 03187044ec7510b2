"""The last stage of a compiled program: a small Debian, an ordinary user, the program and nothing to build with."""

from __future__ import annotations

from nakagin.init import debian

BASE = "debian:bookworm-slim"


def final(
    copy: str, command: str, port: int, check: str, *, certificates: bool = False, libraries: str = ""
) -> str:
    """`copy` are the words of its COPY, `command` the JSON of its CMD."""
    packages = " ".join(filter(None, ("ca-certificates" if certificates else "", libraries)))
    install = debian.install(packages) + "\n" if packages else ""
    serve = f"EXPOSE {port}\n{check}\n" if port else ""
    return (
        f"FROM {BASE}\n"
        f"{install}"
        "RUN useradd --system --uid 10001 app\n"
        f"COPY {copy}\n"
        "USER app\n"
        f"{serve}"
        f"CMD {command}\n"
    )
