"""An image's history → a Dockerfile that makes it again. Pure.

What runs or sets the scene for it (RUN, ENV, WORKDIR, USER, ARG, SHELL) stands in the history's order. Settings that
only the result has (CMD, EXPOSE, LABEL …) come from the configuration, as histories write them in several ways. What a
step copied is in no history: it is taken from the image's own layers where a folder is there for them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

_NOTHING_DONE = re.compile(r"^(?:/bin/sh -c )?#\(nop\)\s+")
_INTERPRETER = r"/bin/(?:ba|a|da)?sh (?:-\S+ (?:pipefail )?)*?-\w*c "
_ARGUMENTS = re.compile(rf"^\|\d+ (.*?)\s*(?={_INTERPRETER})")
_SHELL = re.compile(rf"^(?:RUN )?{_INTERPRETER}")
_RUNS = re.compile(rf"^(?:RUN |\|\d+ |{_INTERPRETER})")
_DIGEST = re.compile(r"^(COPY|ADD) (?:--\S+ )*(?:multi:|file:|dir:)[0-9a-f]{64} in (\S+)\s*$")
_IN_PLACE = ("ARG", "WORKDIR", "USER", "ONBUILD")
_FROM_CONFIG = (
    "CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "STOPSIGNAL", "VOLUME",
)  # fmt: skip
_PLAIN = re.compile(r"[\w./:@%+,=~*-]+")


class Source(NamedTuple):
    """What an image is made again from: its name, its steps oldest first (as `GET …/explain` has them), settings, id.

    Of the steps, those of `base` ("scratch" where there is none) with its settings are left out.
    """

    name: str
    steps: Sequence[Document]
    config: Document
    image: str
    base: str
    base_layers: int
    base_config: Document


def base_of(layers: Sequence[str], others: Mapping[str, Sequence[str]]) -> tuple[str, int]:
    """(name, layers) of the largest other image that this one begins with; ("scratch", 0) where there is none.

    `layers` are diff IDs, base first; `others` maps a name to its own.
    """
    shared = {
        name: len(theirs)
        for name, theirs in others.items()
        if theirs and len(theirs) < len(layers) and list(layers[: len(theirs)]) == list(theirs)
    }
    if not shared:
        return "scratch", 0
    name = max(shared, key=lambda each: (shared[each], -len(each)))
    return name, shared[name]


def copied(source: Source) -> list[int]:
    """The layers (the lowest is 0) whose files no instruction tells: they were copied, committed or imported."""
    found = []
    number = source.base_layers
    for step in _after(source):
        if not step["DiffId"]:
            continue
        if not _told(str(step["CreatedBy"])):
            found.append(number)
        number += 1
    return found


def dockerfile(
    source: Source, archives: Mapping[int, Sequence[str]], changes: Sequence[str] | None = None
) -> str:
    """The text. `archives` maps a layer's number to what it deletes, where its files are kept as `archive(number)`.

    `changes` is what a container deleted on top, where what it changed is kept as CHANGES; None without a container.
    """
    lines = [f"# Written by `nakagin init` from the history of {source.name}."]
    if not archives and copied(source):
        lines += [
            "# A history holds no files: put back yourself what COPY names by a digest, or name a folder to",
            "# `nakagin init`, which then takes it from the image.",
        ]
    lines += ["", f"FROM {source.base}"]
    number = source.base_layers
    for step in _after(source):
        if step["DiffId"] and number in archives:
            lines += [
                f"# {_words(step)}",
                *_unpacked(archive(number), archives[number], _user(source, lines)),
            ]
        else:
            lines += [line for line in _instruction(step, source.config) if not _repeated(line, lines)]
        number += bool(step["DiffId"])
    if changes is not None:
        lines += ["# What the container changed", *_unpacked(CHANGES, changes, _user(source, lines))]
    lines += _settings(source, lines)
    return "\n".join(lines) + "\n"


CHANGES = "changes.tar"


def archive(number: int) -> str:
    """The name of the file with a layer's content."""
    return f"layer-{number + 1}.tar"


def _after(source: Source) -> Iterator[Document]:
    """The steps after the base's last layer, and after the settings that followed in the base."""
    rest = list(source.steps)
    seen = 0
    while rest and seen < source.base_layers:
        seen += bool(rest.pop(0)["DiffId"])
    yield from rest


def _told(created_by: str) -> bool:
    """Whether an instruction says all that it did. A commit has the container's command there, which made nothing."""
    text = _NOTHING_DONE.sub("", created_by)
    return bool(_RUNS.match(text)) or text.partition(" ")[0] in {*_IN_PLACE, *_FROM_CONFIG, "ENV", "SHELL"}


def _words(step: Document) -> str:
    said = (
        _NOTHING_DONE.sub("", str(step["CreatedBy"]))
        or str(step["Comment"])
        or "a layer of which nothing is said"
    )
    return " ".join(said.removesuffix(" # buildkit").split())


def _unpacked(name: str, deleted: Sequence[str], user: str) -> Iterator[str]:
    """Delete as root, whoever the user is at this place; then add."""
    if deleted:
        root = user in {"", "0", "root"}
        yield from [] if root else ["USER 0"]
        yield f"RUN {json.dumps(['rm', '-rf', *deleted], ensure_ascii=False)}"
        yield from [] if root else [f"USER {user}"]
    yield f"ADD {name} /"


def _user(source: Source, lines: Sequence[str]) -> str:
    return _last("USER", lines) or str(source.base_config.get("User") or "")


def _last(word: str, lines: Sequence[str]) -> str | None:
    """What the last such instruction says; None where there is none."""
    return next((line.partition(" ")[2] for line in reversed(lines) if line.startswith(f"{word} ")), None)


def _repeated(line: str, lines: Sequence[str]) -> bool:
    """Histories repeat the arguments at each RUN."""
    return line.startswith("ARG ") and line in lines


def _instruction(step: Document, config: Document) -> Iterator[str]:
    text = str(step["CreatedBy"]).removesuffix(" # buildkit").strip()
    if nothing := _NOTHING_DONE.match(text):
        text = text[nothing.end() :]
    elif arguments := _ARGUMENTS.match(text):
        yield from (f"ARG {word}" for word in arguments[1].split())
        text = text[arguments.end() :]
    word = text.partition(" ")[0]
    if word in _FROM_CONFIG:
        return
    if shell := _SHELL.match(text):
        yield from _run(text[shell.end() :])
    elif digest := _DIGEST.match(text):
        yield f"# {text}"
        yield f"{digest[1]} ./files-of-this-step/ {digest[2]}"
    elif word == "ENV":
        yield from _environment(text[4:], config)
    elif word == "SHELL":
        yield f"SHELL {json.dumps(config.get('Shell') or ['/bin/sh', '-c'])}"
    elif word in _IN_PLACE or word in {"COPY", "ADD"}:
        yield text
    elif text.startswith("RUN "):
        yield from _run(text[4:])
    else:
        yield f"# {_words(step)}"


def _run(script: str) -> Iterator[str]:
    """A RUN; one of several lines was a here-document, or had its line ends escaped, which is the same."""
    if "\n" not in script:
        yield f"RUN {script}"
        return
    yield "RUN <<EOF_OF_THIS_STEP"
    yield from script.rstrip("\n").split("\n")
    yield "EOF_OF_THIS_STEP"


def _environment(text: str, config: Document) -> Iterator[str]:
    """`A=b c D=e` is ambiguous: a name is one that the image has."""
    names = {str(each).partition("=")[0] for each in config.get("Env") or ()}
    starts = [
        match.start()
        for match in re.finditer(r"(?:^|(?<=\s))([A-Za-z_]\w*)=", text)
        if match.start() == 0 or match[1] in names
    ] or [0]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        name, _, value = text[start:end].strip().partition("=")
        yield f"ENV {name}={_quoted(value)}"


def _quoted(value: str) -> str:
    if value == "" or (_PLAIN.fullmatch(value) and "\n" not in value):
        return value or '""'
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _settings(source: Source, lines: Sequence[str]) -> Iterator[str]:
    """What the configuration has, and neither the base nor a line before."""
    config, base = source.config, source.base_config
    yield from _variables(config, base, lines)
    labels = base.get("Labels") or {}
    for name, value in sorted((config.get("Labels") or {}).items()):
        if labels.get(name) != value:
            yield f"LABEL {_quoted(name)}={_quoted(value)}"
    if ports := set(config.get("ExposedPorts") or ()) - set(base.get("ExposedPorts") or ()):
        yield "EXPOSE " + " ".join(sorted(ports))
    if volumes := set(config.get("Volumes") or ()) - set(base.get("Volumes") or ()):
        yield f"VOLUME {json.dumps(sorted(volumes), ensure_ascii=False)}"
    for word, key, usual in (("WORKDIR", "WorkingDir", "/"), ("USER", "User", "0")):
        before = _last(word, lines)
        if (base.get(key) or "" if before is None else before) != (config.get(key) or ""):
            yield f"{word} {config.get(key) or usual}"
    if (config.get("StopSignal") or "") != (base.get("StopSignal") or ""):
        yield f"STOPSIGNAL {config.get('StopSignal') or 'SIGTERM'}"
    if (config.get("Healthcheck") or {}) != (base.get("Healthcheck") or {}):
        yield _health(config.get("Healthcheck") or {})
    yield from _command(config, base)


def _variables(config: Document, base: Document, lines: Sequence[str]) -> Iterator[str]:
    known = dict(str(each).partition("=")[::2] for each in base.get("Env") or ())
    for line in lines:
        if line.startswith("ENV "):
            name, _, value = line[4:].partition("=")
            known[name] = value
    for each in config.get("Env") or ():
        name, _, value = str(each).partition("=")
        if known.get(name) not in {value, _quoted(value)}:
            yield f"ENV {name}={_quoted(value)}"


def _command(config: Document, base: Document) -> Iterator[str]:
    entrypoint = (config.get("Entrypoint") or []) != (base.get("Entrypoint") or [])
    if entrypoint:
        yield f"ENTRYPOINT {json.dumps(config.get('Entrypoint') or [], ensure_ascii=False)}"
    # An ENTRYPOINT takes the base's CMD away.
    if (config.get("Cmd") or []) != ([] if entrypoint else base.get("Cmd") or []):
        yield f"CMD {json.dumps(config.get('Cmd') or [], ensure_ascii=False)}"


_TIMES = (
    ("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start-period"),
    ("StartInterval", "start-interval"),
)  # fmt: skip


def _health(check: Document) -> str:
    kind, *words = check.get("Test") or ["NONE"]
    if kind == "NONE":
        return "HEALTHCHECK NONE"
    flags = [f"--{flag}={check[key] / 1e9:g}s" for key, flag in _TIMES if check.get(key)]
    if check.get("Retries"):
        flags.append(f"--retries={check['Retries']}")
    command = words[0] if kind == "CMD-SHELL" else json.dumps(words, ensure_ascii=False)
    return " ".join(["HEALTHCHECK", *flags, "CMD", command])


def told(container: str, changed: Sequence[Document]) -> str:
    """What a container changed on top of its image, as a comment: a Dockerfile alone cannot hold files."""
    if not changed:
        return ""
    kinds = {0: "changed", 1: "added", 2: "deleted"}
    rows = [f"#   {kinds.get(each['Kind'], '?'):<8} {each['Path']}" for each in changed]
    head = f"# Changed in the container since (`nakagin init --from-container {container} FOLDER` keeps it):"
    return "\n".join([head, *rows]) + "\n"
