"""The git repository that a folder belongs to, for the provenance of what is built from it."""

from __future__ import annotations

import subprocess


def repository_of(folder: str | None) -> dict[str, str]:
    """{"source": URL, "revision": commit, with -dirty where files have changed}; {} where there is none, or no git."""
    if folder is None:
        return {}
    found = {}
    if revision := _git(folder, "rev-parse", "HEAD"):
        dirty = "-dirty" if _git(folder, "status", "--porcelain", "--", ".") else ""
        found["revision"] = revision + dirty
        if url := _git(folder, "remote", "get-url", "origin"):
            found["source"] = _without_user(url)
    return found


def _git(folder: str, *words: str) -> str:
    """What git says; "" where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return "" if done.returncode else done.stdout.strip()


def _without_user(url: str) -> str:
    """https://name:password@host/… without what is nobody's business."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if mark else url
