"""Log drivers and their options: what may be asked for, and what the monitor is told. Pure, but for `unheard`.

Every driver but none also keeps the file that `logs` reads: json-file and local are that file, syslog and journald
send beside it (Docker's "dual logging"), unless `cache-disabled=true`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

from nakagin.errors import Invalid, Unsupported
from nakagin.spec.size import parse_size

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.spec import docker

DRIVERS = ("journald", "json-file", "local", "none", "syslog")
JOURNAL_SOCKET = "/run/systemd/journal/socket"
SYSLOG_SOCKET = "/dev/log"
#: Bytes that may wait with mode=non-blocking, as in Docker.
BUFFER = 1 << 20

_COMMON = frozenset({"labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"})
_FILE = frozenset({"max-size", "max-file", "compress"})
_CACHE = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_SYSLOG = frozenset({"syslog-address", "syslog-facility", "syslog-format"})
_SYSLOG_TLS = frozenset({"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"})
OPTIONS: Mapping[str, frozenset[str]] = {
    "json-file": _COMMON | _FILE,
    "local": _COMMON | _FILE,
    "journald": _COMMON | _CACHE,
    "syslog": _COMMON | _CACHE | _SYSLOG | _SYSLOG_TLS,
    "none": _COMMON | _FILE,
}
# syslog(3), in the order of their numbers.
_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")

Message = dict[str, Any]


def check(log: docker.LogConfig) -> None:
    """Raise Invalid, in Docker's words, or Unsupported for what cannot be."""
    if log.type not in DRIVERS:
        raise Invalid(
            f"logger: no log driver named '{log.type}' is registered", hint=f"one of {', '.join(DRIVERS)}"
        )
    for name in log.config:
        if name not in OPTIONS[log.type]:
            known = ", ".join(sorted(OPTIONS[log.type]))
            raise Invalid(f"unknown log opt '{name}' for {log.type} log driver", hint=f"known: {known}")
    size, count = bounds(log)
    if _flag(log, "compress") and "compress" in log.config and (count < 2 or not size):
        raise Invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    _flag(log, "cache-disabled")
    for name in ("labels-regex", "env-regex"):
        _pattern(log, name)
    _check_mode(log)
    if log.type == "syslog":
        _check_syslog(log)
    expand_tag(log.config.get("tag", ""), dict.fromkeys(_TAG_WORDS, ""))


def _check_mode(log: docker.LogConfig) -> None:
    mode = log.config.get("mode", "")
    if mode not in {"", "blocking", "non-blocking"}:
        raise Invalid(f"logger: logging mode not supported: {mode}", hint="blocking or non-blocking")
    if "max-buffer-size" in log.config:
        if mode != "non-blocking":
            raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        if parse_size(log.config["max-buffer-size"], "max-buffer-size") <= 0:
            raise Invalid("logger: max-buffer-size must be positive")


def _check_syslog(log: docker.LogConfig) -> None:
    if tls := _SYSLOG_TLS & set(log.config):
        raise Unsupported(
            f"{min(tls)}: syslog over TLS is not supported", hint="send to a local syslog daemon"
        )
    syslog_address(log.config.get("syslog-address", ""))
    syslog_facility(log.config.get("syslog-facility", ""))
    if (form := log.config.get("syslog-format", "")) not in _FORMATS:
        raise Invalid(f"Invalid syslog format: {form}", hint="rfc3164, rfc5424 or rfc5424micro")


def unheard(log: docker.LogConfig) -> list[str]:
    """A warning where nobody listens on this machine: the lines are kept, and sent when somebody does."""
    place = ""
    if log.type == "journald":
        place = JOURNAL_SOCKET
    elif log.type == "syslog":
        kind, where = syslog_address(log.config.get("syslog-address", ""))
        place = where if kind in {"unix", "unixgram"} and isinstance(where, str) else ""
    if not place or os.path.exists(place):
        return []
    return [
        f"Nobody listens at {place}: the lines of this container are not sent to {log.type} until somebody does"
    ]


def bounds(log: docker.LogConfig) -> tuple[int, int]:
    """(bytes of one log file, number of files); bounded unless the request says max-size=-1."""
    prefix = "cache-" if log.type in {"syslog", "journald"} else ""
    name = f"{prefix}max-size"
    size = log.config.get(name, "20m")
    count = log.config.get(f"{prefix}max-file", "5" if name not in log.config else "1")
    if not count.isdecimal() or int(count) < 1:
        raise Invalid(f"max-file cannot be less than 1: {count}")
    return (0 if size == "-1" else parse_size(size, name)), int(count)


def _flag(log: docker.LogConfig, name: str) -> bool:
    text = log.config.get(name, "")
    if text.lower() not in {"", "true", "false", "1", "0", "t", "f"}:
        raise Invalid(f"invalid value for {name}: {text!r}", hint="true or false")
    return text.lower() in {"true", "1", "t"}


def _pattern(log: docker.LogConfig, name: str) -> re.Pattern[str] | None:
    text = log.config.get(name, "")
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise Invalid(f"invalid value for {name}: {text!r}: {error}") from None


def syslog_facility(text: str) -> int:
    """The number of a facility: a name, a number, or "" for daemon."""
    if not text:
        return _FACILITIES.index("daemon")
    if text in _FACILITIES:
        return _FACILITIES.index(text)
    if text.isdecimal() and int(text) <= 23:
        return int(text)
    raise Invalid(f"invalid syslog facility: {text}", hint="daemon, user, local0 …, or 0 to 23")


def syslog_address(text: str) -> tuple[str, str | tuple[str, int]]:
    """(kind, place) of "udp://host:514", "unixgram:///path" …; "" is this machine's own socket."""
    if not text:
        return "unixgram", SYSLOG_SOCKET
    parts = urlsplit(text)
    if parts.scheme in {"unix", "unixgram"} and parts.path:
        return parts.scheme, parts.path
    if parts.scheme == "tcp+tls":
        raise Unsupported("syslog over TLS is not supported", hint="send to a local syslog daemon")
    try:
        host, port = parts.hostname, parts.port or 514
    except ValueError:
        host = None
    if parts.scheme not in {"tcp", "udp"} or not host:
        raise Invalid(
            f"syslog-address should be in form proto://address, got {text}",
            hint="udp://host:port, tcp://host:port, unix:///path or unixgram:///path",
        )
    return parts.scheme, (host, port)


_TAG_WORDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName", "Command")
_PLACE = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


def expand_tag(text: str, words: Mapping[str, str]) -> str:
    """A tag with {{.Name}} and the like filled in; Invalid for anything else in braces."""

    def word(match: re.Match[str]) -> str:
        if match[1] not in words:
            known = ", ".join(f"{{{{.{each}}}}}" for each in _TAG_WORDS)
            raise Invalid(f"invalid log opt tag: {text!r}", hint=f"may contain {known}")
        return words[match[1]]

    found = _PLACE.sub(word, text)
    if not words.get("ID") and "{{" in found:
        raise Invalid(f"invalid log opt tag: {text!r}", hint="{{.Name}}, {{.ID}}, {{.ImageName}} …")
    return found


def _tag(record: Container, default: str) -> str:
    image = record.image_id.removeprefix("sha256:")
    words = {
        "ID": record.id[:12], "FullID": record.id, "Name": record.name, "ImageID": image[:12], "ImageFullID": image,
        "ImageName": record.config.image, "DaemonName": "nakagin", "Command": " ".join(record.command),
    }  # fmt: skip
    return expand_tag(record.host_config.log_config.config.get("tag", default), words)


def attributes(record: Container) -> dict[str, str]:
    """What `labels`, `env` (names, or regular expressions) and `tag` choose."""
    log = record.host_config.log_config
    variables = dict(text.partition("=")[::2] for text in record.config.env)
    found = _chosen(record.config.labels, log.config.get("labels", ""), _pattern(log, "labels-regex"))
    found |= _chosen(variables, log.config.get("env", ""), _pattern(log, "env-regex"))
    if log.config.get("tag"):
        found["tag"] = _tag(record, "")
    return found


def _chosen(values: Mapping[str, str], names: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    wanted: Callable[[str], bool] = lambda key: bool(pattern and pattern.search(key))  # noqa: E731
    listed = set(names.split(","))
    return {key: value for key, value in values.items() if key in listed or wanted(key)}


def shown(found: Mapping[str, str]) -> str:
    """Attributes as `logs --details` shows them: key=value, escaped as in a URL, in order."""
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(found.items()))


def is_readable(log: docker.LogConfig) -> bool:
    """Whether there is a file that `logs` can read."""
    return log.type != "none" and not _flag(log, "cache-disabled")


def order(record: Container, path: str, hostname: str) -> Message:
    """The "log" of the launch request (keys: monitor.protocol): `path` is the container's log file."""
    log = record.host_config.log_config
    size, count = bounds(log)
    kept = is_readable(log)
    order: Message = {
        "driver": "json-file" if kept else "none", "path": path, "max_size": size, "max_file": count,
        "compress": count > 1 and size > 0 and _compresses(log),
    }  # fmt: skip
    if kept and (found := attributes(record)):
        order["attributes"] = found
    if log.config.get("mode") == "non-blocking":
        order["buffer"] = parse_size(log.config.get("max-buffer-size", str(BUFFER)))
    if log.type == "syslog":
        order["forward"] = {
            "driver": "syslog", "address": syslog_address(log.config.get("syslog-address", "")),
            "facility": syslog_facility(log.config.get("syslog-facility", "")),
            "form": log.config.get("syslog-format", ""), "tag": _tag(record, "{{.ID}}"), "hostname": hostname,
        }  # fmt: skip
    elif log.type == "journald":
        order["forward"] = {"driver": "journald", "path": JOURNAL_SOCKET, "fields": _journal_fields(record)}
    return order


def _compresses(log: docker.LogConfig) -> bool:
    """Docker's `local` and its caches compress unless they are told not to."""
    name = "cache-compress" if log.type in {"syslog", "journald"} else "compress"
    return _flag(log, name) if name in log.config else log.type != "json-file"


def _journal_fields(record: Container) -> dict[str, str]:
    tag = _tag(record, "{{.ID}}")
    fields = {
        "CONTAINER_ID": record.id[:12], "CONTAINER_ID_FULL": record.id, "CONTAINER_NAME": record.name,
        "CONTAINER_TAG": tag, "IMAGE_NAME": record.config.image, "SYSLOG_IDENTIFIER": tag,
    }  # fmt: skip
    for key, value in attributes(record).items():
        # The journal takes capital letters, digits and underscores, the first a letter.
        name = re.sub("[^A-Z0-9_]", "_", key.upper()).lstrip("_0123456789")
        if name and key != "tag":
            fields.setdefault(name, value)
    return fields
