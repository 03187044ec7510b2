"""Seccomp listeners and readiness sockets: descriptors and words for agents outside."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import fds

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_agent_gets_descriptor_and_state(box: Box, no_new_privileges: bool) -> None:
    path = box.folder / "agent"
    box.process["noNewPrivileges"] = no_new_privileges
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(path),
        "listenerMetadata": "words for the agent",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    heard: list[tuple[bytes, list[int]]] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(4)
        listening.settimeout(10)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(fds.receive_fds(connection, 65536, 2))

        agent = threading.Thread(target=serve)
        agent.start()
        assert box.run("echo", "runs").out == "runs\n"
        agent.join()
    message, received = heard[0]
    told = json.loads(message)
    assert told["fds"] == ["seccompFd"]
    assert told["metadata"] == "words for the agent"
    assert told["state"]["id"] == box.id
    assert told["state"]["pid"] == told["pid"] > 1
    assert os.readlink(f"/proc/self/fd/{received[0]}") == "anon_inode:seccomp notify"
    os.close(received[0])


def test_without_an_agent_nothing_starts(box: Box) -> None:
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/no/such/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    answer = box.run("true")
    assert answer.code == 1
    assert "pass the seccomp listener to /no/such/agent" in answer.err
    assert box.call("state", box.id).code == 1


def test_readiness_reaches_systemds_socket(own_box: Box) -> None:
    (own_box.rootfs / "run").mkdir()
    path = own_box.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        own_box.write("sh", "-c", 'echo $NOTIFY_SOCKET; test -S "$NOTIFY_SOCKET"')
        words = ("run", "-b", str(own_box.bundle), own_box.id)
        answer = own_box.call(*words, before=f"export NOTIFY_SOCKET={path};")
    assert (answer.code, answer.out) == (0, "/run/notify/notify.sock\n")
