"""Nodes to typed instructions: arguments counted, flags read, forms told apart. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.devices import parse_device
from nakagin.dockerfile.fault import DockerfileError, nearest
from nakagin.dockerfile.flags import Flags
from nakagin.dockerfile.mounts import parse_mount
from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.dockerfile.nodes import Heredoc, Node

_NO_TRIGGER = frozenset({"ONBUILD", "FROM", "MAINTAINER"})
_NETWORKS = ("default", "none", "host")
_SECURITY = ("sandbox", "insecure")
_SHORTEST_HEALTH_TIME = 1_000_000  # one millisecond in nanoseconds


def decode(node: Node) -> i.Instruction:
    """The instruction that a node means. Raises DockerfileError, with the node's lines."""
    decoder = _DECODERS.get(node.keyword)
    try:
        if decoder is None:
            raise DockerfileError(
                f"unknown instruction: {node.spelling}",
                hint=nearest(node.keyword, _DECODERS),
                needle=node.spelling,
            )
        return decoder(node, Flags(node))
    except DockerfileError as error:
        raise error.at(node.start, node.end) from None
    except Invalid as error:
        raise DockerfileError(error.message, start=node.start, end=node.end, hint=error.hint) from None


def _exactly_one(node: Node) -> str:
    if len(node.values) != 1:
        raise DockerfileError(f"{node.keyword} requires exactly one argument")
    return node.values[0]


def _at_least(node: Node, count: int) -> tuple[str, ...]:
    if len(node.values) < count:
        number = "one argument" if count == 1 else "two arguments"
        raise DockerfileError(f"{node.keyword} requires at least {number}")
    return node.values


def _from(node: Node, flags: Flags) -> i.From:
    values = node.values
    if len(values) == 3 and values[1].upper() == "AS":
        return i.From(
            node=node, image=values[0], platform=flags.text("platform"), name=_stage_name(values[2])
        )
    if len(values) != 1:
        raise DockerfileError("FROM requires either one or three arguments", hint="write FROM IMAGE AS NAME")
    return i.From(node=node, image=values[0], platform=flags.text("platform"))


def _stage_name(name: str) -> str:
    lowered = name.lower()
    if not lowered[:1].isalpha() or not all(char.isalnum() or char in "-_." for char in lowered):
        hint = "a letter first, then letters, digits, dots, hyphens and underscores"
        raise DockerfileError(f"invalid name for build stage: {name!r}", hint=hint, needle=name)
    return lowered


def _arg(node: Node, _flags: Flags) -> i.Arg:
    arguments: list[tuple[str, str | None]] = []
    for word in _at_least(node, 1):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank")
        arguments.append((name, value if equals else None))
    return i.Arg(node=node, arguments=tuple(arguments))


def _pairs(node: Node) -> tuple[tuple[str, str], ...]:
    values = _at_least(node, 1)
    pairs = tuple(zip(values[::2], values[1::2], strict=True))
    if not all(name for name, _ in pairs):
        raise DockerfileError(f"{node.keyword} names can not be blank")
    return pairs


class _Transfer(TypedDict):
    """What COPY and ADD have in common, as the fields of `instructions.Transfer`."""

    node: Node
    sources: tuple[str, ...]
    destination: str
    documents: tuple[Heredoc, ...]
    chown: str
    chmod: str
    link: bool
    exclude: tuple[str, ...]


def _transfer(node: Node, flags: Flags) -> _Transfer:
    values = _at_least(node, 2)
    announced = {
        f"<<{dash}{quote}{each.name}{quote}"
        for each in node.heredocs
        for dash in ("", "-")
        for quote in ("", '"', "'")
    }
    if values[-1] in announced:
        raise DockerfileError(f"{node.keyword} cannot accept a heredoc as a destination")
    return {
        "node": node,
        "sources": tuple(value for value in values[:-1] if value not in announced or node.json),
        "destination": values[-1],
        "documents": node.heredocs,
        "chown": flags.text("chown"),
        "chmod": flags.text("chmod"),
        "link": flags.truth("link"),
        "exclude": flags.texts("exclude"),
    }


def _copy(node: Node, flags: Flags) -> i.Copy:
    common = _transfer(node, flags)
    if flags.text("from") and common["documents"]:
        raise DockerfileError("COPY --from cannot take inline documents", hint="use two COPY instructions")
    return i.Copy(**common, origin=flags.text("from"), parents=flags.truth("parents"))


def _add(node: Node, flags: Flags) -> i.Add:
    return i.Add(
        **_transfer(node, flags),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.truth("keep-git-dir"),
        unpack=flags.perhaps("unpack"),
    )


def _command(node: Node) -> i.Command:
    return i.Command(node.values, shell=not node.json)


def _run(node: Node, flags: Flags) -> i.Run:
    mounts = flags.texts("mount")
    for mount in mounts:
        if "$" not in mount:
            parse_mount(mount)
    if not node.values and not node.heredocs:
        raise DockerfileError("RUN requires at least one argument")
    return i.Run(
        node=node,
        command=_command(node),
        mounts=mounts,
        network=_one_of(flags, "network", _NETWORKS),
        security=_one_of(flags, "security", _SECURITY),
        devices=tuple(map(parse_device, flags.texts("device"))),
        documents=node.heredocs,
    )


def _one_of(flags: Flags, name: str, known: tuple[str, ...]) -> str:
    value = flags.text(name) or known[0]
    if value not in known:
        hint = nearest(value, known) or f"known are {', '.join(known)}"
        raise DockerfileError(f"invalid value {value!r} of flag --{name}", hint=hint, needle=value)
    return value


def _shell(node: Node, _flags: Flags) -> i.Shell:
    if not node.json:
        raise DockerfileError(
            "SHELL requires the arguments to be in JSON form", hint='write SHELL ["/bin/sh", "-c"]'
        )
    return i.Shell(node=node, words=_at_least(node, 1))


def _volume(node: Node, _flags: Flags) -> i.Volume:
    paths = _at_least(node, 1)
    if any(not path.strip() for path in paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return i.Volume(node=node, paths=paths)


def _onbuild(node: Node, _flags: Flags) -> i.Onbuild:
    if node.trigger is None:
        raise DockerfileError("ONBUILD requires at least one argument")
    if node.trigger.keyword == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if node.trigger.keyword in _NO_TRIGGER:
        raise DockerfileError(
            f"{node.trigger.keyword} isn't allowed as an ONBUILD trigger", needle=node.trigger.spelling
        )
    decode(node.trigger)
    _, _, text = node.original.lstrip().partition(node.spelling)
    return i.Onbuild(node=node, text=text.strip())


def _healthcheck(node: Node, flags: Flags) -> i.Healthcheck:
    if not node.values:
        raise DockerfileError("HEALTHCHECK requires at least one argument")
    kind, *command = node.values
    if kind.upper() == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        if node.flags:
            raise DockerfileError("HEALTHCHECK NONE takes no flags")
        return i.Healthcheck(node=node, test=("NONE",))
    if kind.upper() != "CMD":
        hint = nearest(kind.upper(), ("CMD", "NONE")) or "write HEALTHCHECK CMD COMMAND or HEALTHCHECK NONE"
        raise DockerfileError(f"unknown type {kind!r} in HEALTHCHECK", hint=hint, needle=kind)
    if not command:
        raise DockerfileError("missing command after HEALTHCHECK CMD")
    return i.Healthcheck(
        node=node,
        test=("CMD", *command) if node.json else ("CMD-SHELL", *command),
        interval=_time(flags, "interval"),
        timeout=_time(flags, "timeout"),
        start_period=_time(flags, "start-period"),
        start_interval=_time(flags, "start-interval"),
        retries=_retries(flags),
    )


def _time(flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    nanoseconds = parse_duration(text)
    if nanoseconds < 0 or 0 < nanoseconds < _SHORTEST_HEALTH_TIME:
        raise DockerfileError(f"interval {name!r} cannot be less than 1ms", hint="write 30s or 1m30s")
    return nanoseconds


def _retries(flags: Flags) -> int:
    text = flags.text("retries")
    if not text:
        return 0
    if not text.isdecimal():
        raise DockerfileError(f"--retries must be a number that is not negative, not {text!r}")
    return int(text)


_DECODERS: dict[str, Callable[[Node, Flags], i.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda node, _: i.Cmd(node=node, command=_command(node)),
    "COPY": _copy,
    "ENTRYPOINT": lambda node, _: i.Entrypoint(node=node, command=_command(node)),
    "ENV": lambda node, _: i.Env(node=node, pairs=_pairs(node)),
    "EXPOSE": lambda node, _: i.Expose(node=node, ports=_at_least(node, 1)),
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda node, _: i.Label(node=node, pairs=_pairs(node)),
    "MAINTAINER": lambda node, _: i.Maintainer(node=node, name=_exactly_one(node)),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda node, _: i.Stopsignal(node=node, signal=_exactly_one(node)),
    "USER": lambda node, _: i.User(node=node, user=_exactly_one(node)),
    "VOLUME": _volume,
    "WORKDIR": lambda node, _: i.Workdir(node=node, path=_exactly_one(node)),
}
