"""What a build gives: an image here, an image at a registry, or files for the client. Pure.

type=image      name=, push=true            into the library of images, and to a registry
type=registry   name=                       image with push=true
type=docker     [dest]                      into the library; with dest an archive for the client
type=oci        dest, tar=false             an OCI layout for the client
type=local      dest                        the files, as a folder of the client
type=tar        dest                        the files, as a tar
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TRUTH = {"": True, "true": True, "1": True, "false": False, "0": False}
_IMAGE = frozenset({
    "name", "push", "annotation", "compression", "compression-level", "force-compression", "oci-mediatypes",
    "rewrite-timestamp", "unpack", "store", "dangling-name-prefix", "name-canonical",
})  # fmt: skip
_KNOWN = {
    "image": _IMAGE,
    "registry": _IMAGE,
    "docker": _IMAGE | {"dest", "tar"},
    "oci": _IMAGE | {"dest", "tar"},
    "local": frozenset({"dest", "platform-split", "mode"}),
    "tar": frozenset({"dest", "platform-split"}),
    "cacheonly": frozenset[str](),
}
COMPRESSIONS = ("uncompressed", "gzip", "zstd", "estargz")


class OutputSpec(msgspec.Struct, frozen=True):
    """One `--output`, as the client wrote it."""

    type: str
    attributes: dict[str, str] = {}

    def on(self, name: str, *, default: bool = False) -> bool:
        """A switch."""
        if name not in self.attributes:
            return default
        value = self.attributes[name].lower()
        if value not in _TRUTH:
            raise Invalid(
                f"invalid value {value!r} for {name} of output {self.type}", hint="write true or false"
            )
        return _TRUTH[value]

    @property
    def names(self) -> tuple[str, ...]:
        """The image's names that this output adds."""
        return tuple(filter(None, self.attributes.get("name", "").split(",")))


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How the manifest of an image is made; all defaults: only when somebody asks for one."""

    compression: str = ""
    level: int | None = None
    """None: the default of the kind; gzip has 0 to 9, zstd 1 to 22."""
    force: bool = False
    """Layers that came compressed are made anew as well."""
    annotations: tuple[tuple[str, str, str], ...] = ()
    """(where it goes: manifest, index, manifest-descriptor, index-descriptor; key; value)."""
    dockers: bool = False
    """oci-mediatypes=false: documents with Docker's own media types, for registries that know no others."""

    @property
    def wanted(self) -> bool:
        """Whether a manifest must be made now."""
        return bool(self.compression or self.annotations or self.dockers)


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, settled. `files` are those that the client takes, by their number among the outputs."""

    library: bool = False
    push: bool = False
    names: tuple[str, ...] = ()
    files: tuple[tuple[int, OutputSpec], ...] = ()
    making: Making = Making()


def settle(specs: Sequence[OutputSpec], names: Sequence[str], annotations: Sequence[str]) -> Outputs:
    """`names` are the build's tags. Nothing asked for is an image in the library. Raises Invalid."""
    library = push = False
    all_names = list(names)
    files = []
    found: list[tuple[str, str, str]] = [each for text in annotations for each in annotation(text)]
    compression, force = "", False
    level: int | None = None
    for number, spec in enumerate(specs):
        _check(spec)
        all_names += [name for name in spec.names if name not in all_names]
        compression = spec.attributes.get("compression", compression)
        level = _level(spec, level)
        force = force or spec.on("force-compression")
        for key, value in spec.attributes.items():
            if key.startswith("annotation"):
                found += annotation(f"{key.removeprefix('annotation').lstrip('-')}={value}".lstrip("."))
        match spec.type:
            case "image" | "registry":
                library = True
                push = push or spec.on("push", default=spec.type == "registry")
            case "docker" if "dest" not in spec.attributes:
                library = True
            case "cacheonly":
                pass
            case _:
                files.append((number, spec))
    if (force or level is not None) and not compression:
        compression = "gzip"
    dockers = any(not spec.on("oci-mediatypes", default=True) for spec in specs)
    if dockers and compression in ("zstd", "estargz"):
        raise Invalid(
            f"compression={compression} needs OCI's media types", hint="leave oci-mediatypes=false out"
        )
    making = Making(
        compression=compression, level=level, force=force, annotations=tuple(found), dockers=dockers
    )
    return Outputs(
        library=library or not specs, push=push, names=tuple(all_names), files=tuple(files), making=making
    )


def _check(spec: OutputSpec) -> None:
    known = _KNOWN.get(spec.type)
    if known is None:
        kinds = ", ".join(sorted(_KNOWN))
        raise Invalid(f"unknown output type {spec.type!r}", hint=f"known are {kinds}")
    for key in spec.attributes:
        if key not in known and not (key.startswith("annotation") and "annotation" in known):
            raise Invalid(
                f"output type {spec.type} does not know {key!r}",
                hint=f"it knows {', '.join(sorted(known)) or 'nothing'}",
            )
    compression = spec.attributes.get("compression", "")
    if compression and compression not in COMPRESSIONS:
        raise Invalid(f"unknown compression {compression!r}", hint=f"known are {', '.join(COMPRESSIONS)}")


def _level(spec: OutputSpec, before: int | None) -> int | None:
    text = spec.attributes.get("compression-level", "")
    if not text:
        return before
    most = 22 if spec.attributes.get("compression") == "zstd" else 9
    if not text.isdecimal() or int(text) > most:
        raise Invalid(f"invalid compression-level {text!r}", hint=f"a number from 0 to {most}")
    return int(text)


_PLACES = frozenset({"manifest", "index", "manifest-descriptor", "index-descriptor"})


def annotation(text: str) -> list[tuple[str, str, str]]:
    """`[place[,place]:]KEY=VALUE` as (place, key, value), one for each place. Raises Invalid."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Invalid(f"invalid annotation {text!r}", hint="write KEY=VALUE, or manifest:KEY=VALUE")
    head, colon, key = name.partition(":")
    places = [each.partition("[")[0] for each in head.split(",")]
    if colon and set(places) <= _PLACES:
        return [(place, key, value) for place in places]
    # BuildKit's form in outputs: annotation-index.KEY
    place, dot, rest = name.partition(".")
    if dot and place in _PLACES:
        return [(place, rest, value)]
    return [("manifest", name, value)]


def at(annotations: Sequence[tuple[str, str, str]], place: str) -> Mapping[str, str]:
    """The annotations of one place."""
    return {key: value for where, key, value in annotations if where == place}
