"""What a source that is not a path names: a git repository, or a file at a URL. Pure.

The forms are BuildKit's (docs.docker.com/build/concepts/context): `https://HOST/PATH.git#REF:FOLDER`, the same with
a query (`?ref=&subdir=&checksum=`), `git://…`, `ssh://…`, `git@HOST:PATH`; any other http(s) URL is a file.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from nakagin.errors import Invalid

_SCP = re.compile(
    r"(?P<user>[A-Za-z0-9._-]+@)(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:#][^#]*)(?:#(?P<fragment>.*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TRUTH = {"": True, "1": True, "true": True, "0": False, "false": False}


class GitSource(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is what git takes; `ref` "" is the repository's HEAD; `subdir` is relative to its root."""

    url: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    """A commit, or the beginning of one, that must come out."""
    keep_git_dir: bool = False
    submodules: bool = True

    @property
    def host(self) -> str:
        """The machine that it is fetched from."""
        scp = _SCP.fullmatch(self.url)
        return scp["host"] if scp else urlsplit(self.url).hostname or ""

    @property
    def is_ssh(self) -> bool:
        return self.url.startswith("ssh://") or _SCP.fullmatch(self.url) is not None

    @property
    def is_commit(self) -> bool:
        """Whether the ref is a whole commit ID."""
        return _COMMIT.fullmatch(self.ref) is not None


class UrlSource(msgspec.Struct, frozen=True):
    """A file to be fetched."""

    url: str


def remote(text: str) -> GitSource | UrlSource | None:
    """What `text` names; None where it is a path. Raises Invalid for what can be neither."""
    if (scp := _SCP.fullmatch(text)) is not None and "://" not in text:
        return _git(f"{scp['user']}{scp['host']}:{scp['path']}", scp["fragment"] or "", "")
    if text.startswith("github.com/"):
        text = f"https://{text}"
        parts = urlsplit(text)
        return _git(urlunsplit((*parts[:3], "", "")), parts.fragment, parts.query)
    scheme, mark, _ = text.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return None
    parts = urlsplit(text)
    bare = urlunsplit((*parts[:3], "", ""))
    match scheme.lower():
        case "git" | "ssh":
            return _git(bare, parts.fragment, parts.query)
        case "http" | "https" if parts.path.endswith(".git"):
            return _git(bare, parts.fragment, parts.query)
        case "http" | "https":
            return UrlSource(text.partition("#")[0])
    raise Invalid(f"{text}: unsupported scheme {scheme}", hint="http, https, git and ssh are known")


def _git(url: str, fragment: str, query: str) -> GitSource:
    ref, _, subdir = fragment.partition(":")
    found = {"ref": ref, "subdir": subdir}
    asked: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name:
            case "ref" | "branch" | "tag":
                found["ref"] = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(name, "") + value
            case "subdir":
                found["subdir"] = value
            case "checksum" | "commit":
                asked["checksum"] = value
            case "keep-git-dir":
                asked["keep_git_dir"] = _truth(name, value)
            case "submodules":
                asked["submodules"] = _truth(name, value)
            case _:
                raise Invalid(
                    f"{url}: unexpected query {name!r}",
                    hint="ref, branch, tag, subdir, checksum, keep-git-dir and submodules are known",
                )
    if found["ref"].startswith("-") or url.startswith("-"):
        raise Invalid(f"{url}: {found['ref'] or url} is no name of a branch, tag or commit")
    return msgspec.convert({"url": url, **found, **asked}, GitSource)


def _truth(name: str, value: str) -> bool:
    if value.lower() not in _TRUTH:
        raise Invalid(f"invalid boolean {value!r} for {name}", hint="write true or false")
    return _TRUTH[value.lower()]
