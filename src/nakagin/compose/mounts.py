"""What a service mounts, as binds (SOURCE:TARGET:OPTIONS) where that says it all, else as mounts of the API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nakagin.compose.model import FileObject, Project, Service
from nakagin.compose.parts import FileReference, Mount

Document = dict[str, Any]


def mounts(
    project: Project, service: Service, inherited: Mapping[str, str]
) -> tuple[list[str], list[Document]]:
    """(binds, mounts). `inherited`: target → name of the anonymous volume that a replaced container had there."""
    binds: list[str] = []
    listed: list[Document] = []
    targets = {each.target for each in service.volumes if each.source}
    for mount in service.volumes:
        if mount.type == "bind" and _plain_bind(mount):
            binds.append(_bind(mount.source, mount))
        elif mount.type == "volume" and mount.source in project.volumes and _plain_volume(mount):
            binds.append(_bind(project.volumes[mount.source].name, mount))
        elif mount.target not in inherited or mount.source:
            listed.append(_mount(project, mount))
    kept = [(target, name) for target, name in inherited.items() if target not in targets]
    listed += [{"Type": "volume", "Source": name, "Target": target} for target, name in kept]
    listed += [each for each in file_mounts(project, service) if each["Target"] not in targets]
    return binds, listed


def _plain_bind(mount: Mount) -> bool:
    """Only binds make a missing folder of the host; only mounts know `recursive`."""
    return mount.bind is None or (mount.bind.create_host_path and not mount.bind.recursive)


def _plain_volume(mount: Mount) -> bool:
    options = mount.volume
    return options is None or not (options.subpath or options.labels or options.nocopy)


def _bind(source: str, mount: Mount) -> str:
    options = ["ro" if mount.read_only else "rw"]
    if mount.bind and mount.bind.selinux:
        options.append(mount.bind.selinux)
    if mount.bind and mount.bind.propagation:
        options.append(mount.bind.propagation)
    if mount.volume and mount.volume.nocopy:
        options.append("nocopy")
    return f"{source}:{mount.target}:{','.join(options)}"


def _mount(project: Project, mount: Mount) -> Document:
    source = mount.source
    if mount.type == "volume" and source in project.volumes:
        source = project.volumes[source].name
    made: Document = {"Type": mount.type, "Target": mount.target}
    if source:
        made["Source"] = source
    if mount.read_only:
        made["ReadOnly"] = True
    if mount.consistency:
        made["Consistency"] = mount.consistency
    if mount.bind:
        made["BindOptions"] = {
            "Propagation": mount.bind.propagation,
            "CreateMountpoint": mount.bind.create_host_path,
            **_recursion(mount.bind.recursive),
        }
    if mount.volume and mount.type == "volume":
        made["VolumeOptions"] = {
            "NoCopy": mount.volume.nocopy,
            "Subpath": mount.volume.subpath,
            "Labels": mount.volume.labels,
        }
    if mount.tmpfs:
        made["TmpfsOptions"] = {"SizeBytes": int(mount.tmpfs.size or 0), "Mode": mount.tmpfs.mode}
    if mount.image and mount.image.subpath:
        made["ImageOptions"] = {"Subpath": mount.image.subpath}
    return made


def _recursion(recursive: str) -> Document:
    match recursive:
        case "disabled":
            return {"NonRecursive": True}
        case "writable":
            return {"ReadOnlyNonRecursive": True}
        case "readonly":
            return {"ReadOnlyForceRecursive": True}
    return {}


def file_mounts(project: Project, service: Service) -> list[Document]:
    """Configs and secrets that are files of the host: mounted read-only."""
    made: list[Document] = []
    secrets = {each.source for each in service.secrets}
    for reference, content in files_of(project, service):
        if content.file:
            bind = {"Type": "bind", "Source": content.file, "Target": reference.target, "ReadOnly": True}
            made.append({**bind, "BindOptions": {}} if reference.source in secrets else bind)
    return made


def copied_files(project: Project, service: Service) -> list[tuple[FileReference, bytes]]:
    """Configs and secrets that are no files: copied into the container before it starts."""
    found: list[tuple[FileReference, bytes]] = []
    for reference, content in files_of(project, service):
        if content.content:
            found.append((reference, content.content.encode()))
        elif content.environment:
            found.append((reference, project.environment.get(content.environment, "").encode()))
    return found


def files_of(project: Project, service: Service) -> list[tuple[FileReference, FileObject]]:
    """The configs, then the secrets of a service that are not external, each with its full target."""
    configs = [(each, project.configs.get(each.source)) for each in service.configs]
    secrets = [(each, project.secrets.get(each.source)) for each in service.secrets]
    default = [(_at(each, f"/{each.source}"), content) for each, content in configs]
    hidden = [(_at(each, f"/run/secrets/{each.source}"), content) for each, content in secrets]
    return [
        (each, content)
        for each, content in [*default, *hidden]
        if content is not None and not content.external
    ]


def _at(reference: FileReference, default: str) -> FileReference:
    target = reference.target or default
    if not target.startswith("/"):
        target = os.path.join(os.path.dirname(default), target)
    return FileReference(
        source=reference.source, target=target, uid=reference.uid, gid=reference.gid, mode=reference.mode
    )
