"""JSON documents without the price of the `json` package, whose import of `re` costs 7 ms of a start.

The scanner and encoder are the C ones that `json` itself uses.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_BLANKS = " \t\n\r"


class _Context:
    """What `make_scanner` asks of a decoder."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_scan = make_scanner(_Context())  # type: ignore[arg-type]
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)


def parse(data: bytes | str, where: str = "JSON") -> Any:
    """The value that `data` holds. Raises Invalid, naming `where`."""
    try:
        text = data if isinstance(data, str) else data.decode()
        start = len(text) - len(text.lstrip(_BLANKS))
        value, end = _scan(text, start)
    except SystemError:
        # The scanner takes the words for what is wrong from json.decoder, and without it has none.
        import json.decoder  # noqa: F401

        return parse(data, where)
    except StopIteration:
        raise Invalid("the document ends or breaks off where a value is expected", where=where) from None
    except (ValueError, RecursionError) as error:
        raise Invalid(str(error), where=where) from None
    if text[end:].strip(_BLANKS):
        raise Invalid(f"something follows the document at character {end}", where=where)
    return value


def render(value: object, *, indent: int = 0) -> str:
    """`value` as JSON on one line, or with `indent` spaces per level on many."""
    if indent:
        return _indented(value, indent, "\n")
    return "".join(_encode(value, 0))


def _indented(value: object, indent: int, line: str) -> str:
    inner = line + " " * indent
    if isinstance(value, dict) and value:
        members = [f"{render(str(key))}: {_indented(each, indent, inner)}" for key, each in value.items()]
        return "{" + inner + ("," + inner).join(members) + line + "}"
    if isinstance(value, list) and value:
        return "[" + inner + ("," + inner).join(_indented(each, indent, inner) for each in value) + line + "]"
    return render(value)
