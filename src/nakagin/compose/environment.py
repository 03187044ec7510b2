"""From flags and the surroundings to what shall be loaded: files, folder, project name, profiles, variables.

Precedence of variables: the caller's environment, then `.env` (of the working folder, then of the project's) or the
files that --env-file or COMPOSE_ENV_FILES name, the last of them first.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_ON = {"1", "t", "true", "y", "yes", "on"}


class Origin:
    """One place that gives a variable a value; the first of several wins."""

    __slots__ = ("source", "value")

    def __init__(self, source: str, value: str) -> None:
        self.source = source
        self.value = value


class Sources:
    """What is to be loaded. `files` are absolute paths, or "-" for standard input; `folder` is the project's.

    `name` is what a flag or variable says, else "". `origins` has every place that sets a variable. `fetch` brings
    files that are elsewhere: a name → paths.
    """

    __slots__ = ("environment", "fetch", "files", "folder", "name", "origins", "profiles", "warnings")

    def __init__(self, environment: dict[str, str]) -> None:
        self.files: list[str] = []
        self.folder = ""
        self.name = ""
        self.profiles: list[str] = []
        self.environment = environment
        self.origins: dict[str, list[Origin]] = {}
        self.warnings: list[str] = []
        self.fetch: Callable[[str], list[str]] | None = None

    def lookup(self, name: str) -> str | None:
        """A variable's value."""
        return self.environment.get(name)


def gather(
    *,
    files: list[str] | None = None,
    folder: str = "",
    name: str = "",
    profiles: list[str] | None = None,
    env_files: list[str] | None = None,
    surroundings: Mapping[str, str] | None = None,
    working: str | None = None,
    need_files: bool = True,
) -> Sources:
    """What the flags of the command line and the variables of its surroundings mean together.

    Without `need_files` a folder without any Compose file is fine. Raises NotFound, Invalid.
    """
    given = os.environ if surroundings is None else surroundings
    working = os.path.abspath(working or os.getcwd())
    found = Sources(dict(given))
    found.origins = {key: [Origin("the environment", value)] for key, value in given.items()}
    folder = os.path.join(working, folder) if folder else ""
    chosen = _env_files(env_files, found.environment, working)
    paths = list(files or [])
    first = folder or (_folder_of(paths, working) if paths else working)
    _load_variables(found, chosen, first)
    if not paths and (named := found.environment.get("COMPOSE_FILE")):
        separator = found.environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        paths = [path for path in named.split(separator) if path]
    if not paths:
        paths = _search(folder or working, found.warnings)
        if not paths and need_files:
            raise NotFound(
                "no configuration file provided: not found",
                hint=f"write a {FILE_NAMES[0]} here, or name one with -f",
            )
    found.files = [path if path == "-" else os.path.normpath(os.path.join(working, path)) for path in paths]
    for path in found.files:
        if path != "-" and not os.path.isfile(path):
            kind = "is a folder" if os.path.isdir(path) else "no such file"
            raise NotFound(f"{path}: {kind}", hint="-f names the Compose file")
    found.folder = os.path.normpath(folder or _folder_of(found.files, working))
    if found.folder != first:
        _load_variables(found, chosen, found.folder)
    _choose(found, name, profiles)
    return found


def _choose(found: Sources, name: str, profiles: list[str] | None) -> None:
    chosen = profiles or [
        each.strip() for each in found.environment.get("COMPOSE_PROFILES", "").split(",") if each.strip()
    ]
    found.profiles = list(dict.fromkeys(chosen))
    found.name = name or found.environment.get("COMPOSE_PROJECT_NAME", "")
    if found.name:
        check_name(found.name)


def check_name(name: str) -> None:
    """Invalid for what cannot be a project's name."""
    if name != project_name(name) or not name:
        raise Invalid(
            f'invalid project name "{name}": must consist only of lowercase alphanumeric characters, hyphens, and '
            "underscores as well as start with a letter or number",
            hint=f"{project_name(name)!r} would do" if project_name(name) else None,
        )


def project_name(text: str) -> str:
    """The nearest name that a project may have; "" where nothing is left of `text`."""
    return "".join(
        each for each in text.lower() if each in "-_" or (each.isascii() and each.isalnum())
    ).lstrip("-_")


def is_on(text: str | None) -> bool:
    """Whether a variable says yes."""
    return (text or "").lower() in _ON


def _folder_of(files: list[str], working: str) -> str:
    if not files or files[0] == "-":
        return working
    return os.path.dirname(os.path.join(working, files[0]))


def _env_files(given: list[str] | None, environment: Mapping[str, str], working: str) -> list[str] | None:
    paths = given or [path for path in environment.get("COMPOSE_ENV_FILES", "").split(",") if path]
    if not paths:
        return None
    return [os.path.join(working, path) for path in paths]


def _load_variables(found: Sources, chosen: list[str] | None, folder: str) -> None:
    """Take variables of files in; what is known already stays, of several files the last one wins."""
    if chosen is None:
        path = os.path.join(folder, ".env")
        if is_on(found.environment.get("COMPOSE_DISABLE_ENV_FILE")) or not os.path.isfile(path):
            return
        chosen = [path]
    elif any(origin.source in chosen for origins in found.origins.values() for origin in origins):
        return
    from nakagin.compose.envfile import read  # with regular expressions

    merged: dict[str, str] = {}
    for path in chosen:
        if not os.path.exists(path):
            raise NotFound(f"couldn't find env file: {path}")

        def lookup(name: str) -> str | None:
            known = found.environment.get(name)
            return known if known is not None else merged.get(name)

        for key, value in read(path, lookup).items():
            merged[key] = value
            found.origins.setdefault(key, [])
            at = 1 if found.origins[key] and found.origins[key][0].source == "the environment" else 0
            found.origins[key].insert(at if len(chosen) > 1 else len(found.origins[key]), Origin(path, value))
    for key, value in merged.items():
        found.environment.setdefault(key, value)


def files_in(folder: str, warnings: list[str] | None = None) -> list[str]:
    """The Compose file of a folder with its override; none where there is none."""
    there = [name for name in FILE_NAMES if os.path.isfile(os.path.join(folder, name))]
    if not there:
        return []
    chosen = os.path.join(folder, there[0])
    if len(there) > 1 and warnings is not None:
        warnings.append(f"Found multiple config files with supported names: {', '.join(there)}")
        warnings.append(f"Using {chosen}")
    over = [name for name in OVERRIDE_NAMES if os.path.isfile(os.path.join(folder, name))]
    return [chosen, *(os.path.join(folder, name) for name in over[:1])]


def _search(folder: str, warnings: list[str]) -> list[str]:
    """The Compose file of this folder or the nearest above it, with its override."""
    while True:
        if found := files_in(folder, warnings):
            return found
        above = os.path.dirname(folder)
        if above == folder:
            return []
        folder = above
