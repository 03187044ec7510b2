"""What the parser makes of a Dockerfile before any instruction's meaning is looked at."""

from __future__ import annotations

import re

import msgspec

_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


class Heredoc(msgspec.Struct, frozen=True):
    """A document that follows its instruction: `<<NAME`, `<<-NAME` (`chomp`), `<<"NAME"` (not `expand`)."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0

    @property
    def body(self) -> str:
        """The content as the instruction gets it: with `<<-`, without leading tabs."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction as it was written.

    `values` are its words after flags: one for shell forms, all for lists; names and values in turn for ENV and
    LABEL. `rest` is what follows the flags, as written. Lines count from 1, heredocs included.
    """

    keyword: str
    """In upper case, whatever was written."""
    spelling: str
    flags: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    json: bool = False
    rest: str = ""
    original: str = ""
    start: int = 0
    end: int = 0
    heredocs: tuple[Heredoc, ...] = ()
    legacy: bool = False
    """ENV or LABEL in the form `KEY VALUE` without an equals sign."""
    broken_json: bool = False
    """It begins like a JSON array and is none."""
    trigger: Node | None = None
    """ONBUILD: the instruction that is kept for later."""
    comments: tuple[str, ...] = ()
    """The comment lines directly above, without their number signs."""
    gaps: tuple[int, ...] = ()
    """Lines that are empty though the instruction goes on below them."""
