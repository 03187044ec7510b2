"""Python: pip, poetry, uv or pipenv; Flask, FastAPI, Django, Streamlit or a plain program."""

from __future__ import annotations

import configparser
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from nakagin.init import debian, health, imports, ports, requirements, versions
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

KNOWN = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
USUAL = "3.13"
_MOST_OTHERS = 5
IGNORE = (
    "**/__pycache__",
    "**/*.py[cod]",
    ".venv",
    "venv",
    "*.egg-info",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
)
# a package that compiles against a library of the system → Debian's packages to build and to run it
SYSTEM = {
    "psycopg2": ("build-essential libpq-dev", "libpq5"),
    "mysqlclient": ("build-essential pkg-config default-libmysqlclient-dev", "libmariadb3"),
    "pyodbc": ("build-essential unixodbc-dev", "unixodbc"),
    "python-ldap": ("build-essential libldap-dev libsasl2-dev", "libldap-2.5-0"),
    "pycairo": ("build-essential pkg-config libcairo2-dev", "libcairo2"),
}
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")


class _Start(NamedTuple):
    """How the program is started: the framework, its command (words), the port that is usual, where it was seen.

    `extra` is a package that the command needs and nobody asked for; `others` are files that could be the program too.
    """

    framework: str
    words: tuple[str, ...]
    usual: int
    source: str
    extra: str = ""
    others: tuple[str, ...] = ()


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a Python project needs, None where this is none."""
    sources = folder.ending(".py")
    listed = folder.has("uv.lock", "poetry.lock", "Pipfile") or requirements.chosen(folder)
    manifest = listed or folder.has("pyproject.toml", "setup.py", "setup.cfg")
    # A script or two do not make a project of another kind a Python one, nor what lies in a project further down.
    other = not answers.language and (
        folder.has("package.json", "CMakeLists.txt", "index.html") or folder.parts
    )
    if not manifest and (not sources or (other and not folder.has("manage.py"))):
        return None
    tool = _tool(folder)
    imported = {} if manifest else imports.packages(folder, sources)
    dependencies = _dependencies(folder) or imported
    version, version_fact = _version(folder, answers)
    start = _start(folder, dependencies, sources)
    questions = []
    words = tuple(answers.command.split()) or start.words
    if not words:
        questions.append(Question("command", "How is the program started?", ""))
    elif start.others and not answers.command:
        text = f"How is the program started? There is also {', '.join(start.others)}."
        questions.append(Question("command", text, " ".join(words)))
    further = [*imported, *([start.extra] if start.extra else [])]
    framework_file = start.source.partition(":")[0]
    looked = tuple(dict.fromkeys(each for each in (framework_file, *sources) if each))
    port, port_facts, port_questions = ports.port(folder, answers, "python", looked, start.usual)
    words = tuple(word.replace("{port}", str(port or start.usual)) for word in words)
    facts = (
        Fact("dependencies", tool, listed or manifest)
        if manifest
        else Fact("dependencies", ", ".join(imported) or "none", "what is imported" if imported else ""),
        *version_fact,
        *((Fact("framework", start.framework, start.source),) if start.framework else ()),
        *((Fact("command", " ".join(words), "you" if answers.command else start.source),) if words else ()),
        *port_facts,
    )
    check = health.python(port, health.path(folder, sources)) if port else ""
    return Recipe(
        "Python",
        _dockerfile(folder, tool, version, dependencies, words, port, check, further),
        port,
        framework=start.framework,
        tool=tool,
        facts=facts,
        questions=(*questions, *port_questions),
        ignore=IGNORE,
        dependencies=dependencies,
        notes=tuple(_notes(imported, start)),
    )


def _notes(imported: dict[str, str], start: _Start) -> Iterator[str]:
    if imported:
        yield (
            "There is no requirements.txt: the Dockerfile installs what the sources import. "
            "Better write one, with versions."
        )
    elif start.extra:
        yield f"{start.extra} is not among the dependencies: the Dockerfile adds it. Better add it to them yourself."
    if start.others:
        yield f"{', '.join(start.others)} can be started too: --command says what it shall be."


def _tool(folder: Folder) -> str:
    project = folder.toml("pyproject.toml")
    if folder.has("uv.lock"):
        return "uv"
    if folder.has("poetry.lock") or "poetry" in project.get("tool", {}):
        return "poetry"
    if folder.has("Pipfile"):
        return "pipenv"
    return "pip"


def _dependencies(folder: Folder) -> dict[str, str]:
    """Normalized name → the file that asks for it; extras as "name[extra]" beside it."""
    found: dict[str, str] = {}

    def take(wanted: Iterable[str], source: str) -> None:
        for line in wanted:
            if match := _NAME.match(line):
                name = re.sub(r"[-_.]+", "-", match[1]).lower()
                found.setdefault(name, source)
                for extra in filter(None, re.split(r"\s*,\s*", match[2] or "")):
                    found.setdefault(f"{name}[{extra.lower()}]", source)

    for line, path in requirements.lines(folder, requirements.chosen(folder)):
        take([line], path)
    project = folder.toml("pyproject.toml")
    take(project.get("project", {}).get("dependencies", ()), "pyproject.toml")
    poetry = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    for name, wanted in poetry.items():
        extras = wanted.get("extras", ()) if isinstance(wanted, dict) else ()
        take([f"{name}[{','.join(extras)}]" if extras else name], "pyproject.toml")
    for name, wanted in folder.toml("Pipfile").get("packages", {}).items():
        extras = wanted.get("extras", ()) if isinstance(wanted, dict) else ()
        take([f"{name}[{','.join(extras)}]" if extras else name], "Pipfile")
    setup = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        setup.read_string(folder.text("setup.cfg"))
    except configparser.Error:
        pass
    take(setup.get("options", "install_requires", fallback="").splitlines(), "setup.cfg")
    if hit := folder.first(r"install_requires\s*=\s*\[([^\]]*)\]", ("setup.py",)):
        take(re.findall(r"[\"']([^\"']+)[\"']", hit.match[1]), "setup.py")
    found.pop("python", None)
    return found


def _version(folder: Folder, answers: Answers) -> tuple[str, tuple[Fact, ...]]:
    if answers.version:
        return answers.version, (Fact("version", answers.version, "you"),)
    for name in (".python-version", "runtime.txt"):
        if version := versions.exact(folder.text(name), 2):
            return version, (Fact("version", version, name),)
    if version := str(folder.toml("Pipfile").get("requires", {}).get("python_version", "")):
        return version, (Fact("version", version, "Pipfile"),)
    project = folder.toml("pyproject.toml")
    wanted = str(
        project.get("project", {}).get("requires-python")
        or project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
        or ""
    )
    source = "pyproject.toml"
    if not wanted and (
        hit := folder.first(r"python_requires\s*=\s*[\"']?([^\"'\n]+)", ("setup.cfg", "setup.py"))
    ):
        wanted, source = hit.match[1], hit.path
    version = versions.newest(KNOWN, wanted, USUAL)
    return version, (Fact("version", version, f"{source} ({wanted})" if wanted else "the usual one"),)


def _start(folder: Folder, dependencies: dict[str, str], sources: tuple[str, ...]) -> _Start:
    for find in (_django, _fastapi, _flask, _streamlit):
        if found := find(folder, dependencies, sources):
            return found
    return _plain(folder, sources)


def _django(folder: Folder, dependencies: dict[str, str], sources: tuple[str, ...]) -> _Start | None:
    if "django" not in dependencies and not folder.has("manage.py"):
        return None
    settings = next((path for path in sources if path.endswith(("/wsgi.py", "/asgi.py"))), "")
    package = settings.rpartition("/")[0].replace("/", ".")
    asgi = f"{package}.asgi:application"
    wsgi = f"{package}.wsgi:application"
    if package and "uvicorn" in dependencies:
        return _Start("Django", ("uvicorn", asgi, "--host", "0.0.0.0", "--port", "{port}"), 8000, settings)  # noqa: S104
    if package and "daphne" in dependencies:
        return _Start("Django", ("daphne", "-b", "0.0.0.0", "-p", "{port}", asgi), 8000, settings)  # noqa: S104
    if package:
        words = ("gunicorn", wsgi, "--bind", "0.0.0.0:{port}")
        return _Start("Django", words, 8000, settings, "" if "gunicorn" in dependencies else "gunicorn")
    words = ("python", "manage.py", "runserver", "0.0.0.0:{port}")
    return _Start("Django", words, 8000, folder.has("manage.py"))


def _fastapi(folder: Folder, dependencies: dict[str, str], sources: tuple[str, ...]) -> _Start | None:
    names = {"fastapi": "FastAPI", "starlette": "Starlette", "litestar": "Litestar"}
    known = next((each for each in names if each in dependencies), "")
    if not known:
        return None
    hit = folder.first(r"^(\w+)\s*(?::\s*\w+\s*)?=\s*(?:\w+\.)?(?:FastAPI|Starlette|Litestar)\(", sources)
    if hit is None:
        return None
    words = ("uvicorn", f"{_module(hit.path)}:{hit.match[1]}", "--host", "0.0.0.0", "--port", "{port}")  # noqa: S104
    there = {"uvicorn", "fastapi[standard]", "fastapi[all]", "litestar[standard]"} & dependencies.keys()
    return _Start(names[known], words, 8000, hit.place, "" if there else "uvicorn")


def _flask(folder: Folder, dependencies: dict[str, str], sources: tuple[str, ...]) -> _Start | None:
    if "flask" not in dependencies:
        return None
    hit = folder.first(r"^(\w+)\s*(?::\s*\w+\s*)?=\s*(?:flask\.)?Flask\(", sources)
    target = f"{_module(hit.path)}:{hit.match[1]}" if hit else ""
    if hit is None and (hit := folder.first(r"^def (create_app|make_app)\(", sources)):
        target = f"{_module(hit.path)}:{hit.match[1]}()"
    if hit is None:
        return None
    words = ("gunicorn", target, "--bind", "0.0.0.0:{port}")
    return _Start("Flask", words, 5000, hit.place, "" if "gunicorn" in dependencies else "gunicorn")


def _streamlit(folder: Folder, dependencies: dict[str, str], sources: tuple[str, ...]) -> _Start | None:
    if "streamlit" not in dependencies or not (hit := folder.first(r"^(?:import|from) streamlit\b", sources)):
        return None
    words = ("streamlit", "run", hit.path, "--server.address=0.0.0.0", "--server.port={port}")
    return _Start("Streamlit", words, 8501, hit.place)


def _plain(folder: Folder, sources: tuple[str, ...]) -> _Start:
    name, source = _script(folder)
    if name:
        return _Start("", (name,), 0, source)
    package = next((path for path in sources if path.endswith("/__main__.py")), "")
    if package:
        module = _module(package).removesuffix(".__main__")
        return _Start("", ("python", "-m", module), 0, package)
    usual = folder.has("main.py", "app.py", "server.py", "run.py", "bot.py", "__main__.py")
    if usual:
        return _Start("", ("python", usual), 0, usual)
    guarded = list(
        folder.search(r"^if __name__ == [\"']__main__[\"']", (each for each in sources if each != "setup.py"))
    )
    if guarded:
        first, *others = guarded
        return _Start(
            "",
            ("python", first.path),
            0,
            first.place,
            others=tuple(each.path for each in others[:_MOST_OTHERS]),
        )
    return _Start("", (), 0, "")


def _script(folder: Folder) -> tuple[str, str]:
    """The first command that the project brings when it is installed, and the file that says so."""
    project = folder.toml("pyproject.toml")
    scripts = project.get("project", {}).get("scripts") or project.get("tool", {}).get("poetry", {}).get(
        "scripts"
    )
    if scripts:
        return next(iter(scripts)), "pyproject.toml"
    hit = folder.first(r"console_scripts[\"']?\s*[:=]\s*\[?\s*[\"']?([\w.-]+)\s*=", ("setup.py", "setup.cfg"))
    return (hit.match[1], hit.place) if hit else ("", "")


def _module(path: str) -> str:
    """ "src/app/main.py" → "app.main"."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _dockerfile(
    folder: Folder,
    tool: str,
    version: str,
    dependencies: dict[str, str],
    words: tuple[str, ...],
    port: int,
    check: str,
    further: list[str],
) -> str:
    system = [SYSTEM[name] for name in sorted(SYSTEM.keys() & dependencies.keys())]
    compilers = sorted({word for build, _ in system for word in build.split()})
    libraries = sorted(word for _, run in system for word in run.split())
    source_path = "/app/src:/app" if any(path.startswith("src/") for path in folder.ending(".py")) else "/app"
    lines = [
        f"ARG PYTHON_VERSION={version}",
        "",
        "# The dependencies, in a virtual environment of their own: rebuilt only when they change.",
        "FROM python:${PYTHON_VERSION}-slim-bookworm AS dependencies",
        "ENV PIP_DISABLE_PIP_VERSION_CHECK=1",
        "WORKDIR /app",
        *(_apt(compilers)),
        "RUN python -m venv /opt/venv",
        "ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv",
        *_install(folder, tool),
        *([_pip(f"pip install {' '.join(further)}")] if further else []),
        "",
        "FROM python:${PYTHON_VERSION}-slim-bookworm",
        f"ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={source_path}",
        "WORKDIR /app",
        *(_apt(libraries)),
        "RUN useradd --system --uid 10001 --create-home app",
        "COPY --from=dependencies /opt/venv /opt/venv",
        "COPY . .",
        *(_self(folder, tool)),
        "USER app",
        *([f"EXPOSE {port}", check] if port else []),
        f"CMD {json.dumps(list(words))}",
    ]
    return "\n".join(lines) + "\n"


def _run(cache: str, command: str) -> str:
    return f"RUN --mount=type=cache,target={cache} \\\n    {command}"


def _pip(command: str) -> str:
    return _run("/root/.cache/pip", command)


def _apt(packages: list[str]) -> list[str]:
    return [debian.install(" ".join(packages))] if packages else []


def _install(folder: Folder, tool: str) -> list[str]:
    """The lines that install the dependencies, and not the project, from its lock file where it has one."""
    if tool == "uv":
        return [
            _pip("pip install uv"),
            "COPY pyproject.toml uv.lock ./",
            "ENV UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/venv",
            _run("/root/.cache/uv", "uv sync --frozen --no-dev --no-install-project --inexact"),
        ]
    if tool == "poetry":
        lock = " poetry.lock" if folder.has("poetry.lock") else ""
        return [
            _pip("python -m venv /opt/poetry && /opt/poetry/bin/pip install poetry"),
            f"COPY pyproject.toml{lock} ./",
            _run(
                "/root/.cache/pypoetry",
                "/opt/poetry/bin/poetry install --only main --no-root --no-interaction",
            ),
        ]
    if tool == "pipenv":
        lock = " Pipfile.lock" if folder.has("Pipfile.lock") else ""
        return [
            _pip("python -m venv /opt/pipenv && /opt/pipenv/bin/pip install pipenv"),
            f"COPY Pipfile{lock} ./",
            "ENV PIPENV_VERBOSITY=-1",
            _pip(f"/opt/pipenv/bin/pipenv install {'--deploy' if lock else '--skip-lock'}"),
        ]
    if path := requirements.chosen(folder):
        whole = requirements.is_local(folder, path)
        copies = ["COPY . ."] if whole else requirements.copies(requirements.drawn_in(folder, path))
        return [*copies, _pip(f"pip install -r {path}")]
    if folder.has("pyproject.toml", "setup.py", "setup.cfg"):
        return ["COPY . .", _pip("pip install .")]
    return []


def _self(folder: Folder, tool: str) -> list[str]:
    """A project that has commands of its own is installed, without its dependencies."""
    name, _ = _script(folder)
    installed = tool == "pip" and not requirements.chosen(folder)
    if not name or installed:
        return []
    return [_pip("/opt/venv/bin/python -m pip install --no-deps .")]
