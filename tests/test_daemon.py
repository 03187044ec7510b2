"""Flags, sockets and the process around an engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nakagin.daemon import listen, settings_from
from nakagin.engineflags import FLAGS, keys_of, make_parser
from nakagin.errors import Invalid, Unavailable
from nakagin.settings import Settings


def parsed(*argv: str) -> dict[str, object]:
    return keys_of(vars(make_parser().parse_args(argv)))


def test_flags_are_keys() -> None:
    assert parsed(
        "-H", "unix:///a", "--host", "tcp://127.0.0.1:1", "-D", "--iptables=false", "--live-restore", "--mtu", "1400",
        "--dns", "1.1.1.1", "--label", "a=b", "--log-opt", "max-size=1m", "--default-ulimit", "nofile=1:2",
        "--add-runtime", "crun=/usr/bin/crun", "--default-address-pool", "base=10.0.0.0/8,size=24", "-G", "0",
        "--default-shm-size", "1m", "--http-proxy", "http://p",
    ) == {
        "hosts": ["unix:///a", "tcp://127.0.0.1:1"], "debug": True, "iptables": False, "live-restore": True,
        "mtu": 1400, "dns": ["1.1.1.1"], "labels": ["a=b"], "log-opts": {"max-size": "1m"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}},
        "runtimes": {"crun": {"path": "/usr/bin/crun"}},
        "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "group": "0", "default-shm-size": 1 << 20,
        "proxies": {"http-proxy": "http://p"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "argv",
    [
        ["--iptables=perhaps"],
        ["--log-opt", "x"],
        ["--default-ulimit", "nofile=many"],
        ["--default-address-pool", "x=1"],
    ],
)
def test_bad_flag_values(argv: list[str]) -> None:
    with pytest.raises(Invalid, match="invalid"):
        parsed(*argv)


def test_every_flag_has_a_setting() -> None:
    examples = {
        "default-shm-size": "1m",
        "default-address-pool": ["base=1,size=2"],
        "default-network-opt": ["b=a=b"],
    }
    known = set(Settings.__struct_encode_fields__)
    for flag in (flag for section in FLAGS.values() for flag in section if flag.name != "config-file"):
        value = examples.get(flag.name) or (["a=1"] if flag.key else "1")
        assert set(keys_of({flag.name: value})) <= known, flag.name


def test_help_tells_what_each_flag_does() -> None:
    said = make_parser().format_help()
    assert "-H, --host ADDRESS " in said
    assert "-D, --debug [true|false] " in said
    for title, flags in FLAGS.items():
        assert f"\n{title}:\n" in said
        assert all(flag.help for flag in flags), title


def test_flags_and_file_together(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"mtu": 1400}))
    settings, _ = settings_from(["--config-file", str(path), "-D"])
    assert (settings.mtu, settings.debug) == (1400, True)
    with pytest.raises(Invalid, match="both as a flag and in the configuration file: mtu"):
        settings_from(["--config-file", str(path), "--mtu", "1"])


def test_a_unix_socket_is_private_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    (first,) = listen(f"unix://{path}", Settings(group=str(os.getgid())))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    with pytest.raises(Unavailable, match="another engine answers"):
        listen(f"unix://{path}", Settings())
    first.close()
    (second,) = listen(path, Settings(group=str(os.getgid())))
    second.close()


def test_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (sock,) = listen("tcp://127.0.0.1:0", Settings())
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        with pytest.raises(Unavailable, match="Address already in use"):
            listen(f"tcp://127.0.0.1:{sock.getsockname()[1]}", Settings())
    with pytest.raises(Invalid, match="invalid bind address"):
        listen("npipe:////x", Settings())
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    with pytest.raises(Invalid, match="socket activation"):
        listen("fd://", Settings())
    if os.geteuid() == 0:
        with pytest.raises(Invalid, match="group no-such-group not found"):
            listen(f"unix://{tmp_path}/s", Settings(group="no-such-group"))


@pytest.mark.root
def test_the_default_group_need_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_group(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("grp.getgrnam", no_group)
    (sock,) = listen(f"unix://{tmp_path}/s", Settings())
    with sock:
        assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o600


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nakagin.daemon", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_validate_and_version() -> None:
    assert run("--validate").stdout == "configuration OK\n"
    assert run("--version").stdout.startswith("Nakagin engine ")
    refused = run("--validate", "--mtu", "1")
    assert (refused.returncode, refused.stderr) == (1, "failed to start the engine: invalid default MTU: 1\n")


@pytest.mark.root
def test_life_of_the_process(tmp_path: Path) -> None:
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(tmp_path / "notify"))
    ready.settimeout(30)
    roots = [
        "--data-root",
        f"{tmp_path}/data",
        "--exec-root",
        f"{tmp_path}/exec",
        "--instance",
        f"d{os.getpid()}",
    ]
    command = [sys.executable, "-m", "nakagin.daemon", *roots, "-H", f"unix://{tmp_path}/s"]
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with ready, subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as engine:
        try:
            assert ready.recv(64) == b"READY=1"
            assert Path(tmp_path, "exec/nakagin.pid").read_text() == str(engine.pid)
            refused = run(*roots, "-H", f"unix://{tmp_path}/other")
            assert refused.returncode == 1
            assert f"is in use by another engine (process {engine.pid})" in refused.stderr
            assert os.path.exists(tmp_path / "s"), "the one that was refused took nothing away"
            with open(f"/proc/{engine.pid}/smaps_rollup") as file:
                pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            assert pss < 60 * 1024
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(30) == 0
        finally:
            engine.kill()
    assert not os.path.exists(tmp_path / "s")
    assert os.listdir(tmp_path / "exec") == []


@pytest.mark.root
def test_a_read_only_root_is_told(tmp_path: Path) -> None:
    started = time.monotonic()
    refused = run("--data-root", "/proc/nakagin", "--exec-root", str(tmp_path), "-H", f"unix://{tmp_path}/s")
    assert refused.returncode == 1
    assert "cannot write to /proc/nakagin" in refused.stderr
    assert "--data-root" in refused.stderr
    assert time.monotonic() - started < 30


@pytest.mark.root
def test_systemd_cannot_make_cgroups_where_it_does_not_run(tmp_path: Path) -> None:
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd runs this machine")
    roots = ("--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "exec"))
    done = run(*roots, "--exec-opt", "native.cgroupdriver=systemd")
    assert done.returncode == 1
    assert "systemd cannot be asked for a scope: it does not run this machine" in done.stderr


@pytest.mark.root
def test_a_chroot_is_told(tmp_path: Path) -> None:
    engine = f"{sys.executable} -m nakagin.daemon --data-root {tmp_path}/data --exec-root {tmp_path}/exec"
    (tmp_path / "top").mkdir()
    script = f"mount --rbind / {tmp_path}/top && exec chroot {tmp_path}/top {engine} -H unix://{tmp_path}/s"
    refused = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "the engine cannot run in a chroot" in refused.stderr
    assert "pivot_root" in refused.stderr
    assert not (tmp_path / "data").exists()
