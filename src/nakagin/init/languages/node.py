"""JavaScript and TypeScript on Node.js: npm, yarn or pnpm; Express and its like, Next.js, or a static site by Vite."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nakagin.init import health, ports, versions
from nakagin.init.languages.static import ARGUMENT, serve
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

KNOWN = ("16", "18", "20", "22", "24")
USUAL = "22"
# the names of releases with long support, as .nvmrc has them
LTS = {"gallium": "16", "hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
IGNORE = ("**/node_modules", "npm-debug.log*", "dist", "build", ".next", "coverage", ".eslintcache")
SOURCES = (".js", ".mjs", ".cjs", ".ts", ".mts")
SERVERS = {
    "next": "Next.js", "nuxt": "Nuxt", "@nestjs/core": "NestJS", "express": "Express", "fastify": "Fastify",
    "koa": "Koa", "hono": "Hono", "@hapi/hapi": "hapi",
}  # fmt: skip
# the version of a lock file → the newest pnpm that takes it as it is
PNPM = {"5": "7", "6": "8", "9": "10"}
BUNDLERS = {"vite": "Vite", "react-scripts": "Create React App", "@angular/cli": "Angular", "astro": "Astro"}


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a Node.js project needs, None where this is none."""
    if not folder.has("package.json"):
        return None
    package = folder.json("package.json")
    dependencies = dict.fromkeys(package.get("dependencies", {}), "package.json")
    development = package.get("devDependencies", {})
    tool = _tool(folder, package)
    version, version_fact = _version(folder, answers, package)
    framework = next((SERVERS[each] for each in SERVERS if each in dependencies), "")
    bundler = next((BUNDLERS[each] for each in BUNDLERS if each in dependencies or each in development), "")
    scripts = package.get("scripts", {})
    facts = (Fact("dependencies", tool, _lock(folder) or "package.json"), version_fact)
    if bundler and not framework and "build" in scripts and not answers.command:
        return _site(folder, answers, tool, version, bundler, facts)
    words, source = _command(folder, answers, package, framework)
    if not words and (package.get("workspaces") or folder.has("pnpm-workspace.yaml", "lerna.json")):
        return None  # it holds the projects, and is none
    questions = () if words else (Question("command", "How is the program started?", ""),)
    usual = 3000 if framework else 0
    sources = folder.ending(*SOURCES)
    port, port_facts, port_questions = ports.port(
        folder, answers, "script", ("package.json", *sources), usual
    )
    made = any(word.startswith(("dist/", "build/", ".next/", ".output/")) for word in words)
    builds = "build" in scripts and (made or framework in {"Next.js", "Nuxt"})
    check = health.node(port, health.path(folder, sources)) if port else ""
    return Recipe(
        "Node.js",
        _dockerfile(folder, tool, version, words, port, check, builds=builds),
        port,
        framework=framework,
        tool=tool,
        facts=(
            *facts,
            *((Fact("framework", framework, "package.json"),) if framework else ()),
            *((Fact("command", " ".join(words), source),) if words else ()),
            *port_facts,
        ),
        questions=(*questions, *port_questions),
        ignore=tuple(
            each for each in IGNORE if builds or not any(word.startswith(f"{each}/") for word in words)
        ),
        dependencies=dependencies,
        environment={"NODE_ENV": "production", **({"PORT": str(port)} if port else {})},
    )


def _lock(folder: Folder) -> str:
    return folder.has("pnpm-lock.yaml", "yarn.lock", "package-lock.json", "npm-shrinkwrap.json")


def _tool(folder: Folder, package: dict[str, Any]) -> str:
    stated = str(package.get("packageManager", "")).partition("@")[0]
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn"}
    return stated or locks.get(_lock(folder), "npm")


def _version(folder: Folder, answers: Answers, package: dict[str, Any]) -> tuple[str, Fact]:
    if answers.version:
        return answers.version, Fact("version", answers.version, "you")
    for name in (".nvmrc", ".node-version"):
        text = folder.text(name).strip()
        if version := versions.exact(text, 1) or LTS.get(text.removeprefix("lts/").lower(), ""):
            return version, Fact("version", version, f"{name} ({text})" if text.startswith("lts/") else name)
    if version := versions.exact(str(package.get("volta", {}).get("node", "")), 1):
        return version, Fact("version", version, "package.json (volta)")
    wanted = str(package.get("engines", {}).get("node", ""))
    version = versions.newest(KNOWN, wanted, USUAL)
    return version, Fact("version", version, f"package.json ({wanted})" if wanted else "the usual one")


def _command(
    folder: Folder, answers: Answers, package: dict[str, Any], framework: str
) -> tuple[tuple[str, ...], str]:
    if answers.command:
        return tuple(answers.command.split()), "you"
    if framework == "Next.js":
        return ("node_modules/.bin/next", "start"), "usual for the framework"
    start = str(package.get("scripts", {}).get("start", ""))
    # A plain `node FILE` is run as it stands: npm between it and the signals of `stop` helps nobody.
    if re.fullmatch(r"node( -\S+)* [\w./-]+", start):
        return tuple(start.split()), "package.json (scripts.start)"
    if start:
        return ("npm", "start"), "package.json (scripts.start)"
    main = str(package.get("main", ""))
    file = folder.has(
        *filter(None, (main, "server.js", "index.js", "app.js", "main.js", "src/index.js", "src/server.js"))
    )
    return (("node", file), "package.json (main)" if file == main else file) if file else ((), "")


def _prepare(folder: Folder, tool: str) -> tuple[list[str], str, str]:
    """(lines that bring the tool and the manifests, the mount of its cache, its words for a clean install)."""
    manifests = [
        name
        for name in ("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", ".yarnrc.yml",
                     "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc")
        if folder.has(name)
    ]  # fmt: skip
    copy = f"COPY {' '.join(manifests)} ./"
    if tool == "pnpm":
        frozen = " --frozen-lockfile" if folder.has("pnpm-lock.yaml") else ""
        cache = "--mount=type=cache,target=/root/.local/share/pnpm/store"
        return [f"RUN npm install --global {_pnpm(folder)}", copy], cache, f"pnpm install{frozen}"
    if tool == "yarn":
        modern = bool(folder.has(".yarnrc.yml"))
        frozen = (" --immutable" if modern else " --frozen-lockfile") if folder.has("yarn.lock") else ""
        bring = "RUN corepack enable" if modern else "RUN command -v yarn || npm install --global yarn@1"
        return (
            [bring, copy],
            # Two stages install at the same time, and yarn's cache bears only one.
            "--mount=type=cache,target=/usr/local/share/.cache/yarn,sharing=locked",
            f"yarn install{frozen}",
        )
    clean = "ci" if folder.has("package-lock.json", "npm-shrinkwrap.json") else "install"
    return [copy], "--mount=type=cache,target=/root/.npm", f"npm {clean}"


def _pnpm(folder: Folder) -> str:
    """The pnpm that the project states, else the newest that reads its lock file: other versions refuse it, or more."""
    if hit := folder.first(r"\"packageManager\"\s*:\s*\"(pnpm@[\w.-]+)", ("package.json",)):
        return hit.match[1]
    lock = folder.first(r"^lockfileVersion:\s*['\"]?(\d+)", ("pnpm-lock.yaml",))
    return f"pnpm@{PNPM.get(lock.match[1] if lock else '', '10')}"


def _production(tool: str, install: str) -> str:
    if tool == "pnpm":
        return f"{install} --prod"
    if tool == "yarn":
        return (
            f"{install} --production"
            if "--immutable" not in install
            else "yarn workspaces focus --production"
        )
    return f"{install} --omit=dev"


def _dockerfile(
    folder: Folder, tool: str, version: str, words: tuple[str, ...], port: int, check: str, *, builds: bool
) -> str:
    prepare, cache, install = _prepare(folder, tool)
    lines = [
        f"ARG NODE_VERSION={version}",
        "",
        "FROM node:${NODE_VERSION}-bookworm-slim AS base",
        "WORKDIR /app",
        "",
        "# The dependencies: installed anew only when the manifests change.",
        "FROM base AS dependencies",
        *prepare,
        f"RUN {cache} \\\n    {_production(tool, install)}",
        "",
    ]
    if builds:
        lines += [
            "FROM base AS build",
            *prepare,
            f"RUN {cache} \\\n    {install}",
            "COPY . .",
            f"RUN {tool} run build",
            "",
        ]
    lines += [
        "FROM base",
        "ENV NODE_ENV=production" + (f" PORT={port}" if port else ""),
        "COPY --from=dependencies /app/node_modules ./node_modules",
        # What was built comes over the sources, and must not bring the development's node_modules.
        "COPY --from=build --exclude=node_modules /app ./" if builds else "COPY . .",
        "USER node",
        *([f"EXPOSE {port}", check] if port else []),
        f"CMD {json.dumps(list(words))}",
    ]
    return "\n".join(lines) + "\n"


def _site(
    folder: Folder, answers: Answers, tool: str, version: str, bundler: str, facts: tuple[Fact, ...]
) -> Recipe:
    prepare, cache, install = _prepare(folder, tool)
    output = "build" if bundler == "Create React App" else "dist"
    if hit := folder.first(
        r"outDir\s*:\s*[\"']([\w./-]+)[\"']", folder.ending("vite.config.js", "vite.config.ts")
    ):
        output = hit.match[1].removeprefix("./")
    build = [
        f"{ARGUMENT}ARG NODE_VERSION={version}",
        "",
        "FROM node:${NODE_VERSION}-bookworm-slim AS build",
        "WORKDIR /app",
        *prepare,
        f"RUN {cache} \\\n    {install}",
        "COPY . .",
        f"RUN {tool} run build",
        "",
    ]
    port = answers.port if answers.port > 0 else 8080
    return Recipe(
        "Node.js",
        "\n".join(build) + "\n" + serve(port, f"--from=build /app/{output}", fallback=True),
        port,
        framework=f"{bundler}, static",
        tool=tool,
        facts=(
            *facts,
            Fact("framework", bundler, "package.json"),
            Fact("port", str(port), "where nginx listens"),
        ),
        ignore=IGNORE,
        dependencies={},
    )
