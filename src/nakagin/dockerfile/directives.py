"""Parser directives: the comments at the very top of a Dockerfile that tell how it is to be read."""

from __future__ import annotations

import json
import re

import msgspec

from nakagin.dockerfile.fault import DockerfileError

_HASH = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_SLASHES = re.compile(r"//\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_KNOWN = frozenset({"syntax", "escape", "check"})
_BOM = "\ufeff"
_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Check(msgspec.Struct, frozen=True):
    """What `# check=` says: rules to leave out (`all`: every one), and whether a warning fails the build."""

    skip: frozenset[str] = frozenset()
    error: bool = False

    def skips(self, rule: str) -> bool:
        """Whether this rule is not to be reported."""
        return "all" in self.skip or rule in self.skip


class Directives(msgspec.Struct, frozen=True):
    """`syntax` names a frontend image (empty: ours), `escape` is one character."""

    syntax: str = ""
    escape: str = "\\"
    check: Check = Check()
    lines: int = 0
    """How many lines at the top they take."""


def parse_directives(text: str) -> Directives:
    """The directives of a Dockerfile. Raises DockerfileError for a bad or repeated one.

    They end at the first line that is none: an empty line, a comment, an instruction, or an unknown directive.
    `syntax` is also found after `//` and as a key of a JSON document, for files in other languages.
    """
    text = text.removeprefix(_BOM)
    leading = _leading(text, _HASH)
    found = leading or _leading(text, _SLASHES) or _json_syntax(text)
    escape = found.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise DockerfileError(f"invalid ESCAPE token {escape!r} does not match ` or \\", start=1)
    return Directives(found.get("syntax", ""), escape, parse_check(found.get("check", "")), len(leading))


def _leading(text: str, form: re.Pattern[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = form.fullmatch(line.strip("\r\n \t"))
        if match is None or match[1].lower() not in _KNOWN:
            break
        key = match[1].lower()
        if key in found:
            raise DockerfileError(f"only one {key} parser directive can be used", start=number)
        found[key] = match[2]
    return found


def _json_syntax(text: str) -> dict[str, str]:
    if not text.lstrip().startswith("{"):
        return {}
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    value = document.get("syntax") if isinstance(document, dict) else None
    return {"syntax": value} if isinstance(value, str) else {}


def parse_check(value: str) -> Check:
    """`skip=A,B;error=true`, the value of `# check=` and of BUILDKIT_DOCKERFILE_CHECK."""
    skip: frozenset[str] = frozenset()
    error = False
    for part in filter(None, (part.strip() for part in value.split(";"))):
        key, _, setting = part.partition("=")
        if key == "skip":
            skip = frozenset(rule.strip() for rule in setting.split(",") if rule.strip())
        elif key == "error" and setting.lower() in _TRUTH:
            error = _TRUTH[setting.lower()]
        else:
            raise DockerfileError(f"invalid check option {part!r}", hint="write skip=RuleA,RuleB;error=true")
    return Check(skip, error)
