"""Rust: cargo, its caches kept between builds."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

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
    try:
        manifest = tomllib.loads(folder.text("Cargo.toml"))
    except tomllib.TOMLDecodeError:
        manifest = {}
    package = manifest.get("package", {})
    programs = [str(each["name"]) for each in manifest.get("bin", ()) if "name" in each] or [
        str(package.get("default-run") or package.get("name", ""))
    ]
    program = answers.command or next(filter(None, programs), "")
    questions = (
        ()
        if program
        else (Question("command", "What is the program called? (cargo build --bin …)", folder.name),)
    )
    pinned = versions.exact(folder.text("rust-toolchain") or folder.text("rust-toolchain.toml"), 2)
    stated = versions.exact(str(package.get("rust-version", "")), 2)
    version = (
        answers.version
        or pinned
        or max(stated, USUAL, key=lambda text: [int(part) for part in text.split(".") if part])
    )
    known = "rust-toolchain" if pinned else "Cargo.toml" if stated else "the usual one"
    source = "you" if answers.version else known
    dependencies = dict.fromkeys(manifest.get("dependencies", {}), "Cargo.toml")
    if "sqlx" in dependencies:
        features = manifest["dependencies"]["sqlx"]
        named = features.get("features", ()) if isinstance(features, dict) else ()
        dependencies |= {f"sqlx-{each}": "Cargo.toml" for each in named}
    framework = next((FRAMEWORKS[each] for each in FRAMEWORKS if each in dependencies), "")
    sources = folder.ending(".rs")
    usual = {"Rocket": 8000}.get(framework, 8080 if framework else 0)
    port, port_facts, port_questions = ports.port(folder, answers, "compiled", sources, usual)
    name = program or folder.name
    build = (
        f"ARG RUST_VERSION={version}\n\n"
        "FROM rust:${RUST_VERSION}-slim-bookworm AS build\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \\\n"
        f"    cargo build --release{' --locked' if folder.has('Cargo.lock') else ''} --bin {name} \\\n"
        f"    && install -D target/release/{name} /out/{name}\n\n"
    )
    environment = {"ROCKET_ADDRESS": "0.0.0.0"} if framework == "Rocket" else {}  # noqa: S104
    check = health.connection(port) if port else ""
    return Recipe(
        "Rust",
        build
        + final(
            f"--from=build /out/{name} /usr/local/bin/{name}",
            json.dumps([name]),
            port,
            check,
            certificates=True,
        ),
        port,
        framework=framework,
        tool="cargo",
        facts=(
            Fact("version", version, source),
            *((Fact("program", program, "Cargo.toml"),) if program else ()),
            *((Fact("framework", framework, "Cargo.toml"),) if framework else ()),
            *port_facts,
        ),
        questions=(*questions, *port_questions),
        ignore=("target",),
        dependencies=dependencies,
        environment=environment,
    )
