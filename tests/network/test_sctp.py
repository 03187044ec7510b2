"""Real associations to published sctp ports, where the kernel has sctp; tests/vm runs this on one that does."""

from __future__ import annotations

import socket
import threading

import pytest
from tests.network.sandbox import Host, cable, hosts, in_namespace
from tests.network.test_networks import attach, publish, started

from nakagin.errors import Conflict

pytestmark = pytest.mark.root


def _has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


needs_sctp = pytest.mark.skipif(not _has_sctp(), reason="this kernel has no sctp")


def serve(host: Host, port: int) -> None:
    """Tell each client who it is, over one association after the other."""
    with host.inside():
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        listener.bind(("0.0.0.0", port))
        listener.listen()

    def answer() -> None:
        while True:
            client, address = listener.accept()
            with client:
                client.sendall(f"sctp {port} {address[0]}".encode())

    threading.Thread(target=answer, daemon=True).start()


def said(sock: socket.socket, address: str, port: int) -> str:
    with sock:
        sock.settimeout(10)
        sock.connect((address, port))
        return sock.recv(256).decode()


def association(host: Host | None = None) -> socket.socket:
    if host is None:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    with host.inside():
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


@needs_sctp
@in_namespace
def test_a_published_sctp_port_has_associations_from_everywhere() -> None:
    with hosts(3) as (outside, web, other):
        cable(outside, "192.0.2.2/24", "192.0.2.1/24", gateway="192.0.2.1")
        networks = started()
        attachment = attach(networks, web, "web", publish(9899, 38412, "sctp"))
        attach(networks, other, "other")
        serve(web, 38412)
        assert attachment.sockets, "the port is held"
        assert said(association(outside), "192.0.2.1", 9899) == "sctp 38412 192.0.2.2", "its own address"
        assert said(association(), "192.0.2.1", 9899).startswith("sctp 38412 ")
        assert said(association(), "127.0.0.1", 9899).startswith("sctp 38412 ")
        assert said(association(other), "192.0.2.1", 9899).startswith("sctp 38412 "), "another container"
        assert said(association(web), "192.0.2.1", 9899).startswith("sctp 38412 "), "and itself"
        with pytest.raises(Conflict, match="already allocated by container web"):
            attach(networks, other, "third", publish(9899, 80, "sctp"))
        attachment.close()
        networks.release("id-web")
        with pytest.raises(OSError, match=r"refused|timed out"):
            said(association(outside), "192.0.2.1", 9899)
        networks.cleanup()


@needs_sctp
@in_namespace
def test_a_port_that_a_process_listens_on_is_taken() -> None:
    with hosts(1) as (web,), association() as listener:
        listener.bind(("127.0.0.1", 9898))
        listener.listen()
        networks = started()
        with pytest.raises(Conflict, match="9898 failed: port is already allocated"):
            attach(networks, web, "web", publish(9898, 80, "sctp"))
        networks.cleanup()
