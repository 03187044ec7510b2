"""Platforms: what an image runs on, how they are written, and which of several suits a machine best.

Follows containerd's habits: names are normalized (x86_64 is amd64, arm64/v8 is arm64), an arm64 machine also
runs 32-bit arm, and a later arm variant runs the earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "386": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")
_SYSTEMS = {"macos": "darwin"}


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor. Always normalized: build it with `make` or `parse`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def make(cls, os: str, architecture: str, variant: str = "", os_version: str = "") -> Platform:
        """The normalized platform of these words."""
        os = _SYSTEMS.get(os.lower(), os.lower())
        architecture = architecture.lower()
        architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        variant = variant.lower() or implied
        if architecture == "arm" and variant[:1].isdigit():
            variant = f"v{variant}"
        if (architecture, variant) in _DEFAULT_VARIANTS:
            variant = ""
        return cls(os, architecture, variant, os_version)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform written as "os/arch[/variant]", or "arch" alone for linux. Raises Invalid."""
        parts = text.strip().split("/")
        if not all(parts) or len(parts) > 3:
            raise Invalid(
                f"invalid platform {text!r}", hint="write it as os/arch[/variant], e.g. linux/arm64"
            )
        if len(parts) == 1:
            word = parts[0].lower()
            if word in _ARCHITECTURES or word in {"arm", "riscv64", "ppc64le", "s390x"}:
                return cls.make("linux", word)
            raise Invalid(f"unknown operating system or architecture {text!r}", hint="e.g. linux/amd64")
        return cls.make(*parts)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def runnable(host: Platform) -> Sequence[Platform]:
    """The platforms whose programs the machine `host` runs, the best first."""
    found = [host]
    if host.architecture == "arm64":
        found += [Platform(host.os, "arm", variant) for variant in _ARM_VARIANTS]
    elif host.architecture == "arm" and host.variant in _ARM_VARIANTS:
        later = _ARM_VARIANTS[_ARM_VARIANTS.index(host.variant) + 1 :]
        found += [Platform(host.os, "arm", variant) for variant in later]
        found.append(Platform(host.os, "arm"))
    elif host.architecture == "amd64":
        found.append(Platform(host.os, "386"))
    return found


Candidate = TypeVar("Candidate")


def choose(candidates: Iterable[tuple[Platform, Candidate]], wanted: Platform) -> Candidate | None:
    """The first candidate of the best matching platform, or None.

    A candidate without a variant suits every wanted variant, but an exact one is better.
    """
    offered = list(candidates)
    for platform in runnable(wanted):
        for exact in (True, False):
            for offer, candidate in offered:
                same = (offer.os, offer.architecture) == (platform.os, platform.architecture)
                if same and (offer.variant == platform.variant if exact else not offer.variant):
                    return candidate
    return None
