"""Variables of an instruction filled in, each where the language allows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.nodes import Heredoc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Any = TypeVar("Any", bound=i.Instruction)


def fill(instruction: Any, environment: Mapping[str, str], escape: str = "\\") -> tuple[Any, frozenset[str]]:
    """The instruction without variables, and the names that had no value.

    RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL and ONBUILD come back as they were: their variables belong to the shell
    that runs them (those of RUN's mounts are filled in by `mounts.parse_mount`). Raises DockerfileError, with lines.
    """
    filler = _FILLERS.get(type(instruction))
    if filler is None:
        return instruction, frozenset()
    lexer = Lexer(environment, escape)
    try:
        changes = filler(instruction, lexer)
    except DockerfileError as error:
        raise error.at(instruction.node.start, instruction.node.end) from None
    return msgspec.structs.replace(instruction, **changes), frozenset(lexer.unset)


_Changes = dict[str, object]


def _from(it: i.From, lexer: Lexer) -> _Changes:
    return {"image": lexer.word(it.image), "platform": lexer.word(it.platform)}


def _arg(it: i.Arg, lexer: Lexer) -> _Changes:
    return {
        "arguments": tuple(
            (lexer.word(name), None if value is None else lexer.word(value)) for name, value in it.arguments
        )
    }


def _pairs(it: i.Env | i.Label, lexer: Lexer) -> _Changes:
    return {"pairs": tuple((lexer.word(name), lexer.word(value)) for name, value in it.pairs)}


def _transfer(it: i.Transfer, lexer: Lexer) -> _Changes:
    changes: _Changes = {
        "sources": tuple(lexer.word(each) for each in it.sources),
        "destination": lexer.word(it.destination),
        "documents": tuple(_document(each, lexer) for each in it.documents),
        "chown": lexer.word(it.chown),
        "chmod": lexer.word(it.chmod),
        "exclude": tuple(lexer.word(each) for each in it.exclude),
    }
    if isinstance(it, i.Add):
        changes["checksum"] = lexer.word(it.checksum)
    return changes


def _document(document: Heredoc, lexer: Lexer) -> Heredoc:
    if not document.expand:
        return document
    return msgspec.structs.replace(document, content=lexer.text(document.body), chomp=False)


def _expose(it: i.Expose, lexer: Lexer) -> _Changes:
    return {"ports": tuple(word for each in it.ports for word in lexer.words(each))}


def _volume(it: i.Volume, lexer: Lexer) -> _Changes:
    return {"paths": tuple(lexer.word(each) for each in it.paths)}


_FILLERS: dict[type[i.Instruction], Callable[..., _Changes]] = {
    i.Add: _transfer,
    i.Arg: _arg,
    i.Copy: _transfer,
    i.Env: _pairs,
    i.Expose: _expose,
    i.From: _from,
    i.Label: _pairs,
    i.Stopsignal: lambda it, lexer: {"signal": lexer.word(it.signal)},
    i.User: lambda it, lexer: {"user": lexer.word(it.user)},
    i.Volume: _volume,
    i.Workdir: lambda it, lexer: {"path": lexer.word(it.path)},
}
