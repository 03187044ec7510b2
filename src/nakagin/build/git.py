"""Files from a git repository, fetched by the machine's git without trusting what the repository says.

One commit is fetched where the server gives single commits, else the whole branch. Hooks, filters of the
machine's configuration and protocols other than the source's are off; nothing is asked at a terminal.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from nakagin.errors import Damaged, Denied, Invalid, NotFound, Unavailable, Unsupported
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.build.remotes import GitSource

_PROTOCOLS = "http:https:git:ssh"
_SETTINGS = {
    "advice.detachedHead": "false", "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "gc.auto": "0",
    "init.defaultBranch": "main", "protocol.version": "2", "core.symlinks": "true", "core.autocrlf": "false",
}  # fmt: skip


class Access(NamedTuple):
    """Who we are to the server: a header for http, the socket of an agent for ssh."""

    header: str = ""
    agent: str = ""

    @classmethod
    def token(cls, token: str, agent: str = "") -> Access:
        """GIT_AUTH_TOKEN, as GitHub and GitLab take it."""
        pair = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        return cls(f"basic {pair}", agent)


NOBODY = Access()


class Checkout(NamedTuple):
    """`folder` has the files; `time` is the commit's, in seconds since the epoch."""

    folder: str
    commit: str
    time: int


async def checkout(
    source: GitSource, folder: str, access: Access = NOBODY, *, checksum: str = "", keep_git_dir: bool = False
) -> Checkout:
    """The files of a commit in `folder`, which must be empty. A cancelled one leaves no process.

    Raises NotFound, Denied, Unavailable, Unsupported (no git here), Damaged (not the commit that was expected).
    """
    git = _Git(source, folder, access)
    try:
        return await _checkout(
            git, source, folder, checksum or source.checksum, keep_git_dir or source.keep_git_dir
        )
    except _GitFailed as error:
        raise error.told(source) from None


async def _checkout(git: _Git, source: GitSource, folder: str, checksum: str, keep_git_dir: bool) -> Checkout:
    tree = os.path.join(folder, "tree")
    os.mkdir(tree)
    await git.run("init", "--quiet", tree)
    await git.run("remote", "add", "origin", source.url, inside=tree)
    await _fetch(git, source, tree)
    commit = (await git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}", inside=tree)).strip()
    if checksum and not commit.startswith(checksum):
        raise Damaged(
            f"{source.url}: expected checksum to match {checksum}, got {commit}",
            hint="the branch or tag has moved: check it, then change the checksum",
        )
    await git.run("checkout", "--quiet", "--force", commit, inside=tree)
    if source.submodules and os.path.exists(os.path.join(tree, ".gitmodules")):
        await git.run("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1", inside=tree)
    time = int(await git.run("log", "-1", "--format=%ct", commit, inside=tree))
    if not keep_git_dir:
        await asyncio.to_thread(_remove_git, tree)
    return Checkout(_subdir(source, tree), commit, time)


async def _fetch(git: _Git, source: GitSource, tree: str) -> None:
    wanted = source.ref or "HEAD"
    try:
        await git.run("fetch", "--quiet", "--depth=1", "--no-tags", "origin", wanted, inside=tree)
    except _GitFailed as error:
        # A server that gives no single commits, or a short commit: take all, and look there.
        if not any(
            word in error.words for word in ("shallow", "not our ref", "not advertised", "find remote ref")
        ):
            raise
        await git.run(
            "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*", inside=tree
        )
        if wanted == "HEAD":
            await git.run("fetch", "--quiet", "origin", "HEAD", inside=tree)
            return
        for name in (wanted, f"refs/tags/{wanted}", f"refs/remotes/origin/{wanted}"):
            if await git.has(name, inside=tree):
                await git.run("update-ref", "FETCH_HEAD", f"{name}^{{commit}}", inside=tree)
                return
        raise NotFound(
            f"{source.url} has no branch, tag or commit {wanted}", hint="see `git ls-remote`"
        ) from None


def _subdir(source: GitSource, tree: str) -> str:
    folder = os.path.realpath(os.path.join(tree, source.subdir.strip("/")))
    if os.path.commonpath([folder, os.path.realpath(tree)]) != os.path.realpath(tree):
        raise Invalid(f"{source.url}: the folder {source.subdir} leads out of the repository")
    if not os.path.isdir(folder):
        raise NotFound(f"{source.url} has no folder {source.subdir}")
    return folder


def _remove_git(tree: str) -> None:
    shutil.rmtree(os.path.join(tree, ".git"))
    for folder, _, names in os.walk(tree):
        if ".git" in names:  # a submodule's pointer to where its repository was
            os.unlink(os.path.join(folder, ".git"))


class _GitFailed(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words

    def told(self, source: GitSource) -> NotFound | Denied | Unavailable:
        """As an error for people."""
        last = self.words.strip().splitlines()[-1:] or ["git failed"]
        told = f"{source.url}: {last[0].removeprefix('fatal: ')}"
        lowered = self.words.lower()
        if "terminal prompts disabled" in lowered or "authentication failed" in lowered:
            return Denied(told, hint="give the build a secret GIT_AUTH_TOKEN (--secret id=GIT_AUTH_TOKEN)")
        if "permission denied (publickey" in lowered or "host key verification" in lowered:
            return Denied(told, hint="let the build use your agent (--ssh default), and see known_hosts")
        if "not found" in lowered or "does not appear to be" in lowered or "couldn't find remote" in lowered:
            return NotFound(told, hint="check the URL and the name of the branch or tag")
        return Unavailable(told, hint="check the URL and the network")


class _Git:
    """git with a fixed environment."""

    def __init__(self, source: GitSource, home: str, access: Access) -> None:
        self._source = source
        self._environment = _environment(source, home, access)

    async def has(self, name: str, *, inside: str) -> bool:
        try:
            await self.run("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}", inside=inside)
        except _GitFailed:
            return False
        return True

    async def run(self, *words: str, inside: str = "") -> str:
        """What it says. Raises _GitFailed, Unsupported (no git here)."""
        argv: Sequence[str] = ("git", *(("-C", inside) if inside else ()), *words)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, start_new_session=True, umask=0o022,
            )  # fmt: skip
        except FileNotFoundError:
            raise Unsupported(
                f"{self._source.url} can not be fetched: git is not on this machine", hint="install git"
            ) from None
        try:
            output, complaint = await process.communicate()
        except BaseException:
            _kill_group(process.pid)
            await to_the_end(process.wait())
            raise
        if process.returncode:
            raise _GitFailed(complaint.decode(errors="replace"))
        return output.decode(errors="replace")


def _kill_group(pid: int) -> None:
    """git and its helpers; it leads a session of its own."""
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        return


def _environment(source: GitSource, home: str, access: Access) -> Mapping[str, str]:
    settings = list(_SETTINGS.items())
    if access.header:
        # For this server alone: neither for submodules elsewhere nor for where it may redirect to.
        server = urlunsplit((*urlsplit(source.url)[:2], "/", "", ""))
        settings.append((f"http.{server}.extraHeader", f"Authorization: {access.header}"))
    known = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    found = {
        **known, "HOME": home, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_CONFIG_COUNT": str(len(settings)), "LC_ALL": "C",
        "GIT_SSH_COMMAND": "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
        f" -o UserKnownHostsFile={home}/known_hosts",
    }  # fmt: skip
    for number, (name, value) in enumerate(settings):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    if access.agent:
        found["SSH_AUTH_SOCK"] = access.agent
    return found


_INHERITED = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
