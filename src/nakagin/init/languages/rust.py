"""Rust: cargo, its caches kept between builds."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nakagin.init import health, ports, versions
from nakagin.init.languages.bare import final
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

USUAL = "1.88"
FRAMEWORKS = {"axum": "axum", "actix-web": "Actix", "rocket": "Rocket", "warp": "warp", "poem": "Poem"}


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a cargo package needs, None where this is none."""
    if not folder.has("Cargo.toml"):
        return None
    packages = [Package(path, folder.toml(path)) for path in _manifests(folder)]
    programs = {program: package for package in packages for program in package.programs(folder)}
    if not programs and not answers.command:
        return None  # a library, such as Python's own extensions
    # What answers requests is what people put in containers.
    order = sorted(programs, key=lambda each: not programs[each].framework)
    program = answers.command or order[0]
    package = programs.get(program, packages[0])
    questions: tuple[Question, ...] = ()
    if len(order) > 1 and not answers.command:
        text = f"Which is the program? There are {', '.join(order)}."
        questions = (Question("command", text, program),)
    pinned = versions.exact(folder.text("rust-toolchain") or folder.text("rust-toolchain.toml"), 2)
    stated = versions.exact(package.rust_version, 2)
    version = (
        answers.version
        or pinned
        or max(stated, USUAL, key=lambda text: [int(part) for part in text.split(".") if part])
    )
    known = "rust-toolchain" if pinned else package.path if stated else "the usual one"
    source = "you" if answers.version else known
    framework = package.framework
    sources = folder.ending(".rs")
    usual = {"Rocket": 8000}.get(framework, 8080 if framework else 0)
    port, port_facts, port_questions = ports.port(folder, answers, "compiled", sources, usual)
    build = (
        f"ARG RUST_VERSION={version}\n\n"
        "FROM rust:${RUST_VERSION}-slim-bookworm AS build\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \\\n"
        f"    cargo build --release{' --locked' if folder.has('Cargo.lock') else ''} --bin {program} \\\n"
        f"    && install -D target/release/{program} /out/{program}\n\n"
    )
    environment = {"ROCKET_ADDRESS": "0.0.0.0"} if framework == "Rocket" else {}  # noqa: S104
    check = health.connection(port) if port else ""
    return Recipe(
        "Rust",
        build
        + final(
            f"--from=build /out/{program} /usr/local/bin/{program}",
            json.dumps([program]),
            port,
            check,
            certificates=True,
        ),
        port,
        framework=framework,
        tool="cargo",
        facts=(
            Fact("version", version, source),
            Fact("program", program, "you" if answers.command else package.path),
            *((Fact("framework", framework, package.path),) if framework else ()),
            *port_facts,
        ),
        questions=(*questions, *port_questions),
        ignore=("target",),
        dependencies={
            name: each for other in (package, *packages) for name, each in other.dependencies().items()
        },
        environment=environment,
    )


def _manifests(folder: Folder) -> list[str]:
    """The Cargo.toml of the folder, and those of its workspace's members."""
    members = folder.toml("Cargo.toml").get("workspace", {}).get("members", ())
    patterns = [f"{str(each).strip('/')}/Cargo.toml" for each in members]
    found = [path for path in folder.files if any(fnmatch.fnmatchcase(path, each) for each in patterns)]
    return ["Cargo.toml", *(path for path in found if path != "Cargo.toml")]


class Package(NamedTuple):
    """One package: its manifest's path in the folder, and what stands there."""

    path: str
    manifest: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """Its [package]; empty where the manifest is a workspace's alone."""
        return dict(self.manifest.get("package", {}))

    @property
    def rust_version(self) -> str:
        """What it says of the compiler, "" where it says nothing or leaves it to the workspace."""
        stated = self.about.get("rust-version", "")
        return stated if isinstance(stated, str) else ""

    @property
    def framework(self) -> str:
        """The framework that it depends on."""
        return next((FRAMEWORKS[each] for each in FRAMEWORKS if each in self.dependencies()), "")

    def dependencies(self) -> dict[str, str]:
        """Each crate → this manifest; features of sqlx as "sqlx-postgres" beside it."""
        wanted = self.manifest.get("dependencies", {})
        found = dict.fromkeys(wanted, self.path)
        sqlx = wanted.get("sqlx", {})
        named = sqlx.get("features", ()) if isinstance(sqlx, dict) else ()
        return found | {f"sqlx-{each}": self.path for each in named}

    def programs(self, folder: Folder) -> list[str]:
        """The names of what `cargo build --bin` makes of it, the one that `cargo run` takes first."""
        name = str(self.about.get("name", ""))
        base = self.path.removesuffix("Cargo.toml")
        found = [str(each["name"]) for each in self.manifest.get("bin", ()) if "name" in each]
        if name and folder.has(f"{base}src/main.rs"):
            found.append(name)
        pattern = re.compile(rf"{re.escape(base)}src/bin/([^/]+?)(?:/main)?\.rs")
        found += [match[1] for path in folder.ending(".rs") if (match := pattern.fullmatch(path))]
        usual = str(self.about.get("default-run", ""))
        return sorted(dict.fromkeys(found), key=lambda each: each != usual)
