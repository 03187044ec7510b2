"""What goes wrong in builds: it is told with the lines, and nothing is left behind."""

from __future__ import annotations

import io
import os
import secrets
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import APIError, BuildError
from tests.building.conftest import Rest, Site
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until
from tests.storage.tars import member, symlink, tar

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No step's container, no temporary file of a build."""
    if "small_engine" in request.fixturenames:
        yield
        return
    rest = Rest(request.getfixturevalue("engine"))
    yield
    rest.await_gone(10)


def told(engine: ScratchEngine, folder: Path, dockerfile: str, *options: str) -> str:
    """What is said of a build that fails."""
    (folder / "Dockerfile").write_text(dockerfile)
    done = engine.nakagin("build", *options, str(folder), check=None)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        pytest.param(
            "FROM busybox\nRUN true\nCOPPY a b\n",
            ["line 3: unknown instruction: COPPY (did you mean COPY?)", "3 | >>> COPPY a b\n     |     ^^^^^\n"],
            id="DF.syntax.unknown-instruction",
        ),
        pytest.param("RUN true\n", ["line 1", "1 | >>> RUN true"], id="DF.syntax.first-from"),
        pytest.param(
            "FROM busybox\nCOPY --chwon=1 a b\n", ["--chown", "    |          ^^^^^^^\n"], id="unknown-flag"
        ),
        pytest.param(
            "FROM busybox\nRUN --mount=type=cash,target=/x true\n", ["'cash'", "cache", "^^^^"], id="mount-type"
        ),
        pytest.param("FROM busybox\nEXPOSE 80/tpc\n", ["invalid proto: tpc", "^^^"], id="protocol"),
        pytest.param("FROM busybox\nRUN <<END\ntrue\n", ["unterminated heredoc", "END"], id="heredoc"),
        pytest.param("FROM busybox\nENV A=${B:?gone}\n", ["B: gone", ">>> ENV A"], id="DF.var.error"),
        pytest.param("FROM busybox\nENV A=${B\n", ["missing '}'", ">>> ENV A"], id="substitution"),
        pytest.param("FROM busybox\nHEALTHCHECK CMDD true\n", ["'CMDD'", "did you mean CMD?", "^^^^"], id="health"),
        pytest.param("FROM busybox\nONBUILD FROM x\n", ["FROM isn't allowed"], id="DF.onbuild.no-chain"),
        pytest.param(
            "FROM one AS two\nFROM two AS one\nCOPY --from=three /x /\nFROM one AS three\n",
            ["circular dependency", "three -> one -> three", ">>> FROM one AS three"],
            id="cycle",
        ),
        pytest.param(
            "FROM busybox AS tools\nFROM busybox\nCOPY --from=tolls /x /\n",
            ["tolls is neither a stage nor an image", "did you mean tools?", "3 | >>> COPY --from=tolls"],
            id="unknown-stage",
        ),
        pytest.param(
            "FROM busybox\nCOPY alpha.tx /\n", ["no such file", "did you mean alpha.txt?", "2 | >>>"],
            id="DF.copy.wildcard-nomatch",
        ),
        pytest.param("FROM busybox\nCOPY nothing/at/all /\n", ["nothing/at/all"], id="no-such-folder"),
        pytest.param(
            "FROM busybox\nRUN echo said && \\\n  exit 9\n",
            ["   said\n", "2 | >>> RUN echo said && \\\n   3 | >>>   exit 9", "exit code 9"],
            id="DF.run.exitcode",
        ),
        pytest.param("FROM busybox\nRUN no-such-thing\n", ["not found", "exit code 127"], id="command-not-found"),
        pytest.param('FROM busybox\nRUN ["/no-such-thing"]\n', ["no-such-thing", ">>> RUN"], id="program-not-found"),
        pytest.param("FROM busybox\nUSER nobody-here\nRUN true\n", ["nobody-here", "3 | >>> RUN"], id="user"),
    ],
)  # fmt: skip
def test_it_is_shown_where_it_is(
    engine: ScratchEngine, tmp_path: Path, dockerfile: str, words: list[str]
) -> None:
    (tmp_path / "alpha.txt").write_text("a")
    found = told(engine, tmp_path, dockerfile)
    for each in words:
        assert each in found, found


def test_an_unknown_target_names_the_nearest(engine: ScratchEngine, tmp_path: Path) -> None:
    found = told(engine, tmp_path, "FROM busybox AS server\n", "--target", "sever")
    assert "target stage 'sever' could not be found" in found
    assert "server" in found


# --- Paths that lead out


def test_no_link_leads_out_of_the_context(build: Site) -> None:
    """CVE-2018-15664 and its kin: links are resolved inside the context, whatever they say."""
    secret = Path("/etc/hostname").read_bytes()
    files: dict[str, bytes | str] = {"out": "-> ../../../../etc/hostname", "etc": "-> /etc", "up": "-> .."}
    for source in ("out", "etc/hostname", "up/etc/hostname", "../../../etc/hostname", "etc/../etc/hostname"):
        found = build(f"FROM busybox\nCOPY {source} /x\n", files)
        assert found.image is None, source
        assert "hostname" in found.error or source in found.error
        assert secret.decode().strip() not in found.text
    assert "nothing above it can be copied" in build("FROM busybox\nCOPY ../up /x\n", {"a": b""}).error
    inside = build("FROM busybox\nCOPY etc/hostname /x\n", {**files, "etc/hostname": b"mine"})
    assert inside.image is None or build.shell(inside, "cat /x") == "mine"


def test_no_link_leads_out_of_a_stage(build: Site) -> None:
    found = build("""
FROM busybox AS evil
RUN mkdir /e && ln -s ../../../../../../etc /e/up && ln -s /etc /e/abs && ln -s / /e/root
RUN echo stage > /etc/hostname-x
FROM busybox
COPY --from=evil /e/up/hostname-x /1
COPY --from=evil /e/abs/hostname-x /2
COPY --from=evil /e/root/e/root/etc/hostname-x /3
COPY --from=evil /e/../../../etc/hostname-x /4
""")
    assert build.shell(found, "cat /1 /2 /3 /4") == "stage\n" * 4


def test_a_destination_stays_in_the_image(build: Site, tmp_path: Path) -> None:
    """Links in the image lead nowhere else than into the image, for COPY, WORKDIR, and mounts."""
    target = tmp_path / "host"
    target.mkdir()
    found = build(
        f"""
FROM busybox
RUN mkdir -p /real && ln -s /real /link && ln -s {target} /out && ln -s ../../../../.. /top
COPY a.txt /link/a
COPY a.txt /top/b
COPY a.txt /out/a
WORKDIR /link/work
RUN pwd -P > /pwd
WORKDIR /top/deep
RUN --mount=type=tmpfs,target=/link/t true
RUN ls -d /real/a /b /real/work /deep >> /pwd
""",
        {"a.txt": b"a"},
    )
    assert (
        build.shell(found, "cat /pwd; readlink /link")
        == "/real/work\n/b\n/deep\n/real/a\n/real/work\n/real\n"
    )
    assert not list(target.iterdir())


def test_a_context_that_writes_through_its_own_link(build: Site) -> None:
    """A tar with a link and a file below its name: the file stays in the context or the build is refused."""
    evil = tar(
        member("Dockerfile", b"FROM busybox\nCOPY . /c\n", mode=0o644),
        symlink("l", "/etc"),
        member("l/evil-nk", b"x", mode=0o644),
    )
    with suppress(APIError, BuildError):  # refused, or kept inside
        image, _ = build.api.images.build(fileobj=io.BytesIO(evil), custom_context=True)
        build.images.append(image.id)
    assert not os.path.exists("/etc/evil-nk")


def test_names_that_lead_out_of_the_context(build: Site) -> None:
    for name in ("../evil-nk", "/../evil-nk", "a/../../evil-nk"):
        evil = tar(member("Dockerfile", b"FROM busybox\nCOPY . /c\n", mode=0o644), member(name, b"x"))
        with suppress(APIError, BuildError):  # refused, or kept inside
            image, _ = build.api.images.build(fileobj=io.BytesIO(evil), custom_context=True)
            build.images.append(image.id)
    assert not os.path.exists("/evil-nk")
    assert not (Path(os.getcwd()).parent / "evil-nk").exists()


def test_a_context_that_is_no_tar(engine: ScratchEngine) -> None:
    done = subprocess.run(
        engine.docker_argv("build", "-"), input=b"\x1f\x8b" + b"junk" * 500, capture_output=True,
        env=engine.environment({"DOCKER_BUILDKIT": "0"}), check=False,
    )  # fmt: skip
    assert done.returncode
    assert b"not UTF-8 text" in done.stderr  # the docker command line takes what is no tar for a Dockerfile


# --- Steps that are cut short


def test_a_step_that_is_killed(engine: ScratchEngine, tmp_path: Path) -> None:
    """From outside: inside, process 1 can not be killed."""
    nap = f"sleep {1000 + secrets.randbelow(1 << 20)}"

    def kill() -> None:
        def step() -> list[str]:
            return [pid for pid in os.listdir("/proc") if pid.isdigit() and _arguments(pid) == nap]

        await_until(step, "the step to run")
        os.kill(int(step()[0]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = told(engine, tmp_path, f"FROM busybox\nRUN echo waiting; {nap}\n")
    thread.join()
    assert "waiting" in found
    assert "exit code 137: it was killed" in found


def _arguments(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def test_memory_that_runs_out(engine: ScratchEngine, tmp_path: Path) -> None:
    found = told(engine, tmp_path, "FROM busybox\nRUN tail /dev/zero\n", "--memory", "16m")
    assert "137" in found
    assert "memory" in found


@pytest.mark.parametrize("phase", ["context", "run", "copy"])
def test_ctrl_c(engine: ScratchEngine, rest: Rest, tmp_path: Path, phase: str) -> None:
    """What was finished stays cached; what was under way is gone (see nothing_left)."""
    mark = tmp_path.name
    text = f"FROM busybox\nRUN echo {mark} > /kept\n"
    if phase == "copy":
        text += "COPY . /all\n"
    if phase in ("context", "copy"):
        for number in range(2000):
            (tmp_path / f"f{number}").write_bytes(b"x" * 20000)
    if phase == "run":
        text += f"RUN echo waiting-{mark}; sleep 1000\n"
    (tmp_path / "Dockerfile").write_text(text)
    process = subprocess.Popen(
        engine.nakagin_argv("build", "--progress", "plain", str(tmp_path)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=engine.environment(),
    )  # fmt: skip
    assert process.stdout is not None
    wanted = {"run": f" waiting-{mark}", "copy": "] COPY . /all", "context": "#1 "}[phase]
    for line in process.stdout:
        if wanted in line:
            break
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) in (130, -signal.SIGINT, 0 if phase != "run" else 130)
    rest.await_gone()
    if phase == "context":
        return
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo {mark} > /kept\n")
    assert "#2 CACHED" in engine.nakagin("build", str(tmp_path)).stderr


@pytest.fixture
def small_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchEngine]:
    """An engine on a file system of 100 MB."""
    disk = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(disk)], check=True)
    engine = ScratchEngine(parent=str(disk))
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(small_engine: ScratchEngine, tmp_path: Path) -> None:
    """In a step, in a copy, in a context, by a bomb: told as such, and the space is there again afterwards."""
    engine = small_engine

    def free() -> int:
        status = os.statvfs(engine.data_root)
        return status.f_bavail * status.f_frsize

    before = free()
    (tmp_path / "big").write_bytes(os.urandom(60 << 20))
    for dockerfile in (
        "FROM busybox\nRUN dd if=/dev/zero of=/x bs=1M count=150\n",
        "FROM busybox\nCOPY big /\n",
    ):
        found = told(engine, tmp_path, dockerfile)
        assert "no space left" in found.lower(), found
    engine.nakagin("builder", "prune", "-af")
    await_until(lambda: free() > before - (2 << 20), "the space to come back")
    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz", compresslevel=9) as archive:
        for name, size in (("Dockerfile", 12), ("zeros", 200 << 20)):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(b"FROM busybox" if size == 12 else bytes(size)))
    done = subprocess.run(
        engine.docker_argv("build", "-"), input=bomb.getvalue(), capture_output=True,
        env=engine.environment({"DOCKER_BUILDKIT": "0"}), check=False,
    )  # fmt: skip
    assert done.returncode
    assert b"no space left" in done.stderr.lower()
    await_until(lambda: free() > before - (2 << 20), "the space to come back")
    assert engine.nakagin("build", "-q", "-", stdin="FROM busybox\nRUN echo works > /x\n").stdout
