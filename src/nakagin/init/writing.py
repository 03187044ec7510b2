"""The four files, from a recipe and its services. Pure: text out of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.init.model import Recipe, Service

_IGNORED = (
    ".git", ".gitignore", ".gitattributes", ".github", ".gitlab-ci.yml", ".dockerignore", "Dockerfile*",
    "compose*.yaml", "compose*.yml", "docker-compose*.yml", "README.container.md", ".env", ".env.*", "!.env.example",
    "*.log", ".DS_Store", ".idea", ".vscode", "*.swp", "**/*.pem", "**/*.key",
)  # fmt: skip


def dockerfile(recipe: Recipe) -> str:
    """The Dockerfile."""
    return (
        "# syntax=docker/dockerfile:1\n"
        f"# Written by `nakagin init` for {recipe.title}. It is yours: change what you like.\n\n"
        f"{recipe.dockerfile}"
    )


def compose(recipe: Recipe, services: Sequence[Service]) -> str:
    """compose.yaml: the program, and what it needs beside it."""
    lines = [
        "# Written by `nakagin init`: `nakagin compose up --build` starts all of it.",
        "services:",
        "  app:",
        "    build: .",
    ]
    lines += ["    restart: unless-stopped", "    init: true"]
    if recipe.port:
        lines += ["    ports:", f'      - "127.0.0.1:{recipe.port}:{recipe.port}"']
    variables = dict(recipe.environment)
    for service in services:
        for name, value in service.variables.items():
            variables.setdefault(name, value)
    if variables:
        lines += [
            "    environment:",
            *(f"      {name}: {_scalar(value)}" for name, value in variables.items()),
        ]
    if services:
        lines.append("    depends_on:")
        for service in services:
            lines += [f"      {service.name}:", f"        condition: {service.wait}"]
    for service in services:
        lines += ["", f"  # {service.product}, because of {service.source}", f"  {service.name}:"]
        lines += [f"    {line}" for line in service.block.splitlines()]
    if services:
        lines += ["", "volumes:", *(f"  {service.volume}:" for service in services)]
    return "\n".join(lines) + "\n"


def _scalar(value: str) -> str:
    """A string as YAML must have it: what would be read as a number is quoted."""
    return f'"{value}"' if value.isdigit() else value


def ignore(recipe: Recipe, name: str) -> str:
    """.dockerignore: what need not travel to the engine, and what must not get into an image."""
    own = [each for each in recipe.ignore if each not in _IGNORED]
    return (
        "\n".join(
            [
                "# What is not sent to the engine: it would make builds slow, images big, or secrets public.",
                *_IGNORED,
                f"# {name}",
                *own,
            ]
        )
        + "\n"
    )


def readme(recipe: Recipe, services: Sequence[Service], name: str) -> str:
    """README.container.md: how to use the three other files, and what they are built on."""
    image = _image_name(name)
    publish = f" -p 127.0.0.1:{recipe.port}:{recipe.port}" if recipe.port else ""
    lines = [
        f"# {name} in a container",
        "",
        f"A {recipe.title} program. What was seen, and where:",
        "",
        "| what | value | seen in |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {fact.what} | `{fact.value}` | {fact.source} |" for fact in recipe.facts]
    lines += [f"| needs | {service.product} (`{service.name}`) | {service.source} |" for service in services]
    lines += ["", "## Run it", "", "```sh"]
    if any("DB_PASSWORD" in service.block for service in services):
        lines.append('echo "DB_PASSWORD=$(openssl rand -hex 16)" >> .env   # once, before the first start')
    lines += ["nakagin compose up --build -d", "nakagin compose logs -f app", "nakagin compose down"]
    if not services:
        lines += [
            "",
            "# or without Compose",
            f"nakagin build -t {image} .",
            f"nakagin run --rm -it{publish} {image}",
        ]
    lines += ["```", ""]
    if recipe.port:
        lines += [
            f"It answers at http://127.0.0.1:{recipe.port}/. To let other machines reach it, take `127.0.0.1:` out of",
            "`ports` in compose.yaml.",
            "",
        ]
    lines += ["`docker` and `docker compose` do the same with these files.", ""]
    for note in recipe.notes:
        lines += [f"- {note}"]
    if recipe.notes:
        lines.append("")
    return "\n".join(lines)


def _image_name(name: str) -> str:
    """A folder's name as an image may be called."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip(
        "-"
    )
    return kept or "app"
