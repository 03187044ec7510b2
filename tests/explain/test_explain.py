"""`nakagin explain`: what it says is what /proc, the cgroup files and the engine have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.engine_fixture import ScratchEngine
from tests.free_port import free_port

from nakagin.kernel.mounttable import mount_id

pytestmark = pytest.mark.root


def ask(engine: ScratchEngine, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nakagin.cli", "explain", *words],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "NAKAGIN_HOST": engine.host, "PYTHONPATH": os.path.abspath("src")},
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


def facts(engine: ScratchEngine, *words: str) -> Any:
    return json.loads(ask(engine, "--format", "json", *words))


def within_its_disk(path: str) -> str:
    """Where a folder is on its file system; / itself may be a folder of it."""
    fd = os.open(path, os.O_PATH)
    try:
        number = str(mount_id(fd))
    finally:
        os.close(fd)
    rows = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    root, point = next((row[3], row[4]) for row in rows if row[0] == number)
    return os.path.join(root, os.path.relpath(path, point))


def test_a_living_container_is_as_the_kernel_has_it(engine: ScratchEngine, name: str) -> None:
    port = free_port()
    engine.docker(
        "run", "-d", "--name", name, "-m", "64m", "--cpus", "0.5", "--pids-limit", "33", "--cap-drop", "CHOWN",
        "--uts", "host", "--security-opt", "no-new-privileges", "-p", f"127.0.0.1:{port}:80", "-v", "/usr/share:/s:ro",
        "busybox", "sh", "-c", "sleep 1000 & sleep 1000",
    )  # fmt: skip
    found = facts(engine, name)
    pid = int(engine.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)
    assert found["Pid"] == pid
    for each in found["Namespaces"]:
        file = {"network": "net", "mount": "mnt"}.get(each["Kind"], each["Kind"])
        assert each["Inode"] == os.stat(f"/proc/{pid}/ns/{file}").st_ino
        assert each["Own"] == (each["Inode"] != os.stat(f"/proc/self/ns/{file}").st_ino)
    assert not next(each for each in found["Namespaces"] if each["Kind"] == "uts")["Own"]
    limits = {each["Name"]: each for each in found["Cgroup"]["Files"]}
    assert int(limits["memory"]["Limit"]) == 64 * 1024**2
    assert limits["processes"]["Limit"] == "33"
    assert Path(limits["memory"]["File"]).read_text().strip() == limits["memory"]["Limit"]
    assert int(limits["processes"]["Use"]) == 2
    assert [each["Command"] for each in found["Processes"]] == [
        "sh -c sleep 1000 & sleep 1000",
        "sleep 1000",
    ] or [each["Command"] for each in found["Processes"]] == ["sleep 1000", "sleep 1000"]
    assert {each["Pid"] for each in found["Processes"]} >= {pid}
    assert "CAP_CHOWN" not in found["Privileges"]["Capabilities"]
    assert found["Privileges"]["NoNewPrivileges"]
    assert found["Privileges"]["Seccomp"] == "filter"
    assert Path(f"/proc/{found['Monitor']}/comm").exists()
    mounts = {each["Target"]: each for each in found["Mounts"]}
    space = os.statvfs("/usr/share")
    assert mounts["/s"]["Root"] == within_its_disk("/usr/share")
    assert mounts["/s"]["Size"] == space.f_blocks * space.f_frsize
    assert mounts["/dev/shm"]["Size"] == 64 * 1024**2
    assert mounts["/etc/hostname"]["Size"] == len(os.uname().nodename) + 1  # --uts host
    layers = [each["Size"] for each in found["Layers"]]
    assert layers == [0, engine.client().images.get("busybox").attrs["Size"]]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    bits = int(status["CapEff"], 16)
    assert len(found["Privileges"]["Capabilities"]) == bits.bit_count()
    assert status["Seccomp"] == "2"
    check_way(engine, name, pid, found["Ports"], port)
    shown = ask(engine, name)
    assert f"pid {pid}" in shown
    assert "of 64MiB" in shown
    assert f"127.0.0.1:{port}/tcp" in shown
    assert "uts      the host's" in shown


def check_way(engine: ScratchEngine, name: str, pid: int, ports: Any, port: int) -> None:
    """The way to the port is what nft and ip have: the map's element, the bridge, the pair's end, the address."""
    address = engine.docker(
        "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name
    ).stdout.strip()
    [way] = ports
    assert way["Port"] == f"127.0.0.1:{port}/tcp"
    assert way["InKernel"]
    first, bridge, end, inside = way["Way"]
    assert inside == f"eth0 {address}:80"
    where, table = first.removeprefix("map ").split(" of table ")
    listed = subprocess.run(
        ["nft", "list", "map", *table.split(), where], capture_output=True, text=True, check=True
    )
    assert f"tcp . 127.0.0.1 . {port} : {address} . 80" in " ".join(listed.stdout.split())
    link = json.loads(
        subprocess.run(
            ["ip", "-j", "-d", "link", "show", "dev", end], capture_output=True, text=True, check=True
        ).stdout
    )[0]
    assert (link["master"], link["linkinfo"]["info_kind"]) == (bridge.removeprefix("bridge "), "veth")
    peer = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "ip", "-j", "link", "show", "dev", "eth0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert link["link_index"] == json.loads(peer.stdout)[0]["ifindex"]


def test_what_is_written_over_is_told(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a, b"
    folder.mkdir()
    engine.docker("run", "-d", "--name", name, "-v", f"{folder}:/w:O", "busybox", "sleep", "1000")
    told = engine.nakagin("explain", name).stdout
    line = next(each for each in told.splitlines() if each.startswith("  /w "))
    assert line.split()[:3] == ["/w", "rw", "overlay"]
    assert line.endswith(f" over {folder}")


def test_a_stopped_container_shows_its_files(engine: ScratchEngine, name: str) -> None:
    engine.docker("create", "--name", name, "busybox")
    shown = ask(engine, name)
    assert "created" in shown.splitlines()[0]
    assert "shared, read-only, " in shown
    assert "Isolated" not in shown


def test_a_plan_is_told_and_not_done(engine: ScratchEngine, name: str) -> None:
    before = engine.docker("ps", "-aq").stdout, engine.docker("volume", "ls", "-q").stdout
    found = facts(
        engine,
        "run",
        "--name",
        name,
        "-m",
        "64m",
        "-p",
        "8080:80",
        "-v",
        f"{name}:/v",
        "busybox",
        "echo",
        "hi",
    )
    steps = [each["Step"] for each in found["Steps"]]
    assert f"take or make volume {name} for /v" in steps
    assert "publish 80/tcp at 0.0.0.0:8080" in steps
    assert any(step.endswith("= 67108864") for step in steps)
    assert steps[-1] == "execute echo hi"
    stages = [each["Stage"] for each in found["Steps"]]
    assert stages == sorted(stages, key=["engine", "monitor", "cgroup", "container"].index)
    assert (engine.docker("ps", "-aq").stdout, engine.docker("volume", "ls", "-q").stdout) == before
    rich = facts(
        engine, "run", "-it", "--cpus", ".5", "--cpuset-cpus", "0", "--pids-limit", "9", "--read-only", "--tmpfs", "/t",
        "--device", "/dev/full", "--init", "-u", "1:1", "-w", "/w", "--sysctl",
        "net.core.somaxconn=9", "--security-opt", "no-new-privileges", "--ulimit", "nofile=9", "--secret",
        f"id=db,src={__file__}", "-v", f"{name}:/v", "busybox", "true",
    )  # fmt: skip
    assert [each["Step"] for each in rich["Steps"] if not each["Why"]] == []
    told = [each["Step"] for each in rich["Steps"]]
    assert "make device /dev/full (c 1:7, 0666)" in told
    assert any(step.startswith(f"rbind /(new volume {name}) -> /v") for step in told)
    assert any(step.startswith("rbind /(secret db) -> /run/secrets/db [ro") for step in told)
    shown = ask(engine, "run", "--rm", "busybox", "true")
    assert shown.rstrip().endswith("Nothing of this was done.")
    assert "# " in shown


def test_what_an_image_wastes(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """Files that later steps replace or delete, also through an emptied folder, and a file with two names."""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\n"
        "RUN mkdir /d && head -c 3000 /dev/zero | tee /gone /d/old > /kept && ln /kept /twin\n"
        "ENV A=b\n"
        "RUN rm /gone /twin && head -c 1000 /dev/zero > /kept\n"
        "RUN rm -r /d && mkdir /d && echo > /d/new\n"
        "RUN ln -sfn /etc /kept\n"
    )
    engine.nakagin("build", "-q", "-t", name, str(tmp_path))
    try:
        found = facts(engine, name)
        steps = found["Steps"]
        assert [bool(each["DiffId"]) for each in steps] == [True, True, False, True, True, True]
        assert steps[0]["Comment"] == "Bootstrapped from the Debian package busybox-static"
        assert steps[0]["Shared"] >= 1
        assert steps[1]["Hidden"] == [{"By": 3, "Bytes": 6000}, {"By": 4, "Bytes": 3000}]
        assert steps[3]["Hidden"] == [{"By": 5, "Bytes": 1000}]
        assert [each["Hidden"] for each in steps[4:]] == [[], []]
        shown = ask(engine, name)
        assert "(Bootstrapped from the Debian package busybox-static)  shared with" in shown
        assert "Nobody sees 10kB" in shown
    finally:
        engine.docker("rmi", "-f", name)


def test_images_networks_and_the_host(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert "image busybox:latest" in ask(engine, "busybox")
    engine.docker("tag", "busybox", f"aa-{name}")
    assert facts(engine, "--type", "image", "busybox")["Name"] == "busybox:latest"
    engine.docker("rmi", f"aa-{name}")
    assert "network bridge" in ask(engine, "bridge")
    assert f"▐ {name}" in ask(engine)
    picture = tmp_path / "tower.svg"
    ask(engine, "--picture", str(picture))
    assert name in picture.read_text()
    ask(engine, name, "--picture", str(picture))
    assert name in picture.read_text()
    ask(engine, "busybox", "--picture", str(picture))
    assert "Image busybox" in picture.read_text()
    assert "no picture of a network" in ask(engine, "bridge", "--picture", str(picture), code=1)
    assert "cannot write the picture" in ask(engine, "--picture", "/proc/nowhere/x.svg", code=1)


def test_bad_input(engine: ScratchEngine) -> None:
    assert "No such container, image or network: nobody-here" in ask(engine, "nobody-here", code=1)
    assert "did you mean bridge?" in ask(engine, "brigde", code=1)
    assert "one of: container, image, network" in ask(engine, "--type", "ship", "x", code=1)
    assert "text or json" in ask(engine, "--format", "xml", "x", code=1)
    assert "No such image" in ask(engine, "run", "no-such-image-here", code=1)
    assert "requires at least 1 argument" in ask(engine, "run", code=1)
