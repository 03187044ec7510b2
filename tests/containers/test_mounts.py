"""Requests for mounts become one settled list, and that list OCI mounts in the right order."""

from __future__ import annotations

import pytest

from nakagin.containers import mounts
from nakagin.containers.model import MountSpec
from nakagin.errors import Invalid
from nakagin.spec.docker import BindOptions, HostConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions


def line(spec: MountSpec) -> str:
    """A mount on one line."""
    words = [spec.type, spec.source or spec.name or "-", spec.target, "ro" if spec.read_only else "rw"]
    words += [
        word
        for word, on in (
            ("nocopy", spec.no_copy),
            ("create", spec.create_source),
            ("anon", spec.anonymous),
            ("over", spec.overlay),
        )
        if on
    ]
    return " ".join([*words, *filter(None, (spec.propagation, *spec.options))])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", "bind /a /b rw create rprivate"),
        ("/a/../c/:/b/:ro,z", "bind /c /b ro create rprivate"),
        ("/a:/b:rslave", "bind /a /b rw create rslave"),
        ("/a:/b:O", "bind /a /b rw over rprivate"),
        ("data:/b", "volume data /b rw"),
        ("data:/b:ro,nocopy", "volume data /b ro nocopy"),
    ],
)
def test_v(text: str, expected: str) -> None:
    assert line(mounts.parse_bind(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/a",
        "/a:",
        ":/b",
        "/a:b",
        "/a:/",
        "/a:/b:xx",
        "/a:/b:ro,rw",
        "v:/b:rshared",
        "/a:/b:ro:z",
        "v:/b:O",
        "/a:/b:O,z",
    ],
)
def test_bad_v(text: str) -> None:
    with pytest.raises(Invalid, match="invalid volume specification"):
        mounts.parse_bind(text)


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (Mount(type="bind", source="/a", target="/b", read_only=True), "bind /a /b ro rprivate"),
        (
            Mount(type="bind", source="/a", target="/b", bind_options=BindOptions(create_mountpoint=True)),
            "bind /a /b rw create rprivate",
        ),
        (Mount(type="volume", target="/b"), "volume - /b rw anon"),
        (
            Mount(type="volume", source="v", target="/b", volume_options=VolumeOptions(no_copy=True)),
            "volume v /b rw nocopy",
        ),
        (
            Mount(type="tmpfs", target="/b", tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o700)),
            "tmpfs - /b rw noexec nosuid nodev size=4096 mode=700",
        ),
    ],
)
def test_mount(mount: Mount, expected: str) -> None:
    assert line(mounts.parse_mount(mount)) == expected


@pytest.mark.parametrize(
    "mount",
    [
        Mount(type="bind", target="/b"),
        Mount(type="bind", source="a", target="/b"),
        Mount(type="bind", source="/a"),
        Mount(type="tmpfs", source="/a", target="/b"),
        Mount(type="what", target="/b"),
        Mount(type="bind", source="/a", target="/b", bind_options=BindOptions(read_only_non_recursive=True)),
        Mount(
            type="bind", source="/a", target="/b", bind_options=BindOptions(read_only_force_recursive=True)
        ),
        Mount(
            type="bind",
            source="/a",
            target="/b",
            read_only=True,
            bind_options=BindOptions(read_only_force_recursive=True, propagation="rshared"),
        ),
        Mount(type="volume", source="v", target="/b", volume_options=VolumeOptions(subpath="../x")),
        Mount(type="volume", target="/b", bind_options=BindOptions()),
    ],
)
def test_bad_mount(mount: Mount) -> None:
    with pytest.raises(Invalid):
        mounts.parse_mount(mount)


def test_mount_of_an_image_is_read_only() -> None:
    spec = mounts.parse_mount(
        Mount(type="image", source="x", target="/b", image_options=ImageOptions(subpath="etc"))
    )
    assert (spec.type, spec.name, spec.subpath, spec.read_only) == ("image", "x", "etc", True)
    for wrong in ("/etc", "a/../../b"):
        with pytest.raises(Invalid, match="subpath"):
            mounts.parse_mount(
                Mount(type="image", source="x", target="/b", image_options=ImageOptions(subpath=wrong))
            )


def test_the_owner_of_a_bind_is_exchanged_with_the_containers_user() -> None:
    spec = mounts.parse_bind("/src:/dst:rw,owner=1000.100")
    [mount] = [
        each
        for each in mounts.oci_mounts(
            [spec], {}, shm=None, mqueue=False, read_only_root=False, privileged=False, identity=(0, 100)
        )
        if each["destination"] == "/dst"
    ]
    assert "ridmap" in mount["options"]
    maps = [(each["containerID"], each["hostID"], each["size"]) for each in mount["uidMappings"]]
    assert maps == [(0, 1000, 1), (1, 1, 999), (1000, 0, 1), (1001, 1001, (1 << 32) - 1002)]
    assert mount["gidMappings"][0] == {"containerID": 0, "hostID": 0, "size": 101}
    for wrong in ("name:/dst:owner=1.1", "/src:/dst:owner=me", "/src:/dst:owner=1"):
        with pytest.raises(Invalid, match="invalid mode"):
            mounts.parse_bind(wrong)


def test_tmpfs_options_replace_the_defaults() -> None:
    assert mounts.parse_tmpfs("/run", "exec,size=1m,ro").options == (
        "nosuid",
        "nodev",
        "exec",
        "size=1m",
        "ro",
    )
    with pytest.raises(Invalid, match="invalid tmpfs option"):
        mounts.parse_tmpfs("/run", "colour=red")


def test_settled_by_depth_with_the_images_volumes_where_nothing_else_is() -> None:
    host = HostConfig(binds=("/a:/x/y", "v:/x"), tmpfs={"/t": ""})
    inherited = [
        MountSpec(type="volume", target="/t", name="old"),
        MountSpec(type="volume", target="/o", name="old"),
    ]
    settled = mounts.settle(host, ["/x", "/data"], inherited)
    assert [(spec.target, spec.origin) for spec in settled] == [
        ("/data", "image"), ("/o", "bind"), ("/t", "tmpfs"), ("/x", "bind"), ("/x/y", "bind"),
    ]  # fmt: skip


def test_a_target_is_asked_for_once() -> None:
    with pytest.raises(Invalid, match="Duplicate mount point: /x"):
        mounts.settle(HostConfig(binds=("/a:/x", "/b:/x/")), [])


def test_volumes_from() -> None:
    assert mounts.parse_volumes_from("db:ro") == ("db", "ro")
    with pytest.raises(Invalid):
        mounts.parse_volumes_from("db:odd")
    specs = [
        MountSpec(type="tmpfs", target="/t"),
        MountSpec(type="volume", target="/v", name="n", anonymous=True),
    ]
    (taken,) = mounts.inherit(specs, "ro")
    assert line(taken) == "volume n /v ro nocopy"


def targets(**options: object) -> list[str]:
    specs = options.pop("specs", ())
    chosen = {
        "shm": mounts.shm_mount(1),
        "mqueue": True,
        "read_only_root": False,
        "privileged": False,
        **options,
    }
    found = mounts.oci_mounts(specs, {"/etc/hosts": "/h"}, **chosen)  # type: ignore[arg-type]
    return [f"{each['destination']} {'ro' if 'ro' in each['options'] else 'rw'}" for each in found]


def test_oci_mounts_as_docker_orders_them() -> None:
    specs = [
        MountSpec(type="bind", source="/s", target="/etc"),
        MountSpec(type="bind", source="/s", target="/etc/a/b"),
    ]
    assert targets(specs=specs) == [
        "/proc rw", "/dev rw", "/dev/pts rw", "/sys ro", "/sys/fs/cgroup ro", "/dev/mqueue rw", "/dev/shm rw",
        "/etc rw", "/etc/hosts rw", "/etc/a/b rw",
    ]  # fmt: skip


def test_a_read_only_root_keeps_what_must_be_written() -> None:
    assert [each for each in targets(read_only_root=True) if each.endswith("rw")] == [
        "/proc rw", "/dev rw", "/dev/pts rw", "/dev/mqueue rw", "/dev/shm rw",
    ]  # fmt: skip


def test_privileged_writes_sysfs() -> None:
    assert {"/sys rw", "/sys/fs/cgroup rw"} <= set(targets(privileged=True))


def test_the_users_own_dev_is_left_alone() -> None:
    found = targets(specs=[MountSpec(type="bind", source="/dev", target="/dev")])
    assert [each for each in found if each.startswith("/dev")] == ["/dev rw"]


def test_propagation_of_the_root() -> None:
    def root(*modes: str) -> str:
        return mounts.root_propagation(
            [MountSpec(type="bind", target="/x", propagation=mode) for mode in modes]
        )

    assert (root(), root("rprivate"), root("rslave"), root("rslave", "rshared")) == (
        "",
        "",
        "rslave",
        "shared",
    )
