"""Ruby: Bundler; Rails, Sinatra, or any Rack program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nakagin.init import debian, health, ports, versions
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

KNOWN = ("3.1", "3.2", "3.3", "3.4")
USUAL = "3.3"
_KEY = "${SECRET_KEY_BASE:?set it in .env (bin/rails secret makes one)}"
# a gem that compiles against a library of the system → Debian's packages to build and to run it
SYSTEM = {
    "pg": ("libpq-dev", "libpq5"),
    "mysql2": ("default-libmysqlclient-dev", "libmariadb3"),
    "sqlite3": ("libsqlite3-dev", "libsqlite3-0"),
    "nokogiri": ("", ""),
}


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a Ruby project needs, None where this is none."""
    if not folder.has("Gemfile"):
        return None
    gems = {hit.match[1]: "Gemfile" for hit in folder.search(r"^\s*gem [\"']([\w-]+)[\"']", ("Gemfile",))}
    stated = folder.first(r"^\s*ruby [\"']([^\"']+)[\"']", ("Gemfile",))
    pinned = versions.exact(folder.text(".ruby-version"), 2)
    version = answers.version or pinned or versions.newest(KNOWN, stated.match[1] if stated else "", USUAL)
    source = (
        "you"
        if answers.version
        else ".ruby-version"
        if pinned
        else stated.place
        if stated
        else "the usual one"
    )
    framework, words, usual = _start(folder, gems)
    words = answers.command.split() or words
    questions = (
        () if words else (Question("command", "How is the program started? (words of its command)", ""),)
    )
    sources = folder.ending(".rb", ".ru")
    port, port_facts, port_questions = ports.port(folder, answers, "script", sources, usual)
    words = [word.replace("{port}", str(port or usual)) for word in words]
    system = [SYSTEM[gem] for gem in gems if gem in SYSTEM]
    compilers = " ".join(["build-essential", *dict.fromkeys(build for build, _ in system if build)])
    libraries = " ".join(dict.fromkeys(run for _, run in system if run))
    rails = framework == "Rails"
    lines = [
        f"ARG RUBY_VERSION={version}",
        "",
        "FROM ruby:${RUBY_VERSION}-slim-bookworm AS base",
        "WORKDIR /app",
        "ENV BUNDLE_DEPLOYMENT=1 BUNDLE_PATH=/usr/local/bundle BUNDLE_WITHOUT=development:test"
        + (" RAILS_ENV=production RAILS_LOG_TO_STDOUT=1" if rails else " RACK_ENV=production"),
        "",
        "FROM base AS build",
        debian.install(compilers),
        f"COPY Gemfile{' Gemfile.lock' if folder.has('Gemfile.lock') else ''} ./",
        "RUN --mount=type=cache,target=/root/.bundle/cache \\",
        f"    BUNDLE_GLOBAL_GEM_CACHE=1 {'' if folder.has('Gemfile.lock') else 'BUNDLE_DEPLOYMENT=0 '}bundle install",
        "COPY . .",
        *(
            ["RUN SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile"]
            if rails and folder.has("app/assets")
            else []
        ),
        "",
        "FROM base",
        *([debian.install(libraries)] if libraries else []),
        "RUN useradd --system --uid 10001 --create-home app",
        "COPY --from=build /usr/local/bundle /usr/local/bundle",
        "COPY --from=build --chown=app /app /app",
        "USER app",
        *([f"EXPOSE {port}", health.connection(port)] if port else []),
        f"CMD {json.dumps(words)}",
    ]
    return Recipe(
        "Ruby",
        "\n".join(lines) + "\n",
        port,
        framework=framework,
        tool="Bundler",
        facts=(
            Fact("version", version, source),
            *((Fact("framework", framework, "Gemfile"),) if framework else ()),
            *((Fact("command", " ".join(words), "you" if answers.command else "Gemfile"),) if words else ()),
            *port_facts,
        ),
        questions=(*questions, *port_questions),
        ignore=("log/*", "tmp/*", "vendor/bundle", ".bundle", "node_modules"),
        dependencies=gems,
        environment={"SECRET_KEY_BASE": _KEY} if rails else {},
    )


def _start(folder: Folder, gems: dict[str, str]) -> tuple[str, list[str], int]:
    if "rails" in gems:
        return "Rails", ["bundle", "exec", "rails", "server", "-b", "0.0.0.0", "-p", "{port}"], 3000  # noqa: S104
    rack = folder.has("config.ru")
    server = ["bundle", "exec", "puma", "-b", "tcp://0.0.0.0:{port}"]
    if "puma" not in gems:
        server = ["bundle", "exec", "rackup", "-o", "0.0.0.0", "-p", "{port}"]  # noqa: S104
    if "sinatra" in gems:
        file = folder.has("app.rb", "main.rb", "server.rb")
        alone = ["bundle", "exec", "ruby", file, "-o", "0.0.0.0"]  # noqa: S104
        return ("Sinatra", server, 9292) if rack else ("Sinatra", alone, 4567)
    if rack:
        return "Rack", server, 9292
    file = folder.has("main.rb", "app.rb", "run.rb")
    return "", ["bundle", "exec", "ruby", file] if file else [], 0
