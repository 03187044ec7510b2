"""--security-opt and the capability flags. Reads the seccomp profile that is named: the engine may be elsewhere."""

from __future__ import annotations

from nakagin.errors import Invalid, NotFound
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def security_options(given: Iterable[str]) -> tuple[list[str], bool]:
    """(SecurityOpt, whether `systempaths=unconfined` stood among them); seccomp=FILE becomes seccomp={...}."""
    options: list[str] = []
    unconfined_paths = False
    for each in given:
        if each == "systempaths=unconfined":
            unconfined_paths = True
            continue
        # "apparmor:x" with a colon is the old spelling.
        separator = "=" if "=" in each else ":"
        key, found, value = each.partition(separator)
        if not found and key != "no-new-privileges":
            raise Invalid(f'Invalid --security-opt: "{each}"')
        if key == "seccomp" and value not in ("unconfined", "builtin"):
            each = f"seccomp={_profile(value)}"
        options.append(each)
    return options, unconfined_paths


def _profile(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return render(parse(file.read()))
    except FileNotFoundError:
        words = f"open {path}: no such file or directory"
        raise NotFound(f"opening seccomp profile ({path}) failed: {words}") from None
    except OSError as error:
        raise Invalid(f"opening seccomp profile ({path}) failed: {error.strerror}") from None
    except Invalid as error:
        raise Invalid(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def capabilities(added: Iterable[str], dropped: Iterable[str]) -> tuple[list[str] | None, list[str] | None]:
    """(CapAdd, CapDrop) normalised: upper case, with CAP_, sorted; ALL swallows the rest, adding beats dropping."""
    add, drop = {_capability(name) for name in added}, {_capability(name) for name in dropped}
    if "ALL" in add:
        add = {"ALL"}
    if "ALL" in drop:
        drop = {"ALL"}
    drop -= add
    return sorted(add) or None, sorted(drop) or None


def _capability(name: str) -> str:
    upper = name.strip().upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
