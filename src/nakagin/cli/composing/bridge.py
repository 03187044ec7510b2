"""`nakagin compose bridge`: a project in another form; manifests for Kubernetes, or what a transformation makes.

A transformation is an image in Docker's protocol: it finds the project as /in/compose.yaml, templates of the user's in
/templates, and leaves files in /out. They are copied in and out, so that the engine may be anywhere.
"""

from __future__ import annotations

import os
import sys
import tempfile

from msgspec.structs import replace

from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import only_said
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns
from nakagin.cli.quantities import human_size
from nakagin.compose.kubernetes import content_of, manifests
from nakagin.compose.model import FileObject, Project
from nakagin.compose.render import as_yaml, yaml_document
from nakagin.errors import Conflict, Invalid, NotFound, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.client import Client
    from nakagin.client.containers import Container

_LABEL = "com.docker.compose.bridge=transformation"
#: What transformations are copied from where nobody says; Docker's own.
_DOCKERS = "docker/compose-bridge-kubernetes"


def convert(compose: Compose) -> int:
    """Write the project as manifests into a folder, or let transformations do it, one after the other."""
    options = compose.options
    output, images, templates = (
        options.text("output"),
        options.many("transformation"),
        options.text("templates"),
    )
    if templates and not images:
        raise Invalid("--templates are read by a transformation", hint="name its image with -t")
    if templates and not os.path.isdir(templates):
        raise NotFound(f"{templates}: no such folder", hint="--templates names the folder with the templates")
    project = compose.project()
    if only_said(compose, f"convert {project.name} into {output}"):
        return 0
    os.makedirs(output, exist_ok=True)
    if not images:
        _write_manifests(project, output)
    for image in images:
        _transform(compose.client, image, project, output, templates)
    return 0


def _write_manifests(project: Project, output: str) -> None:
    found, warnings = manifests(project)
    for warning in warnings:
        complain(f"WARN[0000] {warning} ")
    for name, document in found.items():
        path = os.path.join(output, name)
        mode = 0o600 if document["kind"] == "Secret" else 0o666
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(as_yaml(document))
        say(f"Kubernetes resource {name} created")


def _transform(client: Client, image: str, project: Project, output: str, templates: str) -> None:
    container = _created(client, image, templates="/templates" if templates else "")
    try:
        with tempfile.TemporaryDirectory(prefix="nakagin-bridge-") as folder:
            for name, mode in (("in", 0o755), ("out", 0o777)):
                os.mkdir(os.path.join(folder, name))
                os.chmod(os.path.join(folder, name), mode)  # the transformation runs as the caller
            with open(os.path.join(folder, "in", "compose.yaml"), "w", encoding="utf-8") as file:
                file.write(as_yaml(yaml_document(_whole(project))))
            container.put(os.path.join(folder, "."), "/")
            if templates:
                container.put(os.path.join(templates, "."), "/templates")
        container.start()
        for kind, piece in container.logs(follow=True):
            stream = sys.stderr if kind == 2 else sys.stdout
            stream.buffer.write(piece)
            stream.buffer.flush()
        if code := container.wait():
            raise StepFailed(f"transformation {image}", f"it exited with status {code}")
        container.get("/out/.", output)
    finally:
        container.remove(force=True, volumes=True)


def _created(client: Client, image: str, *, templates: str = "") -> Container:
    """A container of the transformation, not started; its own `templates` are hidden by an empty folder."""
    body: dict[str, Any] = {"Image": image, "User": str(os.getuid()), "Env": ["LICENSE_AGREEMENT=true"]}
    if templates:
        empty = {"Type": "volume", "Target": templates, "VolumeOptions": {"NoCopy": True}}
        body["HostConfig"] = {"Mounts": [empty]}
    try:
        return client.containers.create_from(body)[0]
    except NotFound:
        for _ in client.images.pull(image):
            pass
        return client.containers.create_from(body)[0]


def _whole(project: Project) -> Project:
    """With the contents of configs and secrets, and what services publish among what they expose."""

    def held(found: dict[str, FileObject]) -> dict[str, FileObject]:
        return {
            key: each
            if each.external
            else replace(each, content=content_of(project, each).decode(errors="replace"))
            for key, each in found.items()
        }

    services = {
        name: replace(
            each, expose=list(dict.fromkeys([*each.expose, *(str(port.target) for port in each.ports)]))
        )
        for name, each in project.services.items()
    }
    return replace(project, services=services, configs=held(project.configs), secrets=held(project.secrets))


def transformations(compose: Compose) -> int:
    """List the images that are transformations."""
    found = compose.client.images.list(filters={"label": [_LABEL]})
    if compose.options.on("quiet"):
        for each in found:
            for tag in each.get("RepoTags") or ():
                say(tag)
    elif compose.options.text("format") == "json":
        from nakagin.spec.document import render

        say(render(found))
    else:
        rows = [["IMAGE ID", "REPO", "TAGS", "SIZE"]]
        for each in found:
            repository, _, tag = ((each.get("RepoTags") or ["<none>:<none>"])[0]).rpartition(":")
            rows.append([each["Id"].removeprefix("sha256:")[:12], repository, tag, human_size(each["Size"])])
        say(columns(rows).rstrip("\n"))
    return 0


def create(compose: Compose) -> int:
    """A folder with the templates of a transformation, from which another one is built."""
    path, origin = os.path.abspath(compose.arguments[0]), compose.options.text("from")
    if os.path.exists(path):
        raise Conflict(f"{path} exists already", hint="name a folder that is to be made")
    if only_said(compose, f"create a transformation in {path}"):
        return 0
    container = _created(compose.client, origin)
    try:
        os.makedirs(path)
        container.get("/templates", path)
    finally:
        container.remove(force=True, volumes=True)
    with open(os.path.join(path, "Dockerfile"), "w", encoding="utf-8") as file:
        file.write(f"FROM {origin}\nLABEL {_LABEL}\nCOPY templates /templates\n")
    say(f'Transformer created in "{path}"')
    return 0


CONVERT = Verb(
    convert,
    "[OPTIONS]",
    (
        Flag("output", "o", "string", "The output directory for the Kubernetes resources", "out"),
        Flag("templates", "", "string", "Directory containing transformation templates"),
        Flag(
            "transformation",
            "t",
            "list",
            "Image of a transformation to apply, instead of making manifests for Kubernetes",
        ),
    ),
    most=0,
)
LIST = Verb(
    transformations,
    "[OPTIONS]",
    (
        Flag("format", "", "string", "Format the output. Values: [table | json]", "table"),
        Flag("quiet", "q", "bool", "Only display transformer names"),
    ),
    most=0,
)
CREATE = Verb(
    create,
    "[OPTIONS] PATH",
    (Flag("from", "f", "string", "Existing transformation to copy", _DOCKERS),),
    least=1,
    most=1,
)
