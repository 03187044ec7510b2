"""Rows of the list of the Dockerfile's features, each by its id, seen in what comes out of a build."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

import pytest
from tests.building.conftest import Site
from tests.engine_fixture import ScratchEngine

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FILES: dict[str, bytes | str] = {"a.txt": b"A", "b.txt": b"B", "dir/in.txt": b"in", "dir/deep/x": b"x"}


def rows(*table: tuple[str, str, str, str]) -> pytest.MarkDecorator:
    """(ids, lines after FROM busybox, command in the image, its output)."""
    cases = [pytest.param(lines, command, shown, id=ids) for ids, lines, command, shown in table]
    return pytest.mark.parametrize(("lines", "command", "expected"), cases)


@rows(
    (
        "DF.var.flags",
        ("ARG O=3:4 M=600 T=/mnt/x\nCOPY --chown=$O --chmod=$M a.txt /x\n"
        "RUN --mount=type=tmpfs,target=$T test -d /mnt/x && stat -c '%u:%g %a' /x > /r"),
        "cat /r",
        "3:4 600\n",
    ),
    ("DF.copy.chmod-var", "ARG M=u=rw,go=\nCOPY --chmod=$M a.txt /x", "stat -c %a /x", "600\n"),
    ("DF.var.not-in-run", "ARG A=1\nENV B=2\nRUN B=3; echo $A $B '$A' > /r", "cat /r", "1 3 $A\n"),
    (
        "DF.heredoc.add-inline DF.heredoc.expand DF.heredoc.mode DF.heredoc.fd",
        "ENV V=7\nADD --chown=5:6 --chmod=640 <<EOF /h\nv=$V\nEOF\nRUN cat 3<<A <&3 > /r\nthree\nA",
        "cat /h /r; stat -c '%a %u:%g' /h",
        "v=7\nthree\n640 5:6\n",
    ),
    ("DF.heredoc.run-exit", "RUN <<E\nfalse\necho went on > /r\nE", "cat /r", "went on\n"),
    (
        "DF.run.mount.bind.target DF.run.mount.bind.source DF.run.mount.bind.ro DF.run.mount.relative",
        ("WORKDIR /w\nRUN --mount=dst=one,src=dir --mount=target=two,source=/dir/in.txt "
        "cat one/in.txt two > /r; ! touch one/new"),
        "cat /r; ls -d /w/* 2>&1 | wc -l",
        "inin1\n",
    ),
    (
        "DF.run.mount.no-commit DF.run.mount.multi DF.run.mount.tmpfs",
        ("RUN --mount=type=tmpfs,target=/deep/t --mount=type=cache,target=/deep/c --mount=target=/deep/b "
        "touch /deep/t/x /deep/c/y && mount | grep -c ' /deep/' > /r"),
        "cat /r; ls / | grep -c deep",
        "3\n0\n",
    ),
    (
        "DF.run.mount.cache.mode-uid-gid DF.run.mount.cache.from-source",
        ("RUN --mount=type=cache,id=rows-mode,target=/c,mode=0711,uid=3,gid=4,from=busybox,source=/etc "
        "stat -c '%a %u:%g' /c > /r && ls /c | grep passwd >> /r"),
        "cat /r",
        "711 3:4\npasswd\n",
    ),
    (
        "DF.run.mount.cache.ro",
        ("RUN --mount=type=cache,id=rows-ro,target=/c touch /c/there\n"
        "RUN --mount=type=cache,id=rows-ro,target=/c,ro ls /c > /r; ! touch /c/x 2>> /r"),
        "cat /r | head -1; grep -c 'Read-only' /r",
        "there\n1\n",
    ),
    (
        "DF.run.network.default",
        "RUN ls /sys/class/net | sort | tr '\\n' ' ' > /r",
        "cat /r",
        "eth0 lo ",
    ),
    (
        "DF.add.wildcard DF.add.json",
        'ADD *.txt /w/\nADD ["dir", "/d/"]',
        "ls /w /d",
        "/d:\ndeep\nin.txt\n\n/w:\na.txt\nb.txt\n",
    ),
    ("DF.add.link DF.add.exclude", "ADD --link --exclude=deep dir /d", "ls /d", "in.txt\n"),
    (
        "DF.copy.link-symlink DF.copy.link-dirmode",
        "RUN mkdir -m 700 /real /mode && ln -s /real /l\nCOPY --link a.txt /l/x\nCOPY --link a.txt /mode/x",
        "test -L /l && echo link; ls /real; stat -c %a /mode",
        "755\n",
    ),
    (
        "DF.copy.parents",
        "COPY --parents dir/deep/x a.txt /p/",
        "cd /p; find . -type f | sort",
        "./a.txt\n./dir/deep/x\n",
    ),
    ("DF.workdir.default", "RUN pwd > /r", "cat /r", "/\n"),
    (
        "DF.arg.cache DF.run.cache",
        "ARG A=1\nRUN echo $A > /r\nARG A=2\nRUN echo $A >> /r",
        "cat /r",
        "1\n2\n",
    ),
    (
        ("DF.arg.platform.TARGETOS DF.arg.platform.TARGETVARIANT DF.arg.platform.BUILDPLATFORM "
        "DF.arg.platform.BUILDOS DF.arg.platform.BUILDARCH DF.arg.platform.BUILDVARIANT "
        "DF.arg.platform.TARGETSTAGE DF.arg.platform.TARGETOSVERSION"),
        ("ARG TARGETOS TARGETARCH TARGETVARIANT TARGETPLATFORM TARGETOSVERSION TARGETSTAGE\n"
        "ARG BUILDOS BUILDARCH BUILDVARIANT BUILDPLATFORM\n"
        "RUN test $TARGETPLATFORM = $TARGETOS/$TARGETARCH$TARGETVARIANT && "
        "test $BUILDPLATFORM = $BUILDOS/$BUILDARCH$BUILDVARIANT && echo $TARGETOS $BUILDOS $TARGETSTAGE > /r"),
        "cat /r",
        "linux linux default\n",
    ),
    ("DF.build.opts.label DF.label.override", "LABEL from=file", "true", ""),
    (
        "DF.onbuild.from-stage",
        "ONBUILD COPY --from=busybox /etc/passwd /copied\nONBUILD RUN --mount=from=busybox,target=/m ls /m > /r",
        "true",
        "",
    ),
)  # fmt: skip
def test_row(build: Site, lines: str, command: str, expected: str) -> None:
    assert build.shell(build(f"FROM busybox\n{lines}\n", FILES), f"({command}) || true") == expected


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "FTP_PROXY", "no_proxy", "ALL_PROXY"])
def test_proxies_are_given_and_stay_hidden(build: Site, name: str) -> None:
    """DF.arg.predefined.HTTPS_PROXY DF.arg.predefined.FTP_PROXY DF.arg.predefined.NO_PROXY
    DF.arg.predefined.ALL_PROXY DF.arg.predefined.hidden"""
    text = f'FROM busybox\nRUN test -n "${name}" || echo empty > /r; touch /r\n'
    found = build(text, buildargs={name: "http://one.example"})
    assert build.shell(found, "cat /r") == ""
    assert found.image is not None
    assert "one.example" not in str(found.image.history()) + str(found.image.attrs["Config"])
    again = build(text, buildargs={name: "http://two.example"})
    assert "Using cache" in again.text


def test_what_is_told_of_arguments_that_nobody_takes(build: Site) -> None:
    """DF.arg.undeclared"""
    found = build("FROM busybox\nLABEL own=1\n", buildargs={"NOBODY": "1"})
    assert "[NOBODY]" in found.text or "['NOBODY']" in found.text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param("RUN mkdir /d\nCOPY a.txt /d2\nCOPY dir /d2", "d2", id="DF.copy.dir-onto-file"),
        pytest.param("RUN mkdir -p /d/a.txt/x\nCOPY a.txt /d/", "a.txt", id="DF.copy.file-onto-dir"),
        pytest.param("RUN --mount=type=secret,id=x,required true", "x is required", id="DF.run.mount.secret.required"),
        pytest.param("RUN --mount=type=bind true", "target", id="DF.run.mount.bind.target"),
    ],
)  # fmt: skip
def test_refused(build: Site, lines: str, words: str) -> None:
    found = build(f"FROM busybox\n{lines}\n", FILES)
    assert found.image is None
    assert words in found.error


def test_limits_and_hosts_of_steps(build: Site) -> None:
    """DF.build.opts.add-host DF.build.opts.shm-size DF.build.opts.network"""
    found = build(
        "FROM busybox\nRUN grep -c 10.9.8.7 /etc/hosts > /r; df -k /dev/shm | tail -1 | awk '{print $2}' >> /r; "
        "ls /sys/class/net | tr '\\n' ' ' >> /r\n",
        extra_hosts={"there": "10.9.8.7"}, shmsize=2 << 20, network_mode="none",
    )  # fmt: skip
    assert build.shell(found, "cat /r") == "1\n2048\nlo "


def test_labels_of_the_command_line_win(build: Site) -> None:
    """DF.build.opts.label"""
    found = build("FROM busybox\nLABEL a=file b=file\n", labels={"a": "flag", "c": "flag"})
    assert found.config["Labels"].items() >= {"a": "flag", "b": "file", "c": "flag"}.items()


def test_caches_of_their_own_namespace(build: Site) -> None:
    """DF.run.mount.cache.ns DF.arg.builtin.BUILDKIT_CACHE_MOUNT_NS"""
    text = "FROM busybox\nRUN --mount=type=cache,id=rows-ns,target=/c ls /c > /r; touch /c/x\n"
    build(text, nocache=True)
    assert build.shell(build(text, nocache=True), "cat /r") == "x\n"
    other = build(text, nocache=True, buildargs={"BUILDKIT_CACHE_MOUNT_NS": "other"})
    assert build.shell(other, "cat /r") == ""


def test_the_hostname_of_steps(build: Site) -> None:
    """DF.arg.builtin.BUILDKIT_SANDBOX_HOSTNAME"""
    found = build("FROM busybox\nRUN hostname > /r\n", buildargs={"BUILDKIT_SANDBOX_HOSTNAME": "box"})
    assert build.shell(found, "cat /r") == "box\n"


@pytest.mark.parametrize("sharing", ["shared", "private", "locked"])
def test_writers_of_one_cache(build: Site, sharing: str) -> None:
    """DF.run.mount.cache.sharing-shared DF.run.mount.cache.sharing-private DF.run.mount.cache.sharing-locked

    Two stages that run at once: they see one another, or have folders of their own, or wait for one another."""
    mount = f"--mount=type=cache,id=rows-{sharing},sharing={sharing},target=/c"
    wait = "i=0; while [ ! -e /c/{other} ] && [ $i -lt {most} ]; do sleep 0.1; i=$((i+1)); done"
    most = 300 if sharing == "shared" else 10
    step = "RUN {mount} touch /c/{own}; {wait}; ls /c | tr '\\n' ' ' > /{own}; rm -f /c/{own}"
    lines = {
        own: step.format(mount=mount, own=own, wait=wait.format(other=other, most=most))
        for own, other in (("one", "two"), ("two", "one"))
    }
    found = build(
        f"FROM busybox AS a\n{lines['one']}\nFROM busybox AS b\n{lines['two']}\n"
        "FROM busybox\nCOPY --from=a /one /\nCOPY --from=b /two /\n",
        nocache=True,
    )
    shown = build.shell(found, "cat /one; echo; cat /two").splitlines()
    if sharing == "shared":
        assert any(line.split() == ["one", "two"] for line in shown), shown
    else:
        assert [line.split() for line in shown] == [["one"], ["two"]]


def test_stages_that_need_not_wait_run_at_once(build: Site) -> None:
    """DF.from.parallel: each waits for a word of the other, through a cache that they share."""
    step = (
        "RUN --mount=type=cache,id=rows-meet,target=/c touch /c/{own}; i=0; "
        "while [ ! -e /c/{other} ]; do sleep 0.1; i=$((i+1)); [ $i -lt 300 ] || exit 1; done; touch /{own}"
    )
    found = build(
        f"FROM busybox AS a\n{step.format(own='a', other='b')}\nFROM busybox AS b\n{step.format(own='b', other='a')}\n"
        "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\nRUN --mount=type=cache,id=rows-meet,target=/c rm /c/*\n",
        nocache=True,
    )
    assert build.shell(found, "ls /a /b") == "/a\n/b\n"


def test_no_cache_and_times(build: Site) -> None:
    """DF.cache.no-cache DF.cache.chown-independent DF.cache.instruction"""
    text = "FROM busybox\nCOPY a.txt /\nRUN cat /proc/sys/kernel/random/uuid > /r\n"
    first, second = build(text, FILES), build(text, FILES)
    assert first.image is not None
    assert second.image is not None
    assert first.image.id == second.image.id
    third = build(text, FILES, nocache=True)
    assert build.shell(third, "cat /r") != build.shell(first, "cat /r")


def test_the_table_of_cmd_and_entrypoint(build: Site) -> None:
    """DF.entrypoint.matrix DF.form.shell-pid1 DF.entrypoint.override"""
    for entry, command, shown in (
        ("", '["echo", "c"]', "c\n"),
        ('["echo", "e"]', '["c"]', "e c\n"),
        ('["echo", "e"]', "c", "e /bin/sh -c c\n"),
        ("echo e", '["c"]', "e\n"),
        ("", "echo $HOME", "/root\n"),
    ):
        lines = (f"ENTRYPOINT {entry}\n" if entry else "") + f"CMD {command}\n"
        found = build(f"FROM busybox\n{lines}")
        assert found.image is not None
        assert build.api.containers.run(found.image.id, remove=True).decode() == shown
    assert found.image is not None
    over = build.api.containers.run(found.image.id, ["x"], entrypoint=["echo", "o"], remove=True)
    assert over.decode() == "o x\n"


def test_volumes_begin_with_what_the_image_has(build: Site) -> None:
    """DF.volume.anon DF.expose.p-all"""
    found = build("FROM busybox\nRUN mkdir /v && echo seed > /v/x\nVOLUME /v\nEXPOSE 7070\nCMD sleep 100\n")
    assert found.image is not None
    made = build.api.containers.run(found.image.id, detach=True, publish_all_ports=True)
    try:
        made.reload()
        (mount,) = made.attrs["Mounts"]
        assert (mount["Type"], mount["Destination"]) == ("volume", "/v")
        assert made.exec_run(["cat", "/v/x"]).output == b"seed\n"
        assert made.attrs["NetworkSettings"]["Ports"]["7070/tcp"][0]["HostPort"]
    finally:
        made.remove(force=True, v=True)


def test_the_stop_signal_of_a_run_wins(build: Site) -> None:
    """DF.stopsignal.run-override"""
    found = build("FROM busybox\nSTOPSIGNAL SIGUSR1\n")
    assert found.image is not None
    for given, kept in ((None, "SIGUSR1"), ("SIGQUIT", "SIGQUIT")):
        made = build.api.containers.create(found.image.id, ["true"], stop_signal=given)
        assert made.attrs["Config"]["StopSignal"] == kept
        made.remove()


def test_base_images_by_digest(build: Site) -> None:
    """DF.from.digest DF.from.platform"""
    id = build.api.images.get("busybox").attrs["Id"]
    assert build.shell(build(f"FROM --platform=$BUILDPLATFORM {id}\nRUN echo d > /r\n"), "cat /r") == "d\n"
    missing = build("FROM busybox@sha256:" + "0" * 64 + "\nRUN true\n")
    assert missing.image is None


def test_options_of_our_own_command(engine: ScratchEngine, tmp_path: Path) -> None:
    """DF.cache.no-cache-filter DF.build.opts.ulimit DF.build.opts.cgroup-parent"""
    (tmp_path / "Dockerfile").write_text(
        f"FROM busybox AS one\nRUN echo {tmp_path.name}; ulimit -n; cat /proc/self/cgroup\n"
        "FROM busybox AS two\nRUN echo two\nFROM busybox\n"
        "COPY --from=one /etc/passwd /1\nCOPY --from=two /etc/passwd /2\n"
    )
    parent = f"{engine.cgroup_parent}/rows"
    flags = ("build", "--ulimit", "nofile=77:77", "--cgroup-parent", parent, str(tmp_path))
    first = engine.nakagin(*flags).stderr
    assert re.search(r"^#2 \S+ 77$", first, re.MULTILINE)
    assert parent in first
    again = engine.nakagin(*flags, "--no-cache-filter", "one").stderr
    assert "#2 CACHED" not in again
    assert "#4 CACHED" in again
    for group in glob.glob(f"/sys/fs/cgroup/*/{parent}"):  # as with Docker, whose parent it is must remove it
        os.rmdir(group)


def test_pull_asks_the_registry(engine: ScratchEngine) -> None:
    """DF.cache.pull"""
    done = engine.nakagin("build", "--pull", "-", stdin="FROM nowhere.invalid/busybox\n", check=1)
    assert "nowhere.invalid" in done.stderr
    engine.nakagin("tag", "busybox", "nowhere.invalid/busybox")
    engine.nakagin("build", "-", stdin="FROM nowhere.invalid/busybox\nLABEL a=b\n")
    assert (
        "nowhere.invalid"
        in engine.nakagin(
            "build", "--pull", "-", stdin="FROM nowhere.invalid/busybox\nLABEL a=b\n", check=1
        ).stderr
    )
    engine.nakagin("rmi", "nowhere.invalid/busybox")
