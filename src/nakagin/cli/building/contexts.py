"""The folder that is built: what of it is sent, and as what."""

from __future__ import annotations

import os
import sys

from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from nakagin.client.session import Body

DOCKERFILE = "Dockerfile"
_FOREIGN = ".dockerfile.from-elsewhere"
_LARGEST = 4 << 20
_HEAD = 512
_PIECE = 1 << 20


def is_remote(where: str) -> bool:
    """Whether a context is fetched by the engine: a git repository or a URL."""
    return "://" in where or where.startswith(("git@", "github.com/"))


class Plan:
    """What is built: the Dockerfile's name and (unless the engine finds it in the context) text, and the context.

    `folder` None and `data` None: there is no context, or the engine fetches it from `remote`.
    """

    __slots__ = ("data", "dockerfile", "folder", "ignore", "remote", "text")

    def __init__(self, dockerfile: str = DOCKERFILE) -> None:
        self.dockerfile = dockerfile
        self.text: bytes | None = None
        self.ignore = ""
        self.folder: str | None = None
        self.data: Iterator[bytes] | None = None
        self.remote = ""

    def parameters(self) -> dict[str, object]:
        """What the engine is told."""
        found: dict[str, object] = {"dockerfile": self.dockerfile, "remote": self.remote or None}
        if self.text is not None:
            found["text"] = decoded(self.text, self.dockerfile)
            if not self.remote:
                found["ignore"] = self.ignore
        return found

    def context(self) -> Body:
        """The files that are sent when the engine asks for them."""
        if self.data is not None:
            return self.data
        if self.folder is None:
            return alone({})
        return packed(self.folder, self.ignore)

    def classic(self) -> tuple[Body, str]:
        """For an engine that does not ask: a tar with everything, and the Dockerfile's path in it."""
        if self.folder is None:
            return self.data or alone({DOCKERFILE: self.text or b""}), self.dockerfile
        if self.text is None or not self._is_inside():
            return self._with_foreign(), _FOREIGN
        return packed(self.folder, self.ignore, keep=(self.dockerfile, ".dockerignore")), self.dockerfile

    def _is_inside(self) -> bool:
        assert self.folder is not None
        return not os.path.isabs(self.dockerfile) and os.path.isfile(
            os.path.join(self.folder, self.dockerfile)
        )

    def _with_foreign(self) -> Iterator[bytes]:
        assert self.folder is not None
        whole = alone(
            {_FOREIGN: self.text or b"", f"{_FOREIGN}.dockerignore": f"{self.ignore}\n{_FOREIGN}*".encode()}
        )
        yield whole[: len(whole.rstrip(b"\0")) + -len(whole.rstrip(b"\0")) % 512]
        yield from packed(self.folder, self.ignore)


def plan(where: str, dockerfile: str) -> Plan:
    """What `build -f DOCKERFILE WHERE` means. Raises NotFound, Invalid."""
    if is_remote(where):
        found = Plan(dockerfile or DOCKERFILE)
        found.remote = where
        if dockerfile == "-":
            found.text, found.dockerfile = sys.stdin.buffer.read(), DOCKERFILE
        return found
    if where == "-":
        if dockerfile == "-":
            raise Invalid("the Dockerfile and the context cannot both be standard input")
        return _from_input(sys.stdin.buffer, dockerfile)
    if not os.path.isdir(where):
        if os.path.exists(where):
            raise Invalid(f"unable to prepare context: {where} is not a directory")
        raise NotFound(f"unable to prepare context: path {where!r} not found")
    found = Plan()
    found.folder = where
    if dockerfile == "-":
        found.text = sys.stdin.buffer.read()
        found.ignore = _read(os.path.join(where, ".dockerignore")) or ""
        return found
    path = dockerfile or os.path.join(where, DOCKERFILE)
    if not os.path.isfile(path) and not os.path.isabs(path) and os.path.isfile(os.path.join(where, path)):
        path = os.path.join(where, path)
    if not os.path.isfile(path):
        raise NotFound(
            f"failed to read dockerfile: open {path}: no such file or directory", hint="name it with -f"
        )
    with open(path, "rb") as file:
        found.text = file.read(_LARGEST + 1)
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(where))
    found.dockerfile = os.path.abspath(path) if inside.startswith("..") else inside
    own = _read(f"{path}.dockerignore")
    found.ignore = (_read(os.path.join(where, ".dockerignore")) or "") if own is None else own
    return found


def _from_input(stream: IO[bytes], dockerfile: str) -> Plan:
    """Standard input is a tar, plain or compressed, or else the Dockerfile itself. A tar is read when it is sent."""
    found = Plan(dockerfile or DOCKERFILE)
    head = stream.read(_HEAD)
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        found.data = _pieces(head, stream)
    else:
        found.text, found.dockerfile = head + stream.read(_LARGEST), DOCKERFILE
    return found


def _pieces(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := stream.read(_PIECE):
        yield piece


def decoded(data: bytes, name: str) -> str:
    """A Dockerfile's text. Raises Invalid."""
    if len(data) > _LARGEST:
        raise Invalid(f"{name} has more than {_LARGEST >> 20} MB", hint="is it a Dockerfile?")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{name} is not UTF-8 text", hint="is it a Dockerfile?") from None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def alone(files: dict[str, bytes]) -> bytes:
    """A tar with these files."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def ignore_of(folder: str) -> str:
    """What a named context's own .dockerignore says. Raises NotFound."""
    if not os.path.isdir(folder):
        raise NotFound(f"the build context {folder} is no folder")
    return _read(os.path.join(folder, ".dockerignore")) or ""


def packed(folder: str, ignore: str, keep: tuple[str, ...] = ()) -> Iterator[bytes]:
    """The folder without what `ignore` (the text of a .dockerignore) leaves out."""
    from nakagin.client.copying.pack import pack

    return pack(folder, ".", follow=True, prune=pruning(ignore, keep))


def pruning(ignore: str, keep: tuple[str, ...] = ()) -> Callable[[str, bool], bool] | None:
    """What leaves out the paths that a .dockerignore names, but those to keep."""
    if not ignore.strip():
        return None
    from nakagin.dockerfile.ignore import Patterns, read_ignore

    patterns = Patterns(read_ignore(ignore))

    def prune(path: str, is_folder: bool) -> bool:
        if any(each == path or each.startswith(f"{path}/") for each in keep):
            return False
        return patterns.prunes(path) if is_folder else patterns.excludes(path)

    return prune
