"""KEY=VALUE things: -e, --env-file, -l, --label-file and other maps. Reads the files that are named, nothing else."""

from __future__ import annotations

from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def check_variable(text: str) -> str:
    """A value of -e: refuses an empty name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def environment(files: Iterable[str], given: Iterable[str], inherited: Mapping[str, str]) -> list[str]:
    """The variables of files, then those of -e. A bare KEY takes the caller's value.

    A bare KEY that the caller does not have is left out of files, and stays bare from -e: there it removes the
    image's value.
    """
    variables: list[str] = []
    for path in files:
        for key, value in read_pairs(path):
            found = inherited.get(key) if value is None else value
            if found is not None:
                variables.append(f"{key}={found}")
    for text in given:
        inherits = "=" not in text and text in inherited
        variables.append(f"{text}={inherited[text]}" if inherits else text)
    return variables


def labels(files: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Labels of files (bare keys are left out), overruled by those of -l (bare keys have the empty value)."""
    pairs = [(key, value) for path in files for key, value in read_pairs(path) if value is not None]
    return {**dict(pairs), **mapping(given)}


def mapping(given: Iterable[str]) -> dict[str, str]:
    """["a=b", "c"] → {"a": "b", "c": ""}."""
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def read_pairs(path: str) -> list[tuple[str, str | None]]:
    """The lines `KEY=VALUE` and `KEY` of a file; blank lines and those beginning with # are comments.

    NotFound for no such file; Invalid (with its line) for a name with white space or none at all.
    """
    pairs: list[tuple[str, str | None]] = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        raise NotFound(f"open {path}: no such file or directory") from None
    except OSError as error:
        raise Invalid(f"invalid env file ({path}): {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"invalid env file ({path}): {error}") from None
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not key:
            raise Invalid(f"no variable name on line '{line}'", where=f"{path}:{number}")
        if any(character.isspace() for character in key.rstrip() if equals) or (
            equals and key != key.rstrip()
        ):
            raise Invalid(f"variable '{key}' contains whitespaces", where=f"{path}:{number}")
        pairs.append((key, value if equals else None))
    return pairs
