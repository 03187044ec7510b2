"""Look-ups a second from inside a container on a user network, and how long they take.

The client is this file, run in the container's network namespace: 16 questions under way, as many sockets, for
two seconds. Half of them are for a name, half for a service with three addresses.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time

from nakagin.kernel.scheduling import POLICIES, set_scheduler

UNDER_WAY = 16
SECONDS = 2.0


def question(number: int, name: str) -> bytes:
    """A question for the addresses of a name, as a stub resolver writes it."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def ask(seconds: float, names: list[str]) -> dict[str, float]:
    """Ask 127.0.0.11 for so long: {"per_second", "p50", "p99" (milliseconds), "lost"}."""
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    sent_at: dict[int, float] = {}
    times: list[float] = []
    number = lost = 0
    for _ in range(UNDER_WAY):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect(("127.0.0.11", 53))
        poll.register(sock.fileno(), select.EPOLLIN)
        socks[sock.fileno()] = sock
    begun = time.perf_counter()
    for fd, sock in socks.items():
        sent_at[fd] = time.perf_counter()
        sock.send(question(number, names[number % len(names)]))
        number += 1
    while (now := time.perf_counter()) - begun < seconds:
        ready = poll.poll(0.5)
        lost += 0 if ready else UNDER_WAY
        for fd, _ in ready or [(fd, 0) for fd in socks]:
            if ready:
                reply = socks[fd].recv(4096)
                assert reply[3] & 0xF == 0, f"response code {reply[3] & 0xF}"
                times.append(time.perf_counter() - sent_at[fd])
            sent_at[fd] = time.perf_counter()
            socks[fd].send(question(number, names[number % len(names)]))
            number += 1
    times.sort()
    assert times, "nothing was answered"
    return {
        "per_second": len(times) / (now - begun),
        "p50": 1000 * times[len(times) // 2],
        "p99": 1000 * times[len(times) * 99 // 100],
        "lost": lost,
    }


def from_inside(pid: int, seconds: float = SECONDS) -> dict[str, float]:
    """The figures of a client in the network namespace of process `pid`."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", sys.executable, __file__, str(seconds)]
    done = subprocess.run([*command, "target", "service"], capture_output=True, check=True, timeout=60)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    # Short turns on a busy processor: what is measured is the server, not the client's waiting for its turn.
    set_scheduler(POLICIES["SCHED_OTHER"], times=(200_000, 0, 0))
    print(json.dumps(ask(float(sys.argv[1]), sys.argv[2:])))
