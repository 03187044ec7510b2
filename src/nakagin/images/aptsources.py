"""This machine's apt sources, as far as they carry a Debian suite. Pure but for `read`.

Both forms of sources.list(5): one line per source, and deb822 stanzas.
"""

from __future__ import annotations

import glob
import re
from typing import NamedTuple

_FILES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources")
_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


class Source(NamedTuple):
    """One archive: where it is, what of it, and the key that signs it ("" for apt's own trusted keys)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self) -> str:
        """In the one-line form."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def read() -> list[Source]:
    """All sources of this machine."""
    found: list[Source] = []
    for pattern in _FILES:
        for path in sorted(glob.glob(pattern)):
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
            found += parse_stanzas(text) if path.endswith(".sources") else parse_lines(text)
    return found


def parse_lines(text: str) -> list[Source]:
    """One-line sources; binary packages only."""
    found = []
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.partition("#")[0].strip()):
            options = dict(word.partition("=")[::2] for word in (match["options"] or "").split())
            components = tuple(match["components"].split())
            found.append(Source(match["uri"], match["suite"], components, options.get("signed-by", "")))
    return found


def parse_stanzas(text: str) -> list[Source]:
    """deb822 sources; an embedded key is left out, as apt knows Debian's."""
    found: list[Source] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        key = fields.get("signed-by", "").strip()
        components = tuple(fields.get("components", "").split())
        found += [
            Source(uri, suite, components, key if key.startswith("/") else "")
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def of_suite(sources: list[Source], suite: str) -> list[Source]:
    """Those that carry the suite, its updates and security fixes; of each the first, only "main" of it."""
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    found: dict[str, Source] = {}
    for source in sources:
        if source.suite in wanted and "main" in source.components:
            found.setdefault(source.suite, source._replace(components=("main",)))
    return [found[name] for name in sorted(found)] if suite in found else []
