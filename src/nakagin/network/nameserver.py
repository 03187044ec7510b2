"""The name server: one small process for all containers of an engine, which it outlives.

    engine ──── tells who is called what, and hears questions of guarded networks ──┐   names.sock
    monitors ── hand over their container's network namespace before it starts ─────┤  (SOCK_SEQPACKET)
                                                                                    ▼
    container ── 127.0.0.11:53, UDP and TCP ──► door ──► answers from `zones`, else `forwarding`

One thread, one epoll loop. Before a batch of questions is answered, everything the engine has said until
then is heard: so a name is known when `start` has returned. It ends when told to, or when it has no door
and no engine.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import time

from nakagin.kernel import fds as descriptors
from nakagin.kernel import identity, process
from nakagin.kernel.calls import perform
from nakagin.kernel.loop import READ, Loop
from nakagin.kernel.scheduling import POLICIES, set_scheduler
from nakagin.network import control, names
from nakagin.network.doors import Door, open_bridge_door, open_door
from nakagin.network.forwarding import Timers
from nakagin.network.resolving import Resolver
from nakagin.network.streams import Conversation
from nakagin.network.zones import View, Zones

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

# How many questions of one container are taken before others have their turn.
BATCH = 64
# How long to stay without a door and without an engine, in seconds.
LONELY = 10.0
_STREAMS_AT_MOST = 100  # connections of one container
_QUESTION_AT_MOST = 4096
_SLICE = 200_000  # nanoseconds of processor time in one turn


class NameServer:
    """Serves `listener`, where the engine and the monitors connect, and every door that they open."""

    def __init__(self, listener: socket.socket, resolver_file: str = names.RESOLVER) -> None:
        self._loop = Loop()
        self._timers = Timers()
        self.zones = Zones()
        self.resolver = Resolver(self._loop, self._timers, self.zones, resolver_file, self._ask_engine)
        self._doors: dict[str, Door] = {}
        self._controls: dict[int, socket.socket] = {}
        self._engine: socket.socket | None = None
        self._listener = listener
        self._leaving = False
        self._lonely_since = time.monotonic()
        self._loop.watch(listener.fileno(), READ, self._on_connection)
        self._verbs: dict[str, Callable[[Message, list[int]], Message | None]] = {
            "begin": self._begin,
            "bridge": self._bridge,
            "counters": self._counters,
            "decided": self._decided,
            "drop": self._drop,
            "end": self._end,
            "forget": self._forget,
            "leave": self._leave,
            "look": self._look,
            "open": self._open,
            "put": self._put,
        }

    def run(self) -> None:
        """Serve until told to leave, or left alone."""
        while not self._leaving:
            wait = self._timers.run()
            if self._doors or self._controls:
                self._lonely_since = time.monotonic()
            else:
                wait = LONELY if wait < 0 else min(wait, LONELY)
                if time.monotonic() - self._lonely_since >= LONELY:
                    return
            self._loop.turn(wait)

    # --- questions -------------------------------------------------------------------------------------

    def _on_datagrams(self, door: Door) -> None:
        """Take what has come, hear the engine, then answer."""
        batch = []
        receive = door.datagrams.recvfrom
        try:
            for _ in range(BATCH):
                batch.append(receive(_QUESTION_AT_MOST))  # noqa: PERF401 (it ends by an exception)
        except OSError:
            pass  # no more of them
        self._hear()
        if door.datagrams.fileno() < 0:
            return  # what we heard was its end
        known, send, counters = door.answers, door.datagrams.sendto, door.counters
        for query, client in batch:
            answers = known.get(query[2:])
            if answers is None:
                self.resolver.answer(door, query, client)
                continue
            counters.local += 1
            if len(answers) > 1:
                answers.append(answers.pop(0))
            try:
                send(query[:2] + answers[0], client)
            except OSError:
                pass  # the asker is gone

    def _on_stream(self, door: Door) -> None:
        try:
            sock, _ = door.listener.accept()
        except OSError:
            return
        if len(door.streams) >= _STREAMS_AT_MOST:
            sock.close()
            return
        sock.setblocking(False)
        Conversation(self._loop, self._timers, door, sock, self._answer_stream)

    def _answer_stream(self, door: Door, query: bytes, done: Callable[[bytes], None]) -> None:
        self._hear()
        self.resolver.answer_stream(door, query, done)

    # --- the engine and the monitors -----------------------------------------------------------------------

    def _on_connection(self, _: int) -> None:
        sock, _address = self._listener.accept()
        sock.setblocking(False)
        self._controls[sock.fileno()] = sock
        self._loop.watch(sock.fileno(), READ, lambda _: self._on_words(sock))

    def _hear(self) -> None:
        if self._engine is not None:
            self._on_words(self._engine)

    def _on_words(self, sock: socket.socket) -> None:
        while self._on_message(sock):
            pass

    def _on_message(self, sock: socket.socket) -> bool:
        """Handle one message; False where there is none."""
        if sock.fileno() not in self._controls:
            return False
        try:
            received = control.receive(sock, control.LARGEST_WORD)
        except BlockingIOError:
            return False
        if received is None:
            self._hang_up(sock)
            return False
        message, fds = received
        if message["do"] == "begin":
            self._engine = sock
        try:
            reply = self._verbs[message["do"]](message, fds)
        except (OSError, KeyError, ValueError) as error:
            reply = {"error": f"{message.get('do')}: {error}"}
            _complain(reply["error"])
        if reply is not None:
            self._tell(sock, reply)
        return True

    def _tell(self, sock: socket.socket, message: Message) -> bool:
        try:
            control.send(sock, message)
        except OSError:
            self._hang_up(sock)
            return False
        return True

    def _hang_up(self, sock: socket.socket) -> None:
        if sock.fileno() in self._controls:
            self._loop.forget(sock.fileno())
            del self._controls[sock.fileno()]
            sock.close()
        if sock is self._engine:
            self._engine = None

    def _ask_engine(self, message: Message) -> bool:
        return self._engine is not None and self._tell(self._engine, message)

    # --- verbs ---------------------------------------------------------------------------------------------

    def _begin(self, _: Message, __: list[int]) -> None:
        """A new engine tells everything anew."""
        self.zones.clear()
        self._forget_answers()

    def _end(self, _: Message, __: list[int]) -> Message:
        """It has told everything: doors of containers that it did not speak of are closed."""
        for door in list(self._doors.values()):
            if self.zones.view(door.key) is None:
                self._close(door)
        return {"doors": sorted(self._doors)}

    def _put(self, message: Message, _: list[int]) -> None:
        self.zones.put(
            message["network"], message["name"], message["id"], tuple(message["names"]),
            tuple(message["addresses"]),
        )  # fmt: skip
        self._forget_answers()

    def _drop(self, message: Message, _: list[int]) -> None:
        self.zones.drop(message["network"], message["id"])
        self._forget_answers()

    def _look(self, message: Message, _: list[int]) -> None:
        self.zones.look(message["id"], View(message))
        self._forget_answers()

    def _forget(self, message: Message, _: list[int]) -> None:
        self.zones.forget(message["id"])
        self._forget_answers()
        door = self._doors.get(message["id"])
        if door is not None:
            self._close(door)

    def _forget_answers(self) -> None:
        for door in self._doors.values():
            if door.answers:
                door.answers = {}

    def _open(self, message: Message, fds: list[int]) -> Message:
        if len(fds) != 2:
            raise ValueError(f"{len(fds)} descriptors instead of a namespace and a process")
        self._settle(open_door(message["id"], *fds))
        return {"open": message["id"]}

    def _bridge(self, message: Message, _: list[int]) -> Message:
        """Answer on a bridge's gateway too, which may have been made anew since."""
        key = f"bridge {message['device']}"
        before = self._doors.get(key)
        if before is not None:
            self._close(before)
        self._settle(open_bridge_door(key, message["address"], message["device"]))
        self.zones.look(key, View(BRIDGE_VIEW))
        return {"open": key}

    def _settle(self, door: Door) -> None:
        before = self._doors.get(door.key)
        if before is not None:
            self._close(before)
        self._doors[door.key] = door
        self._loop.watch(door.datagrams.fileno(), READ, lambda _: self._on_datagrams(door))
        self._loop.watch(door.listener.fileno(), READ, lambda _: self._on_stream(door))
        if door.life >= 0:
            self._loop.watch(door.life, READ, lambda _: self._on_life(door))

    def _on_life(self, door: Door) -> None:
        # In the batch in which a descriptor's number was used again the event may be its former owner's.
        poll = select.poll()
        poll.register(door.life, select.POLLIN)
        if poll.poll(0):
            self._close(door)

    def _close(self, door: Door) -> None:
        if self._doors.get(door.key) is door:
            del self._doors[door.key]
        for fd in (door.datagrams.fileno(), door.listener.fileno(), door.life):
            self._loop.forget(fd)
        for sock in door.streams:
            self._loop.forget(sock.fileno())
        door.close()

    def _decided(self, message: Message, _: list[int]) -> None:
        self.resolver.decided(message["question"], allowed=message["allowed"])

    def _counters(self, message: Message, _: list[int]) -> Message:
        return {
            "reply": message["reply"],
            "pid": os.getpid(),
            "servers": [each.document() for each in self.resolver.servers()],
            "doors": {key: door.counters.document() for key, door in self._doors.items()},
        }

    def _leave(self, _: Message, __: list[int]) -> None:
        self._leaving = True


def _be_prompt() -> None:
    """Short turns on the processor, so that they come soon (Linux 6.12; no larger share of it)."""
    try:
        set_scheduler(POLICIES["SCHED_OTHER"], times=(_SLICE, 0, 0))
    except OSError:
        pass  # only slower where many want the processor


def _give_up_rights() -> None:
    """It reads what strangers send: of root's rights only those that doors need are kept."""
    keep, _ = identity.capability_mask(["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"])
    held = identity.own_capabilities().permitted & keep
    perform(identity.bounding_calls(keep, identity.bounding_mask()))
    perform(identity.capability_calls(identity.CapabilitySets(held, held, 0)))


def _complain(text: str) -> None:
    try:
        print(f"nakagin-names: {text}", file=sys.stderr, flush=True)
    except OSError:
        pass  # the engine that read our words is gone


#: What who asks at a bridge's gateway sees: nobody's names, the host's servers.
BRIDGE_VIEW: Message = {"networks": [], "links": {}, "servers": [], "outside": True, "guarded": False}


def main(listener: int) -> None:
    """Be the name server; `listener` is the descriptor of names.sock, which listens."""
    process.set_name("nakagin-names")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptors.close_all_except({0, 1, 2, listener})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _be_prompt()
    _give_up_rights()
    server = NameServer(socket.socket(fileno=listener))
    gc.freeze()
    server.run()
