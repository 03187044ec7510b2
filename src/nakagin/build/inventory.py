"""What software is in an image: what the package managers of distributions and languages have written down there.

Debian's dpkg and Alpine's apk by their databases, Python's distributions by their metadata, Node's modules by their
package.json, Go's programs by what the compiler has put into them. Files that nobody wrote down are not guessed at.
"""

from __future__ import annotations

import re
from email.parser import HeaderParser
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec

from nakagin.build.tree import Item, find, walk
from nakagin.storage.tarread import DIRECTORY, FILE, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nakagin.build.tree import Tree

_LARGEST = 64 << 20
_GO_MAGIC = b"\xff Go buildinf:"
_GO_VERSIONED = 0x2
_GO_LINE = re.compile(r"^(?:mod|dep)\t([^\t\n]+)\t([^\t\n]+)", re.MULTILINE)


class Package(NamedTuple):
    """One package: `purl` is its package URL, `license` what it says of itself, `found` the file that says so."""

    name: str
    version: str
    purl: str
    license: str
    supplier: str
    found: str


class System(NamedTuple):
    """The distribution, from os-release(5): `id` "debian", `version` "12"; "" where there is none."""

    id: str
    version: str
    name: str


def system_of(tree: Tree) -> System:
    """The distribution of an image."""
    for path in (b"etc/os-release", b"usr/lib/os-release"):
        if text := _text(tree, path):
            pairs = (line.partition("=")[::2] for line in text.splitlines() if "=" in line)
            found = {key.strip(): value.strip().strip("\"'") for key, value in pairs}
            return System(found.get("ID", ""), found.get("VERSION_ID", ""), found.get("PRETTY_NAME", ""))
    return System("", "", "")


def packages_of(tree: Tree) -> list[Package]:
    """Every package, sorted by kind and name, each once. Reads all names of the tree. Long."""
    system = system_of(tree)
    found = [*_dpkg(tree, system), *_apk(tree, system)]
    for item in walk(tree, Item(b"", Entry(b"", DIRECTORY, 0o755))):
        if item.entry.type != FILE:
            continue
        for fits, read in _READERS:
            if fits(item):
                found += read(tree, item)
    return [known[1] for known in sorted({each.purl: each for each in found}.items())]


def _text(tree: Tree, path: bytes) -> str:
    item = find(tree, path)
    return _content(tree, item) if item is not None and item.entry.type == FILE else ""


def _content(tree: Tree, item: Item) -> str:
    if item.entry.size > _LARGEST:
        return ""
    return b"".join(tree.chunks(item)).decode(errors="replace")


# --- Distributions


def _dpkg(tree: Tree, system: System) -> Iterator[Package]:
    """/var/lib/dpkg/status; images without dpkg itself have one file a package in status.d."""
    texts = {"/var/lib/dpkg/status": _text(tree, b"var/lib/dpkg/status")}
    folder = find(tree, b"var/lib/dpkg/status.d")
    for each in tree.children(folder.path) if folder is not None and folder.is_folder else ():
        if each.entry.type == FILE and not each.name.endswith(b".md5sums"):
            texts[_path(each)] = _content(tree, each)
    for where, text in texts.items():
        for fields in _stanzas(text, ": "):
            if fields.get("Status", "install ok installed").split()[-1:] != ["installed"]:
                continue
            name, version = fields.get("Package", ""), fields.get("Version", "")
            if name and version:
                kind = system.id or "debian"
                qualifiers = {"arch": fields.get("Architecture", ""), "distro": _distro(system)}
                yield Package(
                    name,
                    version,
                    purl("deb", kind, name, version, qualifiers),
                    "",
                    fields.get("Maintainer", ""),
                    where,
                )


def _apk(tree: Tree, system: System) -> Iterator[Package]:
    where = "/lib/apk/db/installed"
    for fields in _stanzas(_text(tree, where.encode()[1:]), ":"):
        name, version = fields.get("P", ""), fields.get("V", "")
        if name and version:
            qualifiers = {"arch": fields.get("A", ""), "distro": _distro(system)}
            url = purl("apk", system.id or "alpine", name, version, qualifiers)
            yield Package(name, version, url, fields.get("L", ""), fields.get("m", ""), where)


def _distro(system: System) -> str:
    return f"{system.id}-{system.version}" if system.id and system.version else system.id


def _stanzas(text: str, separator: str) -> Iterator[Mapping[str, str]]:
    """Groups of `Key: value` lines with an empty line between them; the first line of each value."""
    for block in text.split("\n\n"):
        found: dict[str, str] = {}
        for line in block.split("\n"):
            key, mark, value = line.partition(separator)
            if mark and key and not key[0].isspace():
                found.setdefault(key, value.strip())
        if found:
            yield found


# --- Languages


def _is_python(item: Item) -> bool:
    folder, _, name = item.path.rpartition(b"/")
    if name == b"METADATA":
        return folder.endswith(b".dist-info")
    return name.endswith(b".egg-info") or (name == b"PKG-INFO" and folder.endswith(b".egg-info"))


def _python(tree: Tree, item: Item) -> Iterator[Package]:
    fields = HeaderParser().parsestr(_content(tree, item))
    name, version = fields.get("Name", ""), fields.get("Version", "")
    if name and version:
        terms = str(fields.get("License-Expression") or fields.get("License") or "").split("\n")[0]
        normal = re.sub(r"[-_.]+", "-", name).lower()
        url = purl("pypi", "", normal, version)
        yield Package(name, version, url, terms, str(fields.get("Author") or ""), _path(item))


def _is_node(item: Item) -> bool:
    return item.name == b"package.json" and b"node_modules/" in item.path


class _NodePackage(msgspec.Struct):
    name: str
    version: str
    license: str | dict[str, object] | None = None


def _node(tree: Tree, item: Item) -> Iterator[Package]:
    try:
        found = msgspec.json.decode(_content(tree, item), type=_NodePackage)
    except msgspec.DecodeError:
        return
    scope, slash, name = found.name.rpartition("/")
    if not found.name or not found.version or (slash and not scope.startswith("@")):
        return
    terms = found.license if isinstance(found.license, str) else str((found.license or {}).get("type", ""))
    url = purl("npm", scope, name, found.version)
    yield Package(found.name, found.version, url, terms, "", _path(item))


def _is_program(item: Item) -> bool:
    return bool(item.entry.mode & 0o111) and item.entry.size > (1 << 18)


def _go(tree: Tree, item: Item) -> Iterator[Package]:
    """Modules of a Go program: since Go 1.18 the linker puts them behind a mark, as text with its length before it."""
    pieces = tree.chunks(item)
    head = next(pieces, b"")
    if not head.startswith(b"\x7fELF") or item.entry.size > _LARGEST * 4:
        return
    data = head + b"".join(pieces)
    at = data.find(_GO_MAGIC)
    if at < 0 or at + 32 > len(data) or not data[at + 15] & _GO_VERSIONED:
        return
    _, after = _counted(data, at + 32)
    modules, _ = _counted(data, after)
    for name, version in _GO_LINE.findall(modules[16:-16].decode(errors="replace")):
        scope, _, last = name.rpartition("/")
        yield Package(name, version, purl("golang", scope, last, version), "", "", _path(item))


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    """A string behind its length (a varint), and where it ends."""
    length = shift = 0
    while at < len(data):
        byte = data[at]
        length |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            break
    return data[at : at + length], at + length


_READERS: tuple[tuple[Callable[[Item], bool], Callable[[Tree, Item], Iterable[Package]]], ...] = (
    (_is_python, _python),
    (_is_node, _node),
    (_is_program, _go),
)


def _path(item: Item) -> str:
    return "/" + item.path.decode(errors="replace")


def purl(kind: str, scope: str, name: str, version: str, qualifiers: Mapping[str, str] = {}) -> str:
    """A package URL (purl-spec)."""
    scope = "/".join(quote(part, safe="") for part in scope.split("/") if part)
    words = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()) if value)
    path = f"{scope}/{quote(name, safe='')}" if scope else quote(name, safe="")
    return f"pkg:{kind}/{path}@{quote(version, safe='')}" + (f"?{words}" if words else "")
