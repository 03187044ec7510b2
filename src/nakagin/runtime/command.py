"""The command line: the OCI runtime's operations with runc's habits and crun's further options.

    nakagin-runtime [global options] <verb> [options] [<container-id>] [arguments]

One table holds all verbs; each is a function in verbs/ that is imported only when it is called, because
a start costs milliseconds.
"""

from __future__ import annotations

import gc
import os
import sys

from nakagin.errors import Invalid, NakaginError
from nakagin.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    Options = dict[str, str | bool | list[str]]

# An option takes a value ("="), is a switch ("!") or may be given often ("*").
GLOBAL = {
    "root": "=", "log": "=", "log-format": "=", "log-level": "=", "debug": "!", "systemd-cgroup": "!",
    "cgroup-manager": "=", "rootless": "=", "criu": "=", "help": "!", "version": "!",
}  # fmt: skip
_CREATE = {
    "bundle": "=", "config": "=", "console-socket": "=", "pid-file": "=", "no-pivot": "!",
    "no-new-keyring": "!", "preserve-fds": "=",
}  # fmt: skip
_RUN = {**_CREATE, "detach": "!", "no-subreaper": "!", "keep": "!"}
_EXEC = {
    "console-socket": "=", "cwd": "=", "env": "*", "tty": "!", "user": "=", "additional-gids": "*",
    "process": "=", "detach": "!", "pid-file": "=", "process-label": "=", "apparmor": "=",
    "no-new-privs": "!", "cap": "*", "preserve-fds": "=", "cgroup": "*", "ignore-paused": "!",
    "no-subreaper": "!",
}  # fmt: skip
_UPDATE = {
    "resources": "=", "blkio-weight": "=", "cpu-period": "=", "cpu-quota": "=", "cpu-burst": "=",
    "cpu-share": "=", "cpu-rt-period": "=", "cpu-rt-runtime": "=", "cpuset-cpus": "=", "cpuset-mems": "=",
    "kernel-memory": "=", "kernel-memory-tcp": "=", "memory": "=", "memory-reservation": "=",
    "memory-swap": "=", "pids-limit": "=", "cpu-idle": "=", "l3-cache-schema": "=", "mem-bw-schema": "=",
}  # fmt: skip
_SHORT = {
    "a": ("all",), "b": ("bundle",), "c": ("cap",), "d": ("detach",), "e": ("env",),
    "f": ("force", "format", "config"), "g": ("additional-gids",), "h": ("help",), "i": ("interval",),
    "p": ("process",), "q": ("quiet",), "r": ("resources",), "t": ("tty",), "u": ("user",),
    "v": ("version",),
}  # fmt: skip


class Verb:
    """One verb: where its function lives, its options, how many words follow, and what it does."""

    __slots__ = ("least", "module", "most", "options", "summary", "words")

    def __init__(
        self, module: str, options: dict[str, str], least: int, most: int, words: str, summary: str
    ) -> None:
        self.module = module
        self.options = options
        self.least = least
        self.most = most
        self.words = words
        self.summary = summary


_MANY = 1 << 20
VERBS = {
    "create": Verb("begin", _CREATE, 1, 1, "<id>", "create a container; its program waits for start"),
    "start": Verb("begin", {}, 1, 1, "<id>", "run the program of a created container"),
    "run": Verb("begin", _RUN, 1, 1, "<id>", "create and start; wait and delete unless detached"),
    "exec": Verb("execute", _EXEC, 1, _MANY, "<id> <command> [argument ...]", "run a further process"),
    "state": Verb("look", {}, 1, 1, "<id>", "print the state as JSON"),
    "list": Verb("look", {"format": "=", "quiet": "!"}, 0, 0, "", "list containers"),
    "ps": Verb("look", {"format": "="}, 1, _MANY, "<id> [ps options]", "list a container's processes"),
    "events": Verb("events", {"interval": "=", "stats": "!"}, 1, 1, "<id>", "print OOM notices and figures"),
    "kill": Verb("change", {"all": "!"}, 1, 2, "<id> [signal]", "send a signal (default TERM)"),
    "delete": Verb("change", {"force": "!"}, 1, 1, "<id>", "remove a stopped container"),
    "pause": Verb("change", {}, 1, 1, "<id>", "freeze all processes"),
    "resume": Verb("change", {}, 1, 1, "<id>", "let frozen processes go on"),
    "update": Verb("update", _UPDATE, 1, 1, "<id>", "change resource limits"),
    "spec": Verb("template", {"bundle": "=", "rootless": "!"}, 0, 0, "", "write a config.json to begin with"),
    "features": Verb("features", {}, 0, 0, "", "print what this runtime can do, as JSON"),
    "checkpoint": Verb("change", {"image-path": "=", "work-path": "="}, 1, 1, "<id>", "not supported"),
    "restore": Verb("change", {"image-path": "=", "work-path": "=", **_RUN}, 1, 1, "<id>", "not supported"),
}  # fmt: skip


class Call:
    """One call: the options of both kinds, the words after the verb, where containers live, the log."""

    __slots__ = ("cgroup_manager", "log", "options", "root", "words")

    def __init__(self, root: str, cgroup_manager: str, log: Log, options: Options, words: list[str]) -> None:
        self.root = root
        self.cgroup_manager = cgroup_manager
        self.log = log
        self.options = options
        self.words = words

    @property
    def systemd_cgroup(self) -> bool:
        """Whether cgroup paths are systemd's "slice:prefix:name"."""
        return self.cgroup_manager == "systemd"

    @property
    def without_cgroups(self) -> bool:
        """Whether the caller wants no cgroup at all."""
        return self.cgroup_manager == "disabled"

    def text(self, name: str, default: str = "") -> str:
        """The value of an option that takes one."""
        value = self.options.get(name, default)
        assert isinstance(value, str)
        return value

    def listed(self, name: str) -> list[str]:
        """The values of an option that may be given often."""
        value = self.options.get(name, [])
        assert isinstance(value, list)
        return value

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self.options.get(name, False))

    def number(self, name: str) -> int | None:
        """The value of an option that takes a number. Raises Invalid."""
        text = self.text(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise Invalid(f"{text!r} is not a number", where=f"--{name}") from None


def parse(options: dict[str, str], argv: list[str], *, stop_at_word: bool) -> tuple[Options, list[str]]:
    """Split `argv` into options and words. Long options may have one dash or two, values "=" or a blank.

    With `stop_at_word` everything from the first word on is left alone. Raises Invalid.
    """
    parsed: Options = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return parsed, [*words, *rest]
        if not argument.startswith("-") or argument == "-":
            if stop_at_word:
                return parsed, [argument, *rest]
            words.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = next((long for long in _SHORT.get(name, ()) if long in options), name)
        kind = options.get(name)
        if kind is None:
            raise Invalid(f"unknown option {argument}", hint="nakagin-runtime <verb> --help lists them")
        if kind == "!":
            parsed[name] = value.lower() not in {"false", "0"} if equals else True
            continue
        if not equals:
            if not rest:
                raise Invalid("a value is missing", where=argument)
            value = rest.pop(0)
        if kind == "*":
            listed = parsed.setdefault(name, [])
            assert isinstance(listed, list)
            listed.append(value)
        else:
            parsed[name] = value
    return parsed, words


def main(argv: list[str]) -> NoReturn:
    """Run one verb and exit as runc does: 0, 1 (`exec`: 255) for an error, or the program's own code."""
    gc.disable()  # the process lives for milliseconds
    log = Log()
    failed = 255 if "exec" in argv[:8] else 1
    try:
        code = _run(argv, log)
    except NakaginError as error:
        log.error(str(error))
        code = failed
    except BrokenPipeError:
        code = failed
    except OSError as error:
        log.error(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        code = failed
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    os._exit(code)  # nothing is left to be cleaned up, and a full exit takes a millisecond


def _run(argv: list[str], log: Log) -> int:
    general, words = parse(GLOBAL, argv, stop_at_word=True)
    form = str(general.get("log-format", "text"))
    if form not in {"text", "json"}:
        raise Invalid(f"{form!r} is not a format of the log", where="--log-format", hint="text or json")
    log.open(str(general.get("log", "")), form, bool(general.get("debug")))
    if general.get("version"):
        return _print_version()
    if general.get("help") or not words or words[0] in {"help", "h"}:
        return _print_help()
    name, *rest = words
    verb = VERBS.get(name)
    if verb is None:
        raise Invalid(f"{name} is not a verb of this runtime", hint="nakagin-runtime --help lists them")
    options, rest = parse({**verb.options, "help": "!"}, rest, stop_at_word=name in {"exec", "ps"})
    if options.get("help"):
        return _print_verb_help(name, verb)
    if not verb.least <= len(rest) <= verb.most:
        raise Invalid(f"usage: nakagin-runtime {name} [options] {verb.words}".strip())
    manager = "systemd" if general.get("systemd-cgroup") else str(general.get("cgroup-manager", "cgroupfs"))
    call = Call(str(general.get("root") or _default_root()), manager, log, options, rest)
    module = __import__(f"nakagin.runtime.verbs.{verb.module}", fromlist=[name])
    code: int = getattr(module, f"{name}_")(call)
    return code


def _default_root() -> str:
    """Where containers are remembered: below /run, or the user's own runtime folder without root."""
    if os.geteuid() == 0:
        return "/run/nakagin/runtime"
    return os.environ.get("XDG_RUNTIME_DIR", f"/tmp/nakagin-{os.geteuid()}") + "/nakagin/runtime"  # noqa: S108


def _print_version() -> int:
    from nakagin import __version__
    from nakagin.runtime.container import OCI_VERSION

    print(f"nakagin-runtime version {__version__}\nspec: {OCI_VERSION}")
    return 0


def _print_help() -> int:
    print("usage: nakagin-runtime [global options] <verb> [options] [<id>] [arguments]\n\nverbs:")
    for name, verb in VERBS.items():
        print(f"  {name:<11} {verb.summary}")
    print("\nglobal options:\n  " + " ".join(f"--{name}" for name in GLOBAL))
    return 0


def _print_verb_help(name: str, verb: Verb) -> int:
    print(f"usage: nakagin-runtime {name} [options] {verb.words}".rstrip() + f"\n\n{verb.summary}\n")
    short = {long: letter for letter, longs in _SHORT.items() for long in longs}
    for option, kind in verb.options.items():
        letter = f"-{short[option]}, " if option in short else "    "
        print(f"  {letter}--{option}{'' if kind == '!' else ' VALUE'}")
    return 0
