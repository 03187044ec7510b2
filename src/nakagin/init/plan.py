"""From a folder and the user's answers to the files that would be written. Reads, and writes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import Invalid, NotFound, nearest
from nakagin.init import writing
from nakagin.init.languages import c, dotnet, go, java, node, php, python, ruby, rust, static
from nakagin.init.model import Answers, Planned, Recipe, Service
from nakagin.init.services import services

if TYPE_CHECKING:
    from nakagin.init.folder import Folder

# The order of looking: a manifest that names one language before those that many projects have beside it.
LANGUAGES = {
    "go": go.recipe,
    "rust": rust.recipe,
    "java": java.recipe,
    "dotnet": dotnet.recipe,
    "php": php.recipe,
    "ruby": ruby.recipe,
    "python": python.recipe,
    "node": node.recipe,
    "c": c.recipe,
    "static": static.recipe,
}
# Other words that people have for them.
_SYNONYMS = {
    "golang": "go", "kotlin": "java", ".net": "dotnet", "c#": "dotnet", "csharp": "dotnet", "node.js": "node",
    "nodejs": "node", "javascript": "node", "typescript": "node", "c++": "c", "cpp": "c", "html": "static",
}  # fmt: skip

# Sources that need a file beside them → what is missing, and what makes it.
_UNMADE = {
    ".go": ("no go.mod", "go mod init NAME makes it"),
    ".rs": ("no Cargo.toml", "cargo init makes it"),
    ".c": ("no Makefile or CMakeLists.txt", "write one that builds the program"),
    ".cpp": ("no Makefile or CMakeLists.txt", "write one that builds the program"),
    ".java": ("no pom.xml or build.gradle", "mvn or gradle init makes it"),
}


class Plan(NamedTuple):
    """What init found and would write."""

    recipe: Recipe
    services: tuple[Service, ...]
    files: tuple[Planned, ...]


def plan(folder: Folder, answers: Answers) -> Plan:
    """The plan for a folder; NotFound where no language is recognized, Invalid for an unknown one."""
    recipe = _recipe(folder, answers)
    needed = services(folder, recipe)
    texts = {
        "Dockerfile": writing.dockerfile(recipe),
        "compose.yaml": writing.compose(recipe, needed),
        ".dockerignore": writing.ignore(recipe, recipe.language),
        "README.container.md": writing.readme(recipe, needed, folder.name),
    }
    files = (
        Planned(name, text, folder.text(name) if folder.has(name) else None) for name, text in texts.items()
    )
    return Plan(recipe, needed, tuple(files))


def _recipe(folder: Folder, answers: Answers) -> Recipe:
    wanted = answers.language.lower()
    wanted = _SYNONYMS.get(wanted, wanted)
    if wanted and wanted not in LANGUAGES:
        known = nearest(wanted, LANGUAGES) or f"one of: {', '.join(LANGUAGES)}"
        raise Invalid(f'unknown language "{answers.language}"', hint=known)
    chosen = [wanted] if wanted else list(LANGUAGES)
    found = next((each for name in chosen if (each := LANGUAGES[name](folder, answers))), None)
    if found is not None:
        return found
    looked = f"a {wanted} project" if wanted else "a project that init knows"
    if folder.parts and not wanted:
        some = ", ".join(folder.parts[:5]) + (" …" if len(folder.parts) > 5 else "")
        first = os.path.relpath(f"{folder.root}/{folder.parts[0]}")
        raise NotFound(f"{folder.root} is no project itself, but holds {some}", hint=f"nakagin init {first}")
    if kind := next((each for each in _UNMADE if folder.ending(each)), ""):
        raise NotFound(f"{folder.root} has {kind} files, but {_UNMADE[kind][0]}", hint=_UNMADE[kind][1])
    raise NotFound(
        f"{folder.root} does not look like {looked}",
        hint="it knows requirements.txt, pyproject.toml, package.json, go.mod, Cargo.toml, pom.xml, build.gradle, "
        "composer.json, Gemfile, *.csproj, Makefile, CMakeLists.txt and index.html",
    )
