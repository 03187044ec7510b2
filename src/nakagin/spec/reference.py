"""Image references: "busybox" means docker.io/library/busybox:latest.

The grammar and the error texts are those of the distribution project's `reference` package, which every
Docker client knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nakagin.errors import Invalid
from nakagin.spec.digest import Digest, parse_digest
from nakagin.spec.domain import DEFAULT_DOMAIN, OFFICIAL, split_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_TAG = "latest"
_LONGEST_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository on a registry, with a tag, a digest, both, or neither."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference `text`, its domain filled in, its tag not (see `tagged`). Raises Invalid."""
        if _IDENTIFIER.fullmatch(text):
            raise Invalid(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
                hint="an image ID is not a name",
            )
        rest, at, digest_text = text.partition("@")
        digest = _digest(text, digest_text) if at else None
        rest, tag = _split_tag(rest)
        domain, path = split_domain(rest)
        _check_path(text, domain, path)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _invalid(text, "a tag has letters, digits, '_', '.', '-'; at most 128 of them")
        return cls(domain, path, tag, digest)

    @property
    def name(self) -> str:
        """The repository with its domain: docker.io/library/busybox."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: busybox."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        official = self.path.removeprefix(OFFICIAL)
        return official if "/" not in official else self.path

    def tagged(self) -> Reference:
        """With the tag `latest` where there is neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_tag(self, tag: str) -> Reference:
        """The same repository with another tag and no digest. Raises Invalid."""
        if not _TAG.fullmatch(tag):
            raise Invalid(f"invalid tag format: {tag!r}", hint="letters, digits, '_', '.', '-'; at most 128")
        return Reference(self.domain, self.path, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository at a digest, without a tag."""
        return Reference(self.domain, self.path, None, digest)

    def familiar(self) -> str:
        """As people write it, with its tag and digest: busybox:latest."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def shown_name(asked: str, tags: Sequence[str]) -> str:
    """Under which of its names (as people write them) an image is shown: the one that was asked for, or the first; ""
    where it has none."""
    try:
        meant = Reference.parse(asked).tagged().familiar()
    except Invalid:  # an ID
        meant = ""
    return meant if meant in tags else next(iter(tags), "")


def _invalid(text: str, hint: str) -> Invalid:
    return Invalid(f"invalid reference format: {text!r}", hint=hint)


def _digest(text: str, digest: str) -> Digest:
    try:
        return parse_digest(digest)
    except Invalid as error:
        raise _invalid(text, error.message) from None


def _split_tag(text: str) -> tuple[str, str | None]:
    name, colon, tag = text.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (text, None)


def _check_path(text: str, domain: str, path: str) -> None:
    if path.lower() != path and _PATH.fullmatch(path.lower()):
        raise Invalid(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path):
        raise _invalid(text, "write it as [registry/]name[:tag][@digest]")
    if len(domain) + 1 + len(path) > _LONGEST_NAME:
        raise Invalid(
            f"invalid reference format: repository name must not be more than {_LONGEST_NAME} characters"
        )
