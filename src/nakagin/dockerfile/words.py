"""How the text after a keyword falls into flags, words, names with values, and JSON arrays."""

from __future__ import annotations

import functools
import json
import re

from nakagin.dockerfile.fault import DockerfileError

BLANKS = re.compile(r"[\t\v\f\r ]+")
_FLAG = re.compile(
    r"""--(?:[^\s"'\\]|\\.|\\$|"(?:[^"\\]|\\.)*(?:"|\\?$)|'(?:[^'\\]|\\.)*(?:'|\\?$))*""", re.DOTALL
)
_FLAG_QUOTING = re.compile(r"""\\(.?)|"((?:[^"\\]|\\.)*)(?:"|\\?$)|'((?:[^'\\]|\\.)*)(?:'|\\?$)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def split_keyword(line: str) -> tuple[str, str]:
    """The instruction's keyword as written, and the rest of the logical line."""
    parts = BLANKS.split(line.strip(), maxsplit=1)
    return parts[0], parts[1].strip() if len(parts) > 1 else ""


def split_flags(text: str) -> tuple[tuple[str, ...], str]:
    """The leading `--name=value` words, quotes and backslashes taken away, and what follows them.

    A bare `--` ends the flags.
    """
    flags = []
    text = text.lstrip()
    while (match := _FLAG.match(text)) and match[0]:
        flag = _FLAG_QUOTING.sub(_plain, match[0])
        text = text[match.end() :].lstrip()
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), text.strip()


def _plain(match: re.Match[str]) -> str:
    if match[1] is not None:
        return match[1]
    return _ESCAPED.sub(r"\1", match[2] if match[2] is not None else match[3])


@functools.lru_cache(maxsize=4)
def _word(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(
        rf"""(?:[^\s"'{e}]|{e}.|"(?:[^"{e}]|{e}.)*(?:"|{e}?\Z)|'[^']*(?:'|\Z)|{e}\Z)+""",
        re.DOTALL,
    )


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """Words as a shell would cut them, with their quotes and escapes still on them."""
    words = []
    for word in _word(escape).findall(text):
        bare = word[: -len(escape)] if _ends_in_escape(word, escape) else word
        if bare:
            words.append(bare)
    return tuple(words)


def _ends_in_escape(word: str, escape: str) -> bool:
    return word.endswith(escape) and (len(word) - len(word.rstrip(escape))) % 2 == 1 and "'" not in word


def split_blanks(text: str) -> tuple[str, ...]:
    """Words cut at blanks, with no regard to quotes."""
    return tuple(BLANKS.split(text)) if text else ()


def split_pairs(keyword: str, text: str, escape: str) -> tuple[tuple[str, ...], bool]:
    """Names and values in turn (`A=1 B="2"`), and whether it was the old form `NAME rest of the line`."""
    words = split_words(text, escape)
    if not words:
        return (), False
    if "=" not in words[0]:
        parts = BLANKS.split(text, maxsplit=1)
        if len(parts) < 2:
            raise DockerfileError(
                f"{keyword} must have two arguments", hint=f"write {keyword} {parts[0]}=VALUE"
            )
        return tuple(parts), True
    values = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"can't find = in {word!r}. Must be of the form: name=value",
                hint="quote a value that has blanks",
                needle=word,
            )
        values += [name, value]
    return tuple(values), False


def json_strings(text: str) -> tuple[str, ...] | None:
    """The words of an exec form; None when it is no JSON array. Raises DockerfileError when not all are strings.

    What follows the array is not looked at, as in Docker.
    """
    text = text.lstrip()
    if not text.startswith("["):
        return None
    try:
        array, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in array):
        raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(array)
