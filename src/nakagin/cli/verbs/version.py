"""`nakagin version` and `nakagin --version`."""

from __future__ import annotations

import os
import sys

from nakagin import __version__
from nakagin.cli.command import Call, Command, complain
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns
from nakagin.client.session import API_VERSION
from nakagin.errors import NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def short_version() -> str:
    """The line of `nakagin --version`."""
    return f"Nakagin version {__version__}"


def show(call: Call) -> int:
    """Client and server, in words or by a template; without a server the client alone, and exit code 1."""
    document: Document = {"Client": client_document(), "Server": None}
    failure: NakaginError | None = None
    try:
        document["Client"]["ApiVersion"] = call.client.session.version
        document["Server"] = call.client.version()
    except NakaginError as error:
        failure = error
    if failure is None:
        sys.stdout.write(render(document, call.options.text("format")))
        return 0
    from nakagin.cli.templates import TemplateError

    # A template may well ask for what only a server has; why there is none matters more.
    try:
        sys.stdout.write(render(document, call.options.text("format")))
    except TemplateError:
        pass
    complain(explain(failure))
    return 1


def client_document() -> Document:
    """What `version --format` knows of this side."""
    return {
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
        "Os": sys.platform,
        "Arch": _MACHINES.get(os.uname().machine, os.uname().machine),
    }


def render(document: Document, template: str) -> str:
    """The text of both sides in docker's shape."""
    if template:
        from nakagin.cli.templates import Template

        text = "{{json .}}" if template == "json" else template
        return Template(text).render({**document, "ServerOK": document["Server"] is not None}) + "\n"
    client = document["Client"]
    parts = [
        "Client:",
        _rows(
            [
                ("Version", client["Version"]),
                ("API version", _agreed(client)),
                ("Python version", client["PythonVersion"]),
                ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
            ]
        ),
    ]
    if document["Server"]:
        parts += _server(document["Server"])
    return "\n".join(parts)


def _server(server: Document) -> list[str]:
    name = (server.get("Platform") or {}).get("Name") or ""
    components = server.get("Components") or [_engine(server)]
    parts = [f"Server: {name}".rstrip() if name else "Server:"]
    for component in components:
        details = component.get("Details") or {}
        rows = [("Version", component.get("Version", ""))]
        if component.get("Name") == "Engine":
            minimum = details.get("MinAPIVersion", "")
            rows += [
                ("API version", f"{details.get('ApiVersion', '')} (minimum version {minimum})"),
                *((title, _detail(key, details[key])) for title, key in _DETAILS if details.get(key)),
                ("OS/Arch", f"{details.get('Os', '')}/{details.get('Arch', '')}"),
                ("Experimental", details.get("Experimental", "false")),
            ]
        elif "GitCommit" in details:
            rows.append(("GitCommit", details["GitCommit"]))
        parts.append(f" {component.get('Name', '')}:\n" + _rows(rows, indent="  ").rstrip("\n"))
    return [*parts, ""]


_DETAILS = (
    ("Go version", "GoVersion"),
    ("Python version", "PythonVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
)


def _agreed(client: Document) -> str:
    """The API version spoken, and ours where the engine's is lower."""
    agreed, own = client["ApiVersion"], client["DefaultAPIVersion"]
    return agreed if agreed == own else f"{agreed} (downgraded from {own})"


def _detail(key: str, text: str) -> str:
    if key != "BuildTime":
        return text
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.ctime()


def _engine(server: Document) -> Document:
    """Engines before API 1.35 have no list of components."""
    details = {**server, "Experimental": str(server.get("Experimental", False)).lower()}
    return {"Name": "Engine", "Version": server.get("Version", ""), "Details": details}


def _rows(rows: list[tuple[str, str]], indent: str = " ") -> str:
    return columns([(f"{indent}{title}:", value) for title, value in rows], minimum=20, padding=1)


VERSION = Command(
    show, "[OPTIONS]", (Flag("format", "f", "string", "Format output using a Go template or 'json'"),)
)
