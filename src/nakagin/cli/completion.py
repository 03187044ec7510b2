"""What may come next on a command line: verbs, flags, and the names of containers, images, networks and volumes."""

from __future__ import annotations

import os
import shlex

from nakagin.cli import registry
from nakagin.cli.flags import Flag
from nakagin.cli.main import GLOBAL_FLAGS
from nakagin.errors import NotFound, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nakagin.cli.command import Command
    from nakagin.client import Client

    Names = Callable[[str], Iterable[str]]

# verb → what its arguments name; the last word of a list goes for all that follow
ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("container attach", "container kill", "container pause", "container port", "container restart",
         "container stats", "container stop", "container top", "container unpause"),
        ("running",),
    ),
    **dict.fromkeys(
        ("container commit", "container diff", "container export", "container inspect", "container logs",
         "container rename", "container rm", "container update", "container wait", "container cp"),
        ("container",),
    ),
    "container start": ("stopped",),
    "container exec": ("running", ""),
    "container run": ("image", ""),
    "container create": ("image", ""),
    "capacity": ("image", ""),
    **dict.fromkeys(
        ("image history", "image inspect", "image push", "image rm", "image save", "image tag", "image cp"), ("image",)
    ),
    "image bootstrap": ("=busybox debian",),
    **dict.fromkeys(("network inspect", "network rm"), ("network",)),
    "explain": ("explained",),
    "debug": ("debugged",),
    "container recreate": ("container",),
    **dict.fromkeys(("context use", "context rm", "context inspect", "context export", "context update"), ("context",)),
    **dict.fromkeys(("network connect", "network disconnect"), ("network", "container")),
    **dict.fromkeys(
        ("volume inspect", "volume rm", "volume clone", "volume diff", "volume export", "volume import",
         "volume rename", "volume snapshot"),
        ("volume",),
    ),
    "inspect": ("anything",),
    "compare": ("=vm",),
    "completion": ("=bash zsh fish",),
}  # fmt: skip
# flag → what its value names
VALUES = {
    "network": "network", "net": "network", "link": "container", "volumes-from": "container", "like": "container",
    "from-container": "container", "from-image": "image", "volume": "volume", "pull": "=always missing never",
    "restart": "=no always on-failure unless-stopped", "format": "=json table", "context": "context",
    "log-driver": "=json-file local none", "tz": "=local", "progress": "=auto plain tty json quiet",
}  # fmt: skip
# the same where a verb means something else by a flag
VALUES_OF = {
    "sandbox": {"folder": "=overlay read-only write", "format": "=json text"},
    "init": {
        "language": "=python node go rust java php ruby dotnet c static", "format": "=json text",
        "from-container": "container", "from-image": "image",
    },
    "explain": {"type": "=container image network", "format": "=json text"},
    "inspect": {"type": "=container image network volume", "as": "=run compose kube python"},
    "capacity": {"like": "container", "network": "network", "format": "=json text"},
    "compare": {"format": "=json text"},
}  # fmt: skip


def candidates(line: str, names: Names) -> list[str]:
    """What may stand where the line ends, sorted. `names` gives the names of a kind; an empty answer means: a file."""
    words, current = split(line)
    rest, waiting = _past(GLOBAL_FLAGS, words[1:])
    if waiting is not None:
        return _matching(current, _kind(VALUES.get(waiting.name, ""), names))
    try:
        verb, _, used = registry.find(rest)
    except (NotFound, IndexError):
        return _matching(current, _top(rest, current))
    rest = rest[used:]
    if verb == "compose":
        return _matching(current, _composed(rest, current, names))
    if verb == "explain" and rest[:1] == ["run"]:
        verb, rest = "container run", rest[1:]
    command, kinds = registry.load(verb), ARGUMENTS.get(verb, ("",))
    return _matching(current, _after(command, kinds, VALUES | VALUES_OF.get(verb, {}), rest, current, names))


def split(line: str) -> tuple[list[str], str]:
    """The finished words of a line and the begun one ("" after a space)."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # an open quote: what it holds is the begun word
        words.append(lexer.token.lstrip("\"'"))
        return words[:-1], words[-1]
    if not line or line[-1].isspace() or not words:
        return words, ""
    return words[:-1], words[-1]


def _past(flags: Sequence[Flag], words: Sequence[str]) -> tuple[list[str], Flag | None]:
    """The words from the first on that is no flag nor its value, and the flag whose value comes next."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        flag = _flag(flags, word)
        if flag is not None and flag.kind != "bool" and "=" not in word:
            if not rest:
                return [], flag
            rest.pop(0)
    return rest, None


def _composed(words: list[str], current: str, names: Names) -> Iterable[str]:
    """After `compose`: its flags, a verb, the verb's flags, services."""
    from nakagin.cli.composing import completion
    from nakagin.cli.composing.context import FLAGS

    rest, waiting = _past(FLAGS, words)
    if waiting is not None:
        return _kind(VALUES.get(waiting.name, ""), names)
    if not rest:
        return _names_of(FLAGS) if current.startswith("-") else completion.verbs()
    found = completion.verb(rest[0])
    if found is None:
        return []

    def also(kind: str) -> Iterable[str]:
        return completion.services(words[: len(words) - len(rest)]) if kind == "service" else names(kind)

    return _after(*found, VALUES, rest[1:], current, also)


def _top(rest: Sequence[str], current: str) -> Iterator[str]:
    if rest and rest[0] in registry.NOUNS:
        yield from (name.split()[1] for name in registry.VERBS if name.startswith(rest[0] + " "))
    elif not rest and current.startswith("-"):
        yield from _names_of(GLOBAL_FLAGS)
    elif not rest:
        yield from {*registry.SHORT, *registry.NOUNS, *(name for name in registry.VERBS if " " not in name)}


def _after(
    command: Command,
    kinds: tuple[str, ...],
    values: Mapping[str, str],
    rest: list[str],
    current: str,
    names: Names,
) -> Iterable[str]:
    """After a verb: what its arguments name by `kinds`, its flags, or what they take by `values`."""
    arguments, waiting = _read(command, rest)
    if waiting is not None:
        return _kind(values.get(waiting.name, ""), names)
    if current.startswith("-") and (command.interspersed or not arguments):
        flag, equals, _ = current.partition("=")
        if equals and (found := _flag(command.flags, flag)):
            return [f"{flag}={value}" for value in _kind(values.get(found.name, ""), names)]
        return _names_of(command.flags)
    kind = kinds[min(len(arguments), len(kinds) - 1)]
    found_names = _kind(kind, names)
    return [name for name in found_names if name not in arguments]


def _read(command: Command, rest: list[str]) -> tuple[list[str], Flag | None]:
    """The arguments so far, and the flag whose value comes next."""
    arguments: list[str] = []
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not command.interspersed:
                return [*arguments, *words], None
            continue
        flag = _flag(command.flags, word)
        if flag is None or flag.kind == "bool" or "=" in word:
            continue
        if not words:
            return arguments, flag
        words.pop(0)
    return arguments, None


def _flag(flags: Iterable[Flag], word: str) -> Flag | None:
    name = word.partition("=")[0]
    for flag in flags:
        if name == f"--{flag.name}" or (flag.short and not name.startswith("--") and name[-1] == flag.short):
            return flag
    return None


def _names_of(flags: Iterable[Flag]) -> Iterator[str]:
    yield "--help"
    yield from (f"--{flag.name}" for flag in flags if not flag.hidden)


def _kind(kind: str, names: Names) -> list[str]:
    if kind.startswith("="):
        return kind[1:].split()
    return list(names(kind)) if kind else []


def _matching(current: str, found: Iterable[str]) -> list[str]:
    return sorted({each for each in found if each.startswith(current)})


def from_engine(client: Client) -> Names:
    """The names that an engine knows, by kind. An engine that does not answer knows none."""
    from nakagin.errors import NakaginError

    def names(kind: str) -> list[str]:
        try:
            return [name for each in _SOURCES[kind] for name in each(client)]
        except (NakaginError, OSError):
            return []

    return names


def similar(client: Client, name: str) -> str | None:
    """A hint that names the object of any kind whose name is the most similar; None where none is."""
    return nearest(name, from_engine(client)("anything"))


def _containers(client: Client, *statuses: str) -> list[str]:
    found = client.containers.list(all=True, filters={"status": list(statuses)} if statuses else None)
    return [each["Names"][0].lstrip("/") for each in found if each.get("Names")]


def _images(client: Client) -> list[str]:
    tags = [
        tag for each in client.images.list() for tag in each.get("RepoTags") or () if tag != "<none>:<none>"
    ]
    return [*tags, *(tag.removesuffix(":latest") for tag in tags if tag.endswith(":latest"))]


def _networks(client: Client) -> list[str]:
    return [each["Name"] for each in client.networks.list()]


def _volumes(client: Client) -> list[str]:
    return [each["Name"] for each in client.volumes.list()]


def _contexts(_client: Client) -> list[str]:
    from nakagin.client.contexts import DEFAULT, Contexts, config_folder

    return [DEFAULT, *Contexts(config_folder(os.environ)).names()]


_SOURCES: dict[str, tuple[Callable[[Client], list[str]], ...]] = {
    "container": (_containers,),
    "running": (lambda client: _containers(client, "running", "paused"),),
    "stopped": (lambda client: _containers(client, "created", "exited"),),
    "image": (_images,),
    "network": (_networks,),
    "volume": (_volumes,),
    "context": (_contexts,),
    "debugged": (_containers, _images),
    "explained": (_containers, _images, _networks, lambda _client: ["run"]),
    "anything": (_containers, _images, _networks, _volumes),
}

BASH = r"""
_nakagin() {
    local line=${COMP_LINE:0:COMP_POINT} word head
    mapfile -t COMPREPLY < <(NAKAGIN_COMPLETE=$line "${COMP_WORDS[0]}" completion answer 2>/dev/null)
    # bash takes what is before the last ":" or "=" for a word of its own
    word=${line##*[[:space:]]}
    if [[ $word == *[:=]* ]]; then
        head=${word%"${word##*[:=]}"}
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
}
complete -o default -F _nakagin nakagin
"""
ZSH = r"""
#compdef nakagin
_nakagin() {
    local -a found
    found=("${(@f)$(NAKAGIN_COMPLETE=$LBUFFER ${words[1]} completion answer 2>/dev/null)}")
    if [[ -n $found ]]; then compadd -a found; else _files; fi
}
compdef _nakagin nakagin
"""
FISH = r"""
function __nakagin
    set -lx NAKAGIN_COMPLETE (commandline -cp)
    set -l found (nakagin completion answer 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c nakagin -f -a '(__nakagin)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
LINE = "NAKAGIN_COMPLETE"


def line() -> str:
    """The line that the shell's script asks about."""
    return os.environ.get(LINE, "")
