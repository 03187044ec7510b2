"""What instructions do, seen in the images that come out; also true of dockerd (`--against dockerd`)."""

from __future__ import annotations

import pytest
from tests.building.conftest import Site

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_config(build: Site) -> None:
    """DF.env.persist DF.label.multi DF.expose.proto DF.volume.json DF.user.num DF.workdir.relative"""
    config = build("""
FROM busybox
ARG WHO=world
ENV A=1 B="two words" PATHS=/x:$PATH
LABEL k=v "long key"="a b"
EXPOSE 80 53/udp 8000-8001
VOLUME ["/data", "/more"]
WORKDIR /srv
WORKDIR deep
USER 5:6
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=30s --retries=2 CMD test -e /x
ONBUILD RUN echo $WHO
ENTRYPOINT ["echo", "$A"]
CMD hello $WHO
""").config
    assert {"A=1", "B=two words"} < set(config["Env"])
    assert config["Labels"] == {"k": "v", "long key": "a b"} | (config["Labels"] or {})
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}
    assert set(config["Volumes"]) == {"/data", "/more"}
    assert config["WorkingDir"] == "/srv/deep"
    assert config["User"] == "5:6"
    assert config["StopSignal"] == "SIGINT"
    assert config["Shell"] == ["/bin/sh", "-ec"]
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "test -e /x"]
    assert (config["Healthcheck"]["Interval"], config["Healthcheck"]["Retries"]) == (30 * 10**9, 2)
    assert config["OnBuild"] == ["RUN echo $WHO"]
    assert config["Entrypoint"] == ["echo", "$A"]
    assert config["Cmd"] == ["/bin/sh", "-ec", "hello $WHO"]


def test_run_sees_environment_arguments_user_and_folder(build: Site) -> None:
    """DF.run.env DF.run.user DF.arg.override DF.env.override-arg DF.run.shell DF.run.exec"""
    found = build(
        """
FROM busybox
ARG ONE=1
ARG TWO=2
ARG THREE=3
ENV THREE=env
WORKDIR /w
RUN chmod 777 /w && echo $ONE $TWO $THREE > args
USER 12:13
RUN id -u > /w/uid; pwd > /w/pwd
RUN ["/bin/sh", "-c", "echo $HOME > /w/home"]
""",
        buildargs={"TWO": "given", "THREE": "hidden"},
    )
    assert build.shell(found, "cat args uid pwd home") == "1 given env\n12\n/w\n/\n"
    assert not any(entry.startswith(("ONE=", "TWO=")) for entry in found.config["Env"])


def test_a_layer_is_the_exact_change(build: Site) -> None:
    """DF.run.layer DF.run.hosts"""
    found = build("""
FROM busybox
RUN mkdir /a && echo 1 > /a/x && echo 2 > /a/y && ln /a/x /a/z && ln -s x /a/l && chmod 4711 /a/y \\
    && touch -d '2001-02-03 04:05:06' /a/x
RUN rm /a/y && mkfifo /a/p
""")
    shown = build.shell(found, "ls /a; stat -c '%h %Y' /a/x; readlink /a/l; cat /a/z")
    assert shown == "l\np\nx\nz\n2 981173106\nx\n1\n"
    assert found.image is not None
    layers = found.image.attrs["RootFS"]["Layers"]
    assert len(layers) == 3
    assert build.shell(found, "ls -l /etc/hosts /etc/resolv.conf | wc -l") == "2\n"


def test_a_step_that_changes_nothing_adds_no_layer(build: Site) -> None:
    found = build("FROM busybox\nRUN true\nRUN --mount=type=cache,target=/deep/new/cache true\nENV X=1\n")
    assert found.image is not None, found.error
    assert len(found.image.attrs["RootFS"]["Layers"]) == 1
    assert build.shell(found, "ls -d /deep /dev/pts 2>&1 | head -1").startswith("ls: /deep")


FILES: dict[str, bytes | str] = {
    "a.txt": b"A",
    "b.txt": b"B",
    "dir/in.txt": b"in",
    "dir/deep/x.sh": b"#!",
    "dir/link": "-> in.txt",
    "with space": b"sp",
}


@pytest.mark.parametrize(
    ("lines", "command", "expected"),
    [
        pytest.param("COPY a.txt /new/name", "cat /new/name", "A", id="DF.copy.file"),
        pytest.param("COPY a.txt /new/", "ls /new", "a.txt\n", id="DF.copy.trailing-slash"),
        pytest.param(
            "COPY dir /d",
            "cd /d; find . | sort",
            ".\n./deep\n./deep/x.sh\n./in.txt\n./link\n",
            id="DF.copy.dir-contents",
        ),
        pytest.param("COPY dir/ b.txt /d/", "ls /d", "b.txt\ndeep\nin.txt\nlink\n", id="DF.copy.multi"),
        pytest.param("COPY *.txt /d/", "ls /d", "a.txt\nb.txt\n", id="DF.copy.wildcard"),
        pytest.param('COPY ["with space", "/d/"]', "ls /d", "with space\n", id="DF.copy.json"),
        pytest.param("COPY ../a.txt /x", "cat /x", "A", id="DF.copy.dotdot"),
        pytest.param("WORKDIR /w\nCOPY a.txt sub/", "cat /w/sub/a.txt", "A", id="DF.copy.dest-rel"),
        pytest.param(
            "COPY a.txt /p/q/r", "stat -c %a:%u:%g /p /p/q", "755:0:0\n755:0:0\n", id="DF.copy.mkdir"
        ),
        pytest.param(
            "COPY a.txt dir/deep/x.sh /o/",
            "stat -c %a:%u:%g /o/*",
            "640:0:0\n755:0:0\n",
            id="DF.copy.ownership",
        ),
        pytest.param("COPY --chown=3:4 a.txt /x", "stat -c %u:%g /x", "3:4\n", id="DF.copy.chown-num"),
        pytest.param("COPY --chown=9 a.txt /x", "stat -c %u:%g /x", "9:9\n", id="DF.copy.chown-num-alone"),
        pytest.param(
            "RUN ln -s /real /l && mkdir /real\nCOPY a.txt /l/",
            "ls /real",
            "a.txt\n",
            id="DF.copy.symlink-dest",
        ),
        pytest.param("COPY dir /d", "readlink /d/link", "in.txt\n", id="DF.copy.symlink-src"),
        pytest.param(
            "RUN mkdir /d && echo old > /d/in.txt && touch /d/kept\nCOPY dir /d",
            "cat /d/in.txt; ls /d",
            "indeep\nin.txt\nkept\nlink\n",
            id="DF.copy.merge",
        ),
        pytest.param("ENV D=/e\nCOPY a.txt $D/x", "cat /e/x", "A", id="DF.var.allowed-in"),
    ],
)
def test_copy(build: Site, lines: str, command: str, expected: str) -> None:
    assert build.shell(build(f"FROM busybox\n{lines}\n", FILES), command) == expected


@pytest.mark.parametrize(
    ("lines", "command", "expected"),
    [
        pytest.param("COPY --chmod=600 a.txt /x", "stat -c %a /x", "600\n", id="DF.copy.chmod-octal"),
        pytest.param(
            "COPY --chmod=u=rwX,go=r dir /x",
            "stat -c %a /x /x/in.txt /x/deep/x.sh",
            "744\n644\n744\n",
            id="DF.copy.chmod-symbolic",
        ),
        pytest.param(
            "COPY --parents dir/./deep/x.sh dir/in.txt /p/",
            "cd /p; find . -type f | sort",
            "./deep/x.sh\n./dir/in.txt\n",
            id="DF.copy.parents-pivot",
        ),
        pytest.param(
            "COPY --parents **/*.sh /p/",
            "cd /p; find . -type f",
            "./dir/deep/x.sh\n",
            id="DF.copy.parents-doublestar",
        ),
        pytest.param("COPY --exclude=deep --exclude=l* dir /d", "ls /d", "in.txt\n", id="DF.copy.exclude"),
        pytest.param("COPY --link a.txt /l/x", "cat /l/x", "A", id="DF.copy.link"),
        pytest.param(
            "ENV V=7\nCOPY <<EOF /h\nv=$V\nEOF",
            "cat /h; stat -c %a /h",
            "v=7\n644\n",
            id="DF.heredoc.copy-inline",
        ),
        pytest.param(
            "COPY <<A <<'B' /d/\n1\nA\n$x\nB", "cat /d/A /d/B", "1\n$x\n", id="DF.heredoc.copy-multiple"
        ),
        pytest.param(
            "RUN <<EOF\nset -e\necho a > /r\necho b >> /r\nEOF", "cat /r", "a\nb\n", id="DF.heredoc.run-shell"
        ),
        pytest.param(
            "RUN <<EOF\n#!/bin/sh -e\necho $0 > /r\nEOF",
            "cat /r",
            "/dev/pipes/EOF\n",
            id="DF.heredoc.run-shebang",
        ),
        pytest.param("RUN cat <<A - > /r\nin\nA", "cat /r", "in\n", id="DF.heredoc.run-multiple"),
        pytest.param(
            "RUN --mount=type=bind,target=/m cp /m/a.txt /x",
            "cat /x; ls /m 2>&1 | wc -l",
            "A1\n",
            id="DF.run.mount.bind",
        ),
        pytest.param(
            "RUN --mount=type=bind,source=dir,target=/m,rw touch /m/new",
            "ls /m 2>&1 | grep -c new",
            "0\n",
            id="DF.run.mount.bind.rw",
        ),
        pytest.param(
            "RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /x",
            "cat /x",
            "1024\n",
            id="DF.run.mount.tmpfs.size",
        ),
        pytest.param("RUN --network=none ls /sys/class/net > /x", "cat /x", "lo\n", id="DF.run.network.none"),
    ],
)
def test_what_newer_dockerfiles_have(build: Site, lines: str, command: str, expected: str) -> None:
    found = build(f"FROM busybox\n{lines}\n", FILES)
    assert build.shell(found, f"({command}) || true") == expected


def test_caches_outlive_builds_and_their_content_is_no_key(build: Site) -> None:
    """DF.run.mount.cache DF.run.mount.cache.no-key"""
    step = "RUN --mount=type=cache,id=outlives,target=/c echo {} >> /c/n; cat /c/n > /out"
    build("FROM busybox\n" + step.format(1))
    second = build("FROM busybox\n" + step.format(2))
    assert build.shell(second, "cat /out") == "1\n2\n"
    third = build("FROM busybox\n" + step.format(1))
    assert "Using cache" in third.text
    assert build.shell(third, "cat /out") == "1\n"


def test_stages(build: Site) -> None:
    """DF.from.stage DF.copy.from-stage DF.copy.from-image DF.from.scratch DF.from.index"""
    found = build("""
FROM busybox AS tools
RUN mkdir -p /opt/t && echo tool > /opt/t/x && chown -R 4:5 /opt/t
FROM tools AS more
ENV KEPT=1
FROM scratch
COPY --from=busybox /bin/ /bin/
COPY --from=0 /opt/t /t0
COPY --from=more /opt/t/x /t1
ENV PATH=/bin
""")
    assert build.shell(found, "cat /t0/x /t1; stat -c %u:%g /t0/x") == "tool\ntool\n4:5\n"


def test_only_what_the_target_needs_is_built(build: Site) -> None:
    """DF.from.target"""
    found = build(
        "FROM busybox AS a\nRUN echo A > /a\nFROM busybox AS b\nRUN false\nFROM a AS c\nRUN echo C > /c\n",
        target="c",
    )
    assert build.shell(found, "cat /a /c") == "A\nC\n"


def test_triggers_run_in_the_child_and_not_in_the_grandchild(build: Site) -> None:
    """DF.onbuild.trigger DF.onbuild.once"""
    build(
        "FROM busybox\nONBUILD RUN echo triggered >> /t\nONBUILD COPY a.txt /a\n", FILES, tag="onbuild-base"
    )
    child = build("FROM onbuild-base\nRUN echo own >> /t\n", FILES, tag="onbuild-child")
    assert build.shell(child, "cat /t /a") == "triggered\nown\nA"
    begun = "Step 1/2 : FROM onbuild-base\n# Executing 2 build triggers\nONBUILD RUN echo triggered >> /t\n"
    assert child.text.startswith(begun), child.text
    assert child.text.count("Step ") == child.text.count("/2 : ") == 2
    grandchild = build("FROM onbuild-child\n", FILES)
    assert build.shell(grandchild, "cat /t") == "triggered\nown\n"
    assert not child.config.get("OnBuild")


def test_the_same_build_gives_the_same_image(build: Site) -> None:
    """DF.cache.instruction DF.copy.cache-key"""
    text = 'FROM busybox\nENV A=1\nRUN echo same > /x\nCOPY a.txt /y\nCMD ["cat", "/x"]\n'
    first = build(text, FILES)
    second = build(text, FILES)
    assert first.image is not None
    assert second.image is not None
    assert first.image.id == second.image.id
    assert second.text.count("Using cache") == 2
    third = build(text, {**FILES, "a.txt": b"changed"})
    assert third.text.count("Using cache") == 1
    assert "Using cache" not in build(text, FILES, nocache=True).text


def test_the_dockerignore(build: Site) -> None:
    """DF.ignore.file DF.ignore.negate"""
    files: dict[str, bytes | str] = {**FILES, ".dockerignore": b"*.txt\n!b.txt\ndir/deep\n"}
    found = build("FROM busybox\nCOPY . /c\n", files)
    assert (
        build.shell(found, "cd /c; find . -type f | grep -v ocker | sort")
        == "./b.txt\n./dir/in.txt\n./with space\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM busybox\nRUN exit 7", ["returned a non-zero code: 7"]),
        ("FROM busybox\nRUNN x", ["RUNN"]),
        ("FROM busybox\nCOPY nothing /x", ["nothing"]),
        ("FROM busybox\nCOPY a.txt b.txt /x", ["must be a directory"]),
        ("FROM busybox\nCOPY --from=nobody-has-this:1 /x /y", ["nobody-has-this"]),
        ("FROM busybox\nCOPY --chown=nobody-here a.txt /x", ["nobody-here"]),
        ("FROM busybox\nWORKDIR /bin/sh\nRUN true", ["/bin/sh"]),
        ("", ["instructions"]),
    ],
)
def test_failures_are_told_and_leave_no_image(build: Site, text: str, words: list[str]) -> None:
    before = {image.id for image in build.api.images.list(all=True)}
    found = build(text, FILES)
    assert found.image is None
    assert all(word.lower() in found.error.lower() for word in words), found.error
    assert {image.id for image in build.api.images.list(all=True)} == before


def test_finished_steps_stay_cached_after_a_failure(build: Site) -> None:
    assert build("FROM busybox\nRUN echo kept > /k\nRUN false\n").image is None
    assert "Using cache" in build("FROM busybox\nRUN echo kept > /k\nRUN true\n").text


def test_limits_hold_in_steps(build: Site) -> None:
    found = build(
        "FROM busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes > /m || true\n",
        container_limits={"memory": 64 << 20},
    )
    assert build.shell(found, "cat /m").strip() in {str(64 << 20), ""}
