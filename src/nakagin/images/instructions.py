"""Dockerfile instructions that change an image's config: the `--change` of import, commit and bootstrap.

Pure: text and a config in, a new config out. The full language (RUN, COPY, stages) is not here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import msgspec

from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.spec.image import ContainerDefaults, Healthcheck

_VARIABLE = re.compile(r"\\(.)|\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""")
_QUOTING = re.compile(r"""\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'""")
_PORT = re.compile(r"\d{1,5}(?:-\d{1,5})?(?:/(?:tcp|udp|sctp))?")
_HEALTH_FLAGS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
    "retries": "Retries",
}


def changed(config: ContainerDefaults, instructions: Sequence[str]) -> ContainerDefaults:
    """The config after the instructions, one per string (`CMD ["sh"]`, `ENV A=b`). Raises Invalid."""
    result = cast("ContainerDefaults", {key: _copy(value) for key, value in config.items()})
    for line in instructions:
        keyword, _, rest = line.strip().partition(" ")
        change = _CHANGES.get(keyword.upper())
        if change is None:
            known = ", ".join(sorted(_CHANGES))
            raise Invalid(f"{keyword} is not a valid change command", where=line, hint=f"known are {known}")
        rest = rest.strip()
        if not rest:
            raise Invalid(f"{keyword.upper()} requires an argument", where=line)
        try:
            change(result, rest)
        except Invalid as error:
            raise Invalid(error.message, where=line, hint=error.hint) from None
    return result


def _copy(value: object) -> object:
    return list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def _command(text: str, config: ContainerDefaults) -> list[str]:
    """The exec form (a JSON array), or the shell form run by the image's shell."""
    words = _array(text)
    return words if words is not None else [*(config.get("Shell") or ["/bin/sh", "-c"]), text]


def _array(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        return None


def _words(text: str, config: ContainerDefaults) -> list[str]:
    """Words as the shell splits and unquotes them, variables of the image's environment filled in."""
    return [_unquoted(_expanded(word, config)) for word in _WORD.findall(text)]


def _unquoted(word: str) -> str:
    def plain(match: re.Match[str]) -> str:
        escaped, double, single = match.groups()
        return escaped or single or re.sub(r"\\(.)", r"\1", double or "")

    return _QUOTING.sub(plain, word)


def _expanded(word: str, config: ContainerDefaults) -> str:
    values = dict(each.partition("=")[::2] for each in config.get("Env") or ())

    def value(match: re.Match[str]) -> str:
        escaped, braced, bare = match.groups()
        return match[0] if escaped else values.get(braced or bare, "")

    return word if word.startswith("'") else _VARIABLE.sub(value, word)


def _pairs(text: str, config: ContainerDefaults) -> list[tuple[str, str]]:
    """KEY=VALUE words; or, as of old, one key, a blank, and the rest of the line."""
    words = _words(text, config)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value:
            raise Invalid(f"{key} has no value", hint="write KEY=VALUE")
        return [(key, _unquoted(_expanded(value.strip(), config)))]
    pairs = [(key, value) for key, equals, value in (word.partition("=") for word in words) if key and equals]
    if len(pairs) != len(words):
        raise Invalid("not all words have the form KEY=VALUE")
    return pairs


def _cmd(config: ContainerDefaults, text: str) -> None:
    config["Cmd"] = _command(text, config)


def _entrypoint(config: ContainerDefaults, text: str) -> None:
    config["Entrypoint"] = _command(text, config)


def _shell(config: ContainerDefaults, text: str) -> None:
    words = _array(text)
    if not words:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    config["Shell"] = words


def _env(config: ContainerDefaults, text: str) -> None:
    lines = {line.partition("=")[0]: line for line in config.get("Env") or ()}
    for key, value in _pairs(text, config):
        lines[key] = f"{key}={value}"
    config["Env"] = list(lines.values())


def _label(config: ContainerDefaults, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(text, config))}


def _expose(config: ContainerDefaults, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(text, config):
        if not _PORT.fullmatch(word):
            raise Invalid(f"invalid port {word!r}", hint="write 80, 80/udp or 8000-8010/tcp")
        numbers, _, protocol = word.partition("/")
        first, _, last = numbers.partition("-")
        low, high = int(first), int(last or first)
        if not 0 < low <= high <= 65535:
            raise Invalid(f"invalid port {word!r}", hint="ports are 1 to 65535")
        for port in range(low, high + 1):
            ports[f"{port}/{protocol or 'tcp'}"] = {}
    config["ExposedPorts"] = ports


def _volume(config: ContainerDefaults, text: str) -> None:
    paths = _array(text)
    volumes = dict(config.get("Volumes") or {})
    for path in _words(text, config) if paths is None else paths:
        volumes[path] = {}
    config["Volumes"] = volumes


def _workdir(config: ContainerDefaults, text: str) -> None:
    path = _words(text, config)[0]
    if not path.startswith("/"):
        path = f"{config.get('WorkingDir', '').rstrip('/')}/{path}"
    config["WorkingDir"] = path


def _user(config: ContainerDefaults, text: str) -> None:
    config["User"] = _words(text, config)[0]


def _stop_signal(config: ContainerDefaults, text: str) -> None:
    config["StopSignal"] = _words(text, config)[0]


def _onbuild(config: ContainerDefaults, text: str) -> None:
    if text.partition(" ")[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
        raise Invalid(f"{text.partition(' ')[0]} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or ()), text]


def _healthcheck(config: ContainerDefaults, text: str) -> None:
    check: dict[str, object] = {}
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        name, _, value = flag[2:].partition("=")
        if name not in _HEALTH_FLAGS:
            raise Invalid(f"unknown flag {flag!r}", hint="known are --" + ", --".join(_HEALTH_FLAGS))
        check[_HEALTH_FLAGS[name]] = _retries(value) if name == "retries" else parse_duration(value)
        text = text.strip()
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE":
        check = {"Test": ["NONE"]}
    elif kind.upper() == "CMD" and command.strip():
        words = _array(command.strip())
        check["Test"] = ["CMD", *words] if words else ["CMD-SHELL", command.strip()]
    else:
        raise Invalid("HEALTHCHECK needs CMD and a command, or NONE")
    config["Healthcheck"] = cast("Healthcheck", check)


def _retries(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise Invalid(f"--retries must be a positive number, not {text!r}")
    return int(text)


_CHANGES: dict[str, Callable[[ContainerDefaults, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
