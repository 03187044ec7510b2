# ruff: noqa: E501 -- tables
"""What `create` and `run` send is what docker's own command line sends, for a table of flags; so are the errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PaperEngine, docker, nakagin, needs_docker_28

pytestmark = needs_docker_28

SAME = [
    "b",
    "-t --name xx b sh -c 'echo",
    "-p 8080:80 -p 127.0.0.1:90-91:90-91/udp -p 443 -p [::1]:5:5 -p 1000-1001:7 -p 2000-2001:2000-2001/sctp -P b",
    "--expose 9 --expose 10-11/udp -p published=80,target=8080,protocol=udp b",
    "-v /a:/b:ro -v vol:/c -v /anon -v ./x:/y -v /s:/t:z,rprivate --tmpfs /q:size=1m --tmpfs /r b",
    "--mount type=tmpfs,dst=/t,tmpfs-size=10m,tmpfs-mode=1777 --mount dst=/anon2 b",
    "--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rslave --mount type=image,src=i,dst=/im,image-subpath=x b",
    "--mount type=bind,src=.,dst=/rel,bind-nonrecursive --mount type=bind,src=/a,dst=/q,bind-recursive=disabled b",
    "--mount type=volume,src=v,dst=/w,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=x=y b",
    "--mount type=bind,src=/a,dst=/q,readonly,bind-propagation=rprivate,bind-recursive=readonly b",
    "--mount type=bind,src=/a,dst=/q,readonly,bind-recursive=writable b",
    "-m 64m --memory-swap -1 --memory-reservation 32m --memory-swappiness 5 --kernel-memory 9m b",
    "--cpus .5 --pids-limit 10 --cpu-shares 7 --cpuset-cpus 0-1 --cpuset-mems 0 --cpu-period 1000 --cpu-quota 500 b",
    "--cpu-rt-period 5 --cpu-rt-runtime 6 --blkio-weight 100 --blkio-weight-device /dev/sda:100 b",
    ("--device-read-bps /dev/sda:1mb --device-write-bps /dev/sda:1 --device-read-iops /dev/sda:5"
    " --device-write-iops /dev/sda:5 b"),
    "--oom-kill-disable --oom-score-adj -5 --shm-size 1.5g --ulimit nofile=10:20 --ulimit core=1 --ulimit nproc=-1 b",
    "--storage-opt size=1G b",
    ("--network foo --network-alias al --ip 1.2.3.4 --ip6 ::2 --link-local-ip 169.254.1.1 --link a:b"
    " --mac-address 92:d0:c6:0a:29:33 b"),
    ("--network name=foo,alias=x,alias=z,ip=1.2.3.4,mac-address=92:d0:c6:0a:29:33,driver-opt=a=b,gw-priority=3"
    " --network bar b"),
    "--net host --dns-opt y b",
    "--network container:abc b",
    "--network none --link a b",
    "--network bridge b",
    "--network host --network bridge b",
    "--network none --mac-address 92:d0:c6:0a:29:33 b",
    "--network bridge --ip 1.2.3.4 b",
    ("--restart on-failure:3 --health-cmd true --health-interval 5s --health-retries 2 --health-start-period 1m"
    " --health-start-interval 1s --health-timeout 1.5s b"),
    "--no-healthcheck --restart unless-stopped b",
    "--rm -e A=b -e PRESENT -e ABSENT -e E= --env-file {env} -l a=b -l c --label-file {env} --init b",
    "--log-opt max-size=1m --log-driver json-file --sysctl net.core.x=1 --annotation a=b b",
    "--device /dev/null --device /dev/zero:/dev/z:r --device /dev/full:rw --device-cgroup-rule c\u00a01:3\u00a0rwm b",
    "--device vendor.com/class=name b",
    "--add-host a:1.1.1.1 --add-host h:host-gateway --add-host a6=::1 --add-host a7:[::1] b",
    "--gpus all b",
    "--gpus 2 b",
    '--gpus count=2,driver=nvidia,capabilities=utility,"device=0,1" b',
    "--security-opt seccomp={seccomp} --security-opt no-new-privileges --security-opt label=disable b",
    "--security-opt systempaths=unconfined --security-opt seccomp=unconfined --security-opt apparmor:unconfined b",
    "--cap-add SYS_ADMIN --cap-add net_raw --cap-drop all --privileged --read-only --group-add 5 --user a:b b",
    "--cap-drop CHOWN --cap-add all b",
    "--workdir /x --hostname h --domainname d --entrypoint /e --stop-signal INT --stop-timeout 3 b x",
    "--entrypoint= b",
    "--init=false -a stdin -a STDOUT b",
    "-i b",
    "-it -a stderr b",
    "--pid host --ipc host --uts host --userns host --cgroupns private --cgroup-parent /x --runtime r b",
    "--isolation default --volumes-from a:ro --volume-driver d --dns 1.1.1.1 --dns-search . --dns-option x b",
    "--pid container:x --ipc container:y b",
    "--platform linux/arm64 b",
    "b -p 80 --rm",
    "-- b -x",
    "--memory-swap 1g -m=512m -e=A=1 -ti b",
]  # fmt: skip

REFUSED = [
    "", "--foo b", "-Z b", "-m", "-m x b", "-m -5 b", "-p 80:80:80:80 b", "-p 80/foo b", "-p 99999 b",
    "--expose 80:80 b", "--expose a b", "--mount type=bind,source=x b", "--mount foo b",
    "--mount type=volume,dst=/x,bogus=1 b", "--mount type=tmpfs,dst=/a,tmpfs-size=zz b",
    "--mount type=bind,src=/a,dst=/b,readonly=zz b", "--mount type=bind,src=/a,dst=/b,bind-recursive=zz b",
    "--mount type=bind,src=/a,dst=/b,bind-recursive=readonly b",
    "--mount type=bind,src=/a,dst=/b,ro,bind-recursive=readonly b",
    "--mount type=bind,src=/a,dst=/b,bind-recursive=writable b",
    "--mount type=volume,dst=/b,bind-recursive=disabled b", "--mount type=cluster,src=a,dst=/b,tmpfs-size=1 b",
    "--mount type=image,src=i,dst=/b,volume-nocopy b",
    "--restart on-failure:x b", "--restart always --rm b", "--ulimit x b", "--ulimit nofile=a b",
    "--ulimit nofile=5:3 b", "--ulimit foo=3 b", "-e =x b", "-a foo b", "--cpus x b", "--cpus 1.0000000001 b",
    "--memory-swappiness 101 b", "--device-read-bps sda b", "--device-read-bps /dev/x:zz b", "--add-host x b",
    "--add-host a:b b", "--dns x b", "--mac-address zz b", "--network a,ip=x b", "--network x --network x b",
    "--network host --network-alias a b", "--network bridge --network foo b", "--pid foo b", "--userns x b", "--uts x b", "--cgroupns x b",
    "--security-opt foo b", "--security-opt seccomp=/proc/none b", "--log-driver none --log-opt a=b b",
    "--device foo b", "--device /dev/x:/y:zz b", "--device-cgroup-rule foo b", "--health-cmd x --no-healthcheck b",
    "--health-interval 1 b", "--health-interval -1s b", "--health-retries -1 b", "--env-file /proc/none b",
    "--label-file /proc/none b", "--link :: b", "--pull foo b", "--gpus foo=1 b", "--gpus count=a b",
    "--stop-timeout x b", "--sysctl foo=1 b", "--pids-limit x b", "--rm=zz b", "--shm-size x b", "--storage-opt size b",
]  # fmt: skip


def words(line: str, folder: Path) -> list[str]:
    """The words of a table line; no-break spaces stand for spaces inside a word."""
    line = line.format(env=folder / "env", seccomp=folder / "seccomp.json")
    return [word.replace("\u00a0", " ") for word in line.split(" ") if word]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that flags name."""
    (tmp_path / "env").write_text("A=1\n# a comment\n\nPRESENT\nABSENT\nSPACED= b c \n")
    (tmp_path / "seccomp.json").write_text('{ "defaultAction": "SCMP_ACT_ALLOW",\n "syscalls": [] }')
    return tmp_path


def normal(document: Any) -> Any:
    """docker was seen to send Binds and Env in another order from call to call; the values are compared."""
    host = document["HostConfig"]
    document["Env"] = sorted(document["Env"] or [])
    host["Binds"] = sorted(host["Binds"] or [])
    return document


@pytest.mark.parametrize("line", SAME)
def test_create_sends_what_docker_sends(line: str, paper: PaperEngine, folder: Path) -> None:
    ours = nakagin(paper.host, "create", *words(line, folder), cwd=folder)
    assert ours.returncode == 0, ours.stderr
    target, sent = paper.requests[-1][1], normal(paper.body())
    theirs = docker(paper.host, "create", *words(line, folder), cwd=folder)
    assert theirs.returncode == 0, theirs.stderr
    assert sent == normal(paper.body())
    assert target == paper.requests[-1][1]
    assert ours.stdout == theirs.stdout


@pytest.mark.parametrize("line", ["-d b", "-d -it b", "-d --rm -i b", "--detach=true -t b"])
def test_detached_run_sends_what_docker_sends(line: str, paper: PaperEngine, folder: Path) -> None:
    assert nakagin(paper.host, "run", *words(line, folder)).returncode == 0
    sent = paper.body()
    docker(paper.host, "run", *words(line, folder))
    assert sent == paper.body()


@pytest.mark.parametrize("line", REFUSED)
def test_create_refuses_in_dockers_words(line: str, paper: PaperEngine, folder: Path) -> None:
    ours = nakagin(paper.host, "create", *words(line, folder))
    theirs = docker(paper.host, "create", *words(line, folder))
    assert not paper.requests
    assert ours.stderr.replace("nakagin", "docker") == theirs.stderr
    assert ours.returncode == theirs.returncode


def test_what_docker_has_no_word_for(paper: PaperEngine, folder: Path) -> None:
    assert (
        nakagin(paper.host, "create", "--rootfs", "r:overlay", "--tz", "local", "sh", cwd=folder).returncode
        == 0
    )
    sent = paper.body()
    assert sent["Nakagin"] == {"Rootfs": f"{folder}/r:overlay", "Timezone": "local"}
    assert (sent["Image"], sent["Cmd"]) == ("", ["sh"])


EXEC = [
    "c sh",
    "-it -e A=b c sh -c x",
    "-d c sh",
    "--privileged -u me -w /x --detach-keys ctrl-a c ls -l",
    "-dit c sh",
]


@pytest.mark.parametrize("line", EXEC)
def test_exec_sends_what_docker_sends(line: str, paper: PaperEngine, folder: Path) -> None:
    paper.answers["GET /containers/c/json"] = (200, {"Id": ID_OF_C, "State": {"Running": True}, "Config": {}})
    paper.answers["POST /containers/c/exec"] = (201, {"Id": "e"})
    sent = []
    for run in (nakagin, docker):
        run(paper.host, "exec", *[word for word in words(line, folder) if word != "-it"])
        bodies = [body for method, target, body in paper.requests if target.endswith("/containers/c/exec")]
        sent.append(json.loads(bodies[-1]))
    assert sent[0] == sent[1]


ID_OF_C = "c" * 64
