"""Snapshots on real overlayfs, mounted by a child in its own mount namespace."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from tests.storage.tars import directory, member, symlink, tar

from nakagin.errors import Conflict, Invalid, NotFound
from nakagin.storage.changes import changes_of
from nakagin.storage.layers import Layer, Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots

pytestmark = pytest.mark.root

# In the /etc of an image that has none of them.
PLACES = ["hostname", "hosts", "resolv.conf"]


@pytest.fixture
def image(layers: Layers) -> Layer:
    bottom = layers.apply(
        io.BytesIO(
            tar(
                directory("./", mode=0o711),
                directory("etc"), member("etc/a", b"a"), member("etc/b", b"b"),
                directory("opt"), directory("opt/deep"), member("opt/deep/x", b"x"),
                directory("gone"), member("gone/g", b""), symlink("link", "etc"), directory("tmp", mode=0o1777),
            )
        ),
        None,
    )  # fmt: skip
    return layers.apply(
        io.BytesIO(tar(member("etc/.wh.a"), member(".wh.gone"), member("etc/c", b"c"))), bottom.chain_id
    )


def inside(snapshots: Snapshots, key: str, script: str) -> str:
    """What a shell script prints with the snapshot mounted on /mnt."""
    cwd, (mount,) = snapshots.mounts(key)
    command = 'mount -t overlay -o "$1" overlay /mnt && cd /mnt && eval "$2"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", command, "sh", ",".join(mount["options"]), script],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def changed(snapshots: Snapshots, key: str) -> list[tuple[str, str]]:
    return changes_of(snapshots.upper(key), snapshots.lower(key))


def test_a_container_sees_the_merged_layers(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id)
    seen = inside(snapshots, "k", "ls; ls etc; cat etc/c; stat -c %a . tmp")
    assert seen.split() == [
        *["dev", "etc", "link", "opt", "proc", "sys", "tmp"],
        "b",
        "c",
        *PLACES,
        "c711",
        "1777",
    ]


def test_nothing_is_mounted_on_the_host(snapshots: Snapshots, image: Layer, tmp_path: Path) -> None:
    snapshots.prepare("k", image.chain_id)
    inside(snapshots, "k", "touch x")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_changes_as_docker_diff_tells_them(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id)
    assert changed(snapshots, "k") == []
    inside(
        snapshots,
        "k",
        "echo new > etc/new; rm etc/b; echo more >> etc/c; touch opt/deep/y;"
        "rm -r opt/deep; mkdir opt/deep; touch opt/deep/z; mkdir -p var/log; rm link; ln -s tmp link",
    )
    assert changed(snapshots, "k") == [
        ("C", "/etc"),
        ("D", "/etc/b"),
        ("C", "/etc/c"),
        ("A", "/etc/new"),
        ("C", "/link"),
        ("C", "/opt"),
        ("C", "/opt/deep"),
        ("D", "/opt/deep/x"),
        ("A", "/opt/deep/z"),
        ("A", "/var"),
        ("A", "/var/log"),
    ]


def test_a_directory_that_only_holds_a_change_is_its_parent(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id)
    inside(snapshots, "k", "echo x > opt/deep/x")
    assert changed(snapshots, "k") == [("C", "/opt"), ("C", "/opt/deep"), ("C", "/opt/deep/x")]


def test_usage(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id)
    assert snapshots.usage("k") == 0
    inside(snapshots, "k", "printf 12345 > f; ln f g; mkdir d; printf 12 > d/h")
    assert snapshots.usage("k") == 7


def test_over_nothing(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.prepare("k", None)
    assert inside(snapshots, "k", "touch f; ls -A").split() == [
        ".dockerenv",
        "dev",
        "etc",
        "f",
        "proc",
        "sys",
    ]
    assert changed(snapshots, "k") == [("A", "/f")]
    snapshots.remove("k")
    assert os.listdir(tmp_path / "snapshots") == []


def test_the_places_of_mounts_are_hidden_by_whatever_an_image_has_there(
    snapshots: Snapshots, layers: Layers
) -> None:
    own = layers.apply(
        io.BytesIO(
            tar(
                symlink("etc", "usr/etc"), directory("usr"), directory("usr/etc", mode=0o700),
                member("usr/etc/hosts", b"own\n"), directory("proc", mode=0o500), member("sys", b"a file"),
            )
        ),
        None,
    )  # fmt: skip
    snapshots.prepare("k", own.chain_id)
    seen = inside(
        snapshots, "k", "ls etc/; cat etc/hosts sys; stat -c ' %a' proc usr/etc; echo x > etc/hosts"
    )
    assert seen.split() == ["hosts", "own", "a", "file", "500", "700"]
    assert changed(snapshots, "k") == [("C", "/usr"), ("C", "/usr/etc"), ("C", "/usr/etc/hosts")]


def test_what_is_written_over_a_place_is_the_containers_own(snapshots: Snapshots) -> None:
    """It is not in the image, so a commit must have it, its folder included."""
    for key in ("one", "other"):
        snapshots.prepare(key, None)
    inside(snapshots, "one", "echo mine > etc/hosts; touch etc/new; rmdir proc; chmod 700 sys")
    assert inside(snapshots, "one", "cat etc/hosts; ls") == "mine\ndev\netc\nsys\n"
    added = [path for kind, path in changed(snapshots, "one") if kind == "A"]
    assert added == ["/etc", "/etc/hosts", "/etc/new", "/sys"]
    assert inside(snapshots, "other", "cat etc/hosts; ls etc; stat -c %a sys").split() == [*PLACES, "755"]


def test_volatile_snapshots_can_be_mounted_again(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id, volatile=True)
    inside(snapshots, "k", "touch f")
    assert inside(snapshots, "k", "ls f") == "f\n"


def test_a_hundred_layers(snapshots: Snapshots, layers: Layers) -> None:
    layer = None
    for number in range(120):
        layer = layers.apply(io.BytesIO(tar(member(f"f{number}"))), layer.chain_id if layer else None)
    assert layer
    snapshots.prepare("k", layer.chain_id)
    assert inside(snapshots, "k", "ls f* | wc -l") == "120\n"


def test_remove_and_trash(snapshots: Snapshots, image: Layer, tmp_path: Path) -> None:
    snapshots.prepare("k", image.chain_id)
    inside(snapshots, "k", "mkdir -p " + "/".join(["d"] * 300) + "; echo x > etc/x")
    snapshots.remove("k")
    snapshots.remove("k")
    assert snapshots.all() == []
    assert os.listdir(tmp_path / "snapshots") == []
    snapshots.empty_trash()
    assert os.listdir(tmp_path / "trash") == []


def test_keys(snapshots: Snapshots, image: Layer) -> None:
    snapshots.prepare("k", image.chain_id)
    with pytest.raises(Conflict):
        snapshots.prepare("k", None)
    for key in ("", "../x", "a/b", ".hidden", "k" * 200):
        with pytest.raises(Invalid):
            snapshots.prepare(key, None)
    with pytest.raises(NotFound):
        snapshots.prepare("other", "sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        snapshots.mounts("other")
    assert snapshots.all() == ["k"]
    assert snapshots.chains() == {image.chain_id}


def test_recovery(
    snapshots: Snapshots, layers: Layers, image: Layer, records: Records, tmp_path: Path
) -> None:
    """What a kill at any moment may leave: a record without files, files without a record."""
    for key in ("whole", "torn", "unwanted"):
        snapshots.prepare(key, image.chain_id)
    (tmp_path / "snapshots" / "torn" / "upper").rmdir()
    (tmp_path / "snapshots" / "stray" / "upper").mkdir(parents=True)
    (tmp_path / "layers" / "stray").mkdir()
    after = Snapshots(str(tmp_path), records, Layers(str(tmp_path), records))
    after.sweep(["whole", "torn"])
    after.recover()
    layers.recover()
    assert after.all() == ["whole"]
    assert os.listdir(tmp_path / "snapshots") == ["whole"]
    assert len(os.listdir(tmp_path / "layers")) == 2
    after.empty_trash()
    assert os.listdir(tmp_path / "trash") == []
