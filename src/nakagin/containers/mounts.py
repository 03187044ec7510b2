"""Mounts: what -v, --mount, --tmpfs, --volumes-from and the image ask for, settled into one list. Pure.

`settle` is called once, at creation; `oci_mounts` at every start.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers import defaults
from nakagin.containers.model import MountSpec
from nakagin.errors import Invalid, Unsupported

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_OVERLAY = "O"
_MODES = {"rw", "ro", "z", "Z", "nocopy", "cached", "delegated", "consistent", _OVERLAY, *_PROPAGATIONS}
_OWNER = "owner="
# "me" is the client's to replace; a colon would be one too many.
_OWNER_FORM = re.compile(r"owner=\d{1,9}\.\d{1,9}")
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_TMPFS_FLAGS = (
    ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("rw", "ro"), ("sync", "async"),
    ("atime", "noatime"), ("diratime", "nodiratime"), ("relatime", "norelatime"), ("strictatime", "nostrictatime"),
    ("mand", "nomand"), ("iversion", "noiversion"), ("defaults",), ("bind", "rbind"),
)  # fmt: skip
_TMPFS_KEYS = {"mode", "size", "nr_blocks", "nr_inodes", "uid", "gid", "mpol", "huge"}


def parse_bind(text: str, volume_driver: str = "") -> MountSpec:
    """The mount that `-v source:target[:options]` means; Invalid with Docker's words."""
    parts = text.split(":")
    if len(parts) not in {2, 3} or not parts[0] or not parts[1]:
        raise Invalid(f"invalid volume specification: '{text}'", hint="SOURCE:TARGET[:OPTIONS]")
    source, target = parts[0], parts[1]
    mode = parts[2] if len(parts) == 3 else ""
    options = [option for option in mode.split(",") if option]
    _check_modes(text, mode, options)
    owner = next((option[len(_OWNER) :] for option in options if option.startswith(_OWNER)), "")
    target = _check_target(target, text)
    spec = MountSpec(
        type="bind" if source.startswith("/") else "volume", target=target, mode=mode, read_only="ro" in options,
        propagation=next((option for option in options if option in _PROPAGATIONS), ""),
        no_copy="nocopy" in options, recursive_read_only="ro" in options, owner=owner, overlay=_OVERLAY in options,
    )  # fmt: skip
    if spec.type == "bind":
        return msgspec.structs.replace(
            spec,
            source=posixpath.normpath(source),
            create_source=not spec.overlay,
            propagation=spec.propagation or "rprivate",
        )
    if spec.propagation or owner or spec.overlay:
        raise Invalid(f"invalid volume specification: '{text}': invalid mode: {mode}")
    return msgspec.structs.replace(spec, name=source, driver=volume_driver or "local", mode=mode or "z")


def _check_modes(text: str, mode: str, options: Sequence[str]) -> None:
    unknown = [option for option in options if option not in _MODES and not _OWNER_FORM.fullmatch(option)]
    groups = ({"rw", "ro"}, {"z", "Z"}, set(_PROPAGATIONS), {"nocopy"}, {"cached", "delegated", "consistent"})
    twice = any(sum(option in group for option in options) > 1 for group in groups)
    if unknown or twice:
        raise Invalid(f"invalid volume specification: '{text}': invalid mode: {mode}")
    if _OVERLAY in options and len(options) > 1:
        raise Invalid(f"invalid volume specification: '{text}': O goes with no other option")


def _check_target(target: str, what: str) -> str:
    if not target.startswith("/"):
        raise Invalid(
            f"invalid volume specification: '{what}': invalid mount config: mount path must be absolute"
        )
    clean = "/" + posixpath.normpath(target).lstrip("/")
    if clean == "/":
        raise Invalid(
            f"invalid volume specification: '{what}': invalid specification: destination can't be '/'"
        )
    return clean


def parse_mount(mount: docker.Mount) -> MountSpec:
    """The mount that one `--mount` means; Invalid with Docker's words."""
    if not mount.target:
        raise Invalid(f'invalid mount config for type "{mount.type}": field Target must not be empty')
    target = _check_target(mount.target, mount.target)
    match mount.type:
        case "bind":
            return _bind_mount(mount, target)
        case "volume":
            return _volume_mount(mount, target)
        case "tmpfs":
            return _tmpfs_mount(mount, target)
        case "image":
            return _image_mount(mount, target)
        case "npipe" | "cluster":
            raise Unsupported(f"mounts of type {mount.type} are not supported yet")
        case _:
            raise Invalid(f'mount type unknown: "{mount.type}"', hint="bind, volume, tmpfs or image")


def _bind_mount(mount: docker.Mount, target: str) -> MountSpec:
    if not mount.source:
        raise Invalid('invalid mount config for type "bind": field Source must not be empty')
    if not mount.source.startswith("/"):
        raise Invalid(
            f"invalid mount config for type \"bind\": invalid mount path: '{mount.source}' mount path must be absolute"
        )
    if mount.volume_options or mount.tmpfs_options:
        raise Invalid('invalid mount config for type "bind": options of another type must not be specified')
    options = mount.bind_options
    propagation = options.propagation if options else ""
    if propagation and propagation not in _PROPAGATIONS:
        raise Invalid(f'invalid mount config for type "bind": invalid propagation mode: {propagation}')
    if (
        options
        and (options.read_only_non_recursive or options.read_only_force_recursive)
        and not mount.read_only
    ):
        raise Invalid(
            'invalid mount config for type "bind": mount must be read-only to say how deep it is so'
        )
    if options and options.read_only_force_recursive and propagation not in {"", "rprivate"}:
        raise Invalid(
            'invalid mount config for type "bind": read-only in depth needs the propagation rprivate'
        )
    return MountSpec(
        type="bind", target=target, source=posixpath.normpath(mount.source), read_only=mount.read_only,
        propagation=propagation or "rprivate", recursive=not (options and options.non_recursive),
        recursive_read_only=mount.read_only and not (options and options.read_only_non_recursive),
        create_source=bool(options and options.create_mountpoint), origin="mount",
    )  # fmt: skip


def _volume_mount(mount: docker.Mount, target: str) -> MountSpec:
    if mount.bind_options or mount.tmpfs_options:
        raise Invalid('invalid mount config for type "volume": options of another type must not be specified')
    options = mount.volume_options
    driver = options.driver_config if options else None
    subpath = options.subpath if options else ""
    if subpath and (subpath.startswith("/") or ".." in subpath.split("/")):
        raise Invalid(
            'invalid mount config for type "volume": subpath must be a relative path within the volume'
        )
    if subpath and not mount.source:
        raise Invalid(
            'invalid mount config for type "volume": must not set Subpath when using anonymous volumes'
        )
    return MountSpec(
        type="volume", target=target, name=mount.source, driver=(driver.name if driver else "") or "local", mode="z",
        read_only=mount.read_only, no_copy=bool(options and options.no_copy), subpath=subpath,
        anonymous=not mount.source, labels=dict(options.labels) if options else {},
        driver_options=dict(driver.options) if driver else {}, origin="mount",
    )  # fmt: skip


def _image_mount(mount: docker.Mount, target: str) -> MountSpec:
    if not mount.source:
        raise Invalid('invalid mount config for type "image": field Source must not be empty')
    if mount.bind_options or mount.volume_options or mount.tmpfs_options:
        raise Invalid('invalid mount config for type "image": options of another type must not be specified')
    subpath = mount.image_options.subpath if mount.image_options else ""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise Invalid(
            'invalid mount config for type "image": subpath must be a relative path within the image'
        )
    return MountSpec(
        type="image", target=target, name=mount.source, subpath=subpath, read_only=True, origin="mount"
    )


def _tmpfs_mount(mount: docker.Mount, target: str) -> MountSpec:
    if mount.source:
        raise Invalid('invalid mount config for type "tmpfs": field Source must not be specified')
    options = mount.tmpfs_options
    words: list[str] = ["ro"] if mount.read_only else []
    if options:
        words += [f"size={options.size_bytes}"] if options.size_bytes else []
        words += [f"mode={options.mode:o}"] if options.mode else []
        words += ["=".join(option) for option in options.options]
    return MountSpec(
        type="tmpfs", target=target, read_only=mount.read_only, options=_tmpfs_options(words), origin="mount"
    )


def parse_tmpfs(target: str, text: str) -> MountSpec:
    """The mount that `--tmpfs target:options` means."""
    words = [word for word in text.split(",") if word]
    return MountSpec(
        type="tmpfs", target=_check_target(target, target), read_only="ro" in words, options=_tmpfs_options(words),
        mode=text, origin="tmpfs",
    )  # fmt: skip


def _tmpfs_options(words: Iterable[str]) -> tuple[str, ...]:
    """Docker's default flags with the request's own over them; Invalid for what tmpfs does not know."""
    chosen = list(_TMPFS_DEFAULTS)
    for word in words:
        group = next((group for group in _TMPFS_FLAGS if word in group), None)
        if group is None and word not in _PROPAGATIONS and word.partition("=")[0] not in _TMPFS_KEYS:
            raise Invalid(f'invalid tmpfs option ["{word}"]')
        chosen = [each for each in chosen if not (group and each in group)] + [word]
    return tuple(chosen)


def settle(
    host: docker.HostConfig,
    image_volumes: Iterable[str],
    inherited: Sequence[MountSpec] = (),
) -> tuple[MountSpec, ...]:
    """All mounts of a new container: a target asked for twice is Invalid, what is inherited gives way.

    `inherited` are those of --volumes-from; the image's volumes become anonymous ones where nothing else is.
    """
    found: dict[str, MountSpec] = {spec.target: spec for spec in inherited}
    asked: set[str] = set()
    requests = [parse_bind(text, host.volume_driver) for text in host.binds]
    requests += [parse_mount(mount) for mount in host.mounts]
    requests += [parse_tmpfs(target, text) for target, text in host.tmpfs.items()]
    for spec in requests:
        if spec.target in asked:
            raise Invalid(f"Duplicate mount point: {spec.target}")
        asked.add(spec.target)
        found[spec.target] = spec
    for target in image_volumes:
        clean = _check_target(target, target)
        if clean not in found:
            driver = host.volume_driver or "local"
            found[clean] = MountSpec(
                type="volume", target=clean, driver=driver, anonymous=True, origin="image"
            )
    return tuple(sorted(found.values(), key=lambda spec: (spec.target.count("/"), spec.target)))


def parse_volumes_from(text: str) -> tuple[str, str]:
    """(container, mode "rw" or "ro") of one --volumes-from; Invalid for another mode."""
    name, _, mode = text.partition(":")
    words = [word for word in mode.split(",") if word]
    if not name or any(word not in {"rw", "ro", "z", "Z"} for word in words):
        raise Invalid(f'invalid volumes-from specification: "{text}"', hint="CONTAINER[:ro]")
    return name, "ro" if "ro" in words else "rw"


def inherit(specs: Iterable[MountSpec], mode: str) -> list[MountSpec]:
    """The mounts of another container, as --volumes-from takes them over."""
    return [_inherited(spec, mode) for spec in specs if spec.type != "tmpfs"]


def _inherited(spec: MountSpec, mode: str) -> MountSpec:
    return msgspec.structs.replace(
        spec,
        read_only=spec.read_only or mode == "ro",
        recursive_read_only=spec.recursive_read_only or mode == "ro",
        anonymous=False,
        no_copy=True,
        create_source=False,
        origin="from",
    )


def oci_mounts(
    specs: Sequence[MountSpec],
    files: Mapping[str, str],
    *,
    shm: oci.Mount | None,
    mqueue: bool,
    read_only_root: bool,
    privileged: bool,
    writable_cgroups: bool = False,
    identity: tuple[int, int] = (0, 0),
) -> list[oci.Mount]:
    """All mounts in the order in which they are done: the kernel's, the engine's `files`, then the user's by depth.

    A user's mount replaces a default one on the same target. `identity` is the container's user and group.
    """
    users = {spec.target for spec in specs}
    standard = [defaults.PROC, defaults.DEV, defaults.DEV_PTS, defaults.SYS, defaults.CGROUP]
    if mqueue:
        standard.append(defaults.DEV_MQUEUE)
    if shm is not None:
        standard.append(shm)
    mounts = [
        _adjust(
            mount, read_only_root=read_only_root, privileged=privileged, writable_cgroups=writable_cgroups
        )
        for mount in standard
        if not _covered(mount["destination"], users)
    ]
    options = ["rbind", "rprivate", "ro"] if read_only_root else ["rbind", "rprivate"]
    deeper: list[oci.Mount] = [
        {"destination": target, "type": "bind", "source": source, "options": options}
        for target, source in files.items()
        if target not in users
    ]
    deeper += [_user_mount(spec, identity) for spec in specs]
    return mounts + sorted(deeper, key=lambda mount: mount["destination"].count("/"))


def _covered(target: str, users: set[str]) -> bool:
    # A /dev of the user's own is whole: nothing of ours is mounted into it.
    return target in users or ("/dev" in users and target.startswith("/dev/"))


_WRITABLE_ANYWAY = {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}  # noqa: S108  paths inside


def _adjust(mount: oci.Mount, *, read_only_root: bool, privileged: bool, writable_cgroups: bool) -> oci.Mount:
    options = list(mount["options"])
    target = mount["destination"]
    if (privileged and target in {"/sys", "/sys/fs/cgroup"}) or (
        writable_cgroups and target == "/sys/fs/cgroup"
    ):
        options = [option for option in options if option != "ro"]
    elif read_only_root and target not in _WRITABLE_ANYWAY and "ro" not in options:
        options.append("ro")
    return {**mount, "options": options}


def shm_mount(size: int) -> oci.Mount:
    """A private /dev/shm of `size` bytes."""
    return {
        "destination": "/dev/shm", "type": "tmpfs", "source": "shm",  # noqa: S108  a path inside
        "options": ["nosuid", "noexec", "nodev", "mode=1777", f"size={size}"],
    }  # fmt: skip


def shared_shm_mount(source: str) -> oci.Mount:
    """A /dev/shm that is the host folder `source`: the host's own, or one that several containers share."""
    return {
        "destination": "/dev/shm", "type": "bind", "source": source,  # noqa: S108  a path inside
        "options": ["rbind", "rprivate"],
    }  # fmt: skip


def _user_mount(spec: MountSpec, identity: tuple[int, int]) -> oci.Mount:
    if spec.type == "tmpfs":
        return {"destination": spec.target, "type": "tmpfs", "source": "tmpfs", "options": list(spec.options)}
    if spec.overlay:
        return {
            "destination": spec.target,
            "type": "overlay",
            "source": "overlay",
            "options": list(spec.options),
        }
    options = ["rbind" if spec.recursive else "bind", spec.propagation or "rprivate"]
    if spec.read_only:
        options.append("rro" if spec.recursive_read_only and spec.recursive else "ro")
    mount: oci.Mount = {
        "destination": spec.target, "type": "bind", "source": spec.source, "options": options
    }  # fmt: skip
    if spec.owner:
        uid, gid = (int(number) for number in spec.owner.split("."))
        mount["options"].append("ridmap" if spec.recursive else "idmap")
        mount["uidMappings"], mount["gidMappings"] = exchanged(uid, identity[0]), exchanged(gid, identity[1])
    return mount


def exchanged(here: int, inside: int) -> list[oci.IDMapping]:
    """The mapping of a mount that shows the id `here` as `inside` and the other way round, and all else as it is."""
    low, high = sorted((here, inside))
    ranges = [(0, low, 0), (low, 1, high), (low + 1, high - low - 1, low + 1), (high, 1, low)]
    if low == high:
        ranges = [(0, high + 1, 0)]
    ranges.append((high + 1, _LAST_ID - high, high + 1))
    return [{"containerID": of, "hostID": to, "size": size} for of, size, to in ranges if size > 0]


_LAST_ID = (1 << 32) - 2


def root_propagation(specs: Iterable[MountSpec]) -> str:
    """The propagation that the root needs so that shared and slave mounts work; "" for the default."""
    found = {spec.propagation for spec in specs}
    if found & {"shared", "rshared"}:
        return "shared"
    return "rslave" if found & {"slave", "rslave"} else ""
