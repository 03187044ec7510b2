"""`nakagin compose viz`: who depends on whom, as a graph in the language of Graphviz."""

from __future__ import annotations

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag
from nakagin.compose.model import Project, Service


def viz(compose: Compose) -> int:
    """Print the graph of the project."""
    options = compose.options
    width = options.number("indentation-size")
    indent = (" " if options.on("spaces") else "\t") * width
    say(
        graph(
            compose.project(compose.arguments, all=True),
            indent,
            networks=options.on("networks"),
            ports=options.on("ports"),
            image=options.on("image"),
        )
    )
    return 0


def graph(project: Project, indent: str, *, networks: bool, ports: bool, image: bool) -> str:
    """The graph as text: a node for each service, an edge for each dependency."""
    lines = [f"digraph {_quoted(project.name)} {{", f"{indent}layout=dot;"]
    for name, service in project.services.items():
        label = f'<font point-size="15">{name}</font>'
        if networks and service.networks:
            label += _part("Networks", list(service.networks))
        if ports and service.ports:
            label += _part("Ports", _ports(service))
        if image:
            label += _part("Image", [service.image])
        lines.append(f'{indent}{_quoted(name)} [style="filled" label=<{label}>];')
    lines.append("")
    for name, service in project.services.items():
        lines += [f"{indent}{_quoted(name)} -> {_quoted(other)};" for other in service.depends_on]
    return "\n".join([*lines, "}\n"])


def _part(title: str, entries: list[str]) -> str:
    listed = "".join(f"<br/>{each}" for each in entries)
    return f'<font point-size="10"><br/><br/><b>{title}:</b>{listed}</font>'


def _ports(service: Service) -> list[str]:
    return [
        f"{f'{each.host_ip}:' if each.host_ip else ''}{each.published}:{each.target} ({each.protocol}, {each.mode})"
        for each in service.ports
    ]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


VIZ = Verb(
    viz,
    "[OPTIONS]",
    (
        Flag("image", "", "bool", "Include service's image name in output graph"),
        Flag("indentation-size", "", "int", "Number of tabs or spaces to use for indentation", 1),
        Flag("networks", "", "bool", "Include service's attached networks in output graph"),
        Flag("ports", "", "bool", "Include service's exposed ports in output graph"),
        Flag("spaces", "", "bool", "Use spaces for indentation instead of tabs"),
    ),
    most=0,
)
