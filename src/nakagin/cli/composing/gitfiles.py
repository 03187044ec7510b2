"""Projects in git repositories: `https://host/team/shop.git#REF:FOLDER` as files; a commit is fetched once and kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile

from nakagin.cli.composing.cache import cache_folder
from nakagin.compose.environment import files_in
from nakagin.errors import CommandFailed, Invalid, NotFound

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: Seconds for one step of git.
_PATIENCE = 300


def fetch(name: str) -> list[str]:
    """The paths of a project's Compose files. Raises NotFound, CommandFailed with git's words, Invalid."""
    remote, _, fragment = name.partition("#")
    ref, _, inside = fragment.partition(":")
    if ref.startswith("-"):
        raise Invalid(f"{name}: {ref!r} is no branch, tag or commit")
    if remote.startswith("github.com/"):
        remote = f"https://{remote}"
    commit = ref if _COMMIT.fullmatch(ref) else _resolve(remote, ref or "HEAD")
    title = re.split(r"[/:]", remote.rstrip("/"))[-1].removesuffix(".git") or "project"
    folder = os.path.join(cache_folder(), "git", commit, title)
    if not os.path.isdir(folder):
        _clone(remote, commit, folder)
    return _files(folder, inside, name)


def _files(folder: str, inside: str, name: str) -> list[str]:
    path = os.path.normpath(os.path.join(folder, inside.lstrip("/")))
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if real != root and not real.startswith(root + os.sep):
        raise Invalid(f"{name}: {inside!r} leads out of the repository")
    if os.path.isfile(path):
        return [path]
    found = files_in(path) if os.path.isdir(path) else []
    if not found:
        raise NotFound(
            f"{name}: no Compose file there", hint="name it behind a colon: …git#main:folder/compose.yaml"
        )
    return found


def _resolve(remote: str, ref: str) -> str:
    told = _git("ls-remote", "--exit-code", "--", remote, ref, f"{ref}^{{}}").splitlines()
    names = {name: commit for commit, _, name in (line.partition("\t") for line in told)}
    for wanted in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref):
        if wanted in names:
            return names[wanted]
    raise NotFound(f"{remote} has no branch or tag {ref!r}")


def _clone(remote: str, commit: str, folder: str) -> None:
    """Whole or not at all: others may fetch the same at the same time."""
    parent = os.path.dirname(folder)
    os.makedirs(os.path.dirname(parent), exist_ok=True)
    making = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(parent))
    try:
        inner = os.path.join(making, os.path.basename(folder))
        _git("init", "-q", inner)
        _git("-C", inner, "fetch", "-q", "--depth=1", "--", remote, commit)
        _git("-C", inner, "checkout", "-q", "--detach", "FETCH_HEAD")
        shutil.rmtree(os.path.join(inner, ".git"))
        os.makedirs(parent, exist_ok=True)
        if not os.path.isdir(folder):
            os.rename(inner, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _git(*words: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_PATIENCE,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotFound("files from git need git", hint="apt-get install git") from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"git {words[0]}", f"no answer within {_PATIENCE} seconds") from None
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        where = next((word for word in words if "://" in word or "@" in word), "")
        raise CommandFailed(
            f"git {where}".rstrip(), "no such branch or tag" if done.returncode == 2 else said
        )
    return done.stdout
