"""What the name server answers: its own names at once, everything else after asking those who know."""

from __future__ import annotations

import itertools
import os

from nakagin.network import dns, names
from nakagin.network.forwarding import Inquiry, Server, open_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from nakagin.kernel.loop import Loop
    from nakagin.network.dns import Question, Record
    from nakagin.network.doors import Door
    from nakagin.network.forwarding import Opener, Timers
    from nakagin.network.zones import View, Zones

    Done = Callable[[bytes], None]
    Client = tuple[Any, ...]

# Questions on their way at once, of one container and of all; what comes beyond fails at once.
OF_ONE, OF_ALL = 256, 4096
# How long the engine may take to decide about a guarded network's question, in seconds.
DECISION = 3.0
_ANSWERS_AT_MOST = 2048  # remembered for one container
_TURNS_AT_MOST = 16
_SERVERS_AT_MOST = 64


class Resolver:
    """Answers questions that arrive at doors.

    `resolver_file` is the host's resolv.conf; `ask_engine(message)` tells the engine something and says whether
    there is one.
    """

    def __init__(
        self,
        loop: Loop,
        timers: Timers,
        zones: Zones,
        resolver_file: str,
        ask_engine: Callable[[dict[str, Any]], bool],
    ) -> None:
        self._loop = loop
        self._timers = timers
        self._zones = zones
        self._file = resolver_file
        self._ask_engine = ask_engine
        self._read_at: tuple[int, int, int] = (0, 0, 0)
        self._of_host: tuple[str, ...] = ()
        self._servers: dict[str, Server] = {}
        self._under_way = 0
        self._numbers = itertools.count(1)
        self._undecided: dict[int, Callable[[bool], None]] = {}

    # --- doors -----------------------------------------------------------------------------------------

    def answer(self, door: Door, query: bytes, client: Client) -> None:
        """Answer a datagram, now or later."""

        def done(reply: bytes) -> None:
            try:
                if reply:
                    door.datagrams.sendto(reply, client)
            except OSError:
                pass  # the asker is gone, or the container is

        self._answer(door, query, done, stream=False)

    def answer_stream(self, door: Door, query: bytes, done: Done) -> None:
        """Answer a question that came by TCP."""
        self._answer(door, query, done, stream=True)

    def _answer(self, door: Door, query: bytes, done: Done, *, stream: bool) -> None:
        try:
            question = dns.read_question(query)
        except dns.Malformed as error:
            door.counters.malformed += 1
            door.counters.last_error = f"malformed question: {error}"
            # To an answer there is no answer: two servers would talk for ever.
            is_question = len(query) >= 12 and not query[2] & 0x80
            done(dns.failure(query, dns.FORMERR) if is_question else b"")
            return
        if question.opcode:
            door.counters.refused += 1
            done(dns.failure(query, dns.NOTIMP))
            return
        records = self._records(door, question)
        if records is None:
            self._forward(door, query, question, done, stream=stream)
            return
        door.counters.local += 1
        limit = dns.LARGEST_STREAM if stream else 0
        answers = [dns.answer(query, question, each, limit=limit) for each in turns(records)]
        done(answers[0])
        if not stream and len(query) <= dns.PLAIN_SIZE:
            if len(door.answers) >= _ANSWERS_AT_MOST:
                door.answers.clear()
            door.answers[query[2:]] = [each[2:] for each in answers]

    # --- our own names ---------------------------------------------------------------------------------

    def _records(self, door: Door, question: Question) -> list[Record] | None:
        """What we know of a question; None where others must be asked. A known name has no other records."""
        if not question.plain or question.klass not in {dns.IN, dns.ANY}:
            return None
        if question.kind == dns.PTR:
            address = dns.reversed_address(question.name)
            name = self._zones.name_of(door.key, address) if address else ""
            return [(dns.PTR, dns.encode_name(name))] if name else None
        found = self._zones.find(door.key, question.name)
        if found is None:
            return None
        records = dns.addresses_as_records(found)
        return [each for each in records if question.kind in {each[0], dns.ANY}]

    # --- everybody else's ------------------------------------------------------------------------------

    def _forward(self, door: Door, query: bytes, question: Question, done: Done, *, stream: bool) -> None:
        view = self._zones.view(door.key)
        servers = self._openers(door, view) if view is not None else []
        if view is not None and not view.outside and not servers:
            # As moby does for internal networks: nobody here recurses for you.
            door.counters.refused += 1
            done(dns.failure(query, dns.REFUSED, recursion=False))
            return
        if not servers or len(door.inquiries) >= OF_ONE or self._under_way >= OF_ALL:
            door.counters.failed += 1
            door.counters.last_error = "no server to ask" if not servers else "too many questions at once"
            done(dns.failure(query, dns.SERVFAIL))
            return
        door.counters.forwarded += 1
        if view is None or not view.guarded:
            self._inquire(door, query, servers, done, stream=stream)
            return

        def decided(allowed: bool) -> None:
            if not allowed:
                door.counters.refused += 1
                done(dns.failure(query, dns.REFUSED))
                return
            self._inquire(door, query, servers, opened, stream=stream)

        def opened(reply: bytes) -> None:
            addresses = dns.addresses_in(reply) if dns.is_settled(reply) else []
            message = {"do": "resolved", "id": door.key, "name": question.name, "addresses": addresses}
            self._have_decided(message, lambda _: done(reply))

        self._have_decided({"do": "may", "id": door.key, "name": question.name}, decided)

    def _inquire(
        self,
        door: Door,
        query: bytes,
        servers: Sequence[tuple[Server, Sequence[Opener]]],
        done: Done,
        *,
        stream: bool,
    ) -> None:
        def answered(reply: bytes) -> None:
            self._under_way -= 1
            door.inquiries.discard(inquiry)
            if not reply or not dns.is_settled(reply):
                door.counters.failed += 1
                errors = (f"{each.address}: {each.error or 'no answer'}" for each, _ in servers)
                door.counters.last_error = "; ".join(errors)
            done(reply or dns.failure(query, dns.SERVFAIL))

        self._under_way += 1
        inquiry = Inquiry(self._loop, self._timers, query, servers, answered, stream=stream)
        door.inquiries.add(inquiry)

    def _have_decided(self, message: dict[str, Any], call: Callable[[bool], None]) -> None:
        number = next(self._numbers)
        if not self._ask_engine({**message, "question": number}):
            call(False)
            return
        self._undecided[number] = call
        self._timers.after(DECISION, lambda: self.decided(number, allowed=False))

    def decided(self, number: int, *, allowed: bool) -> None:
        """The engine's decision about a question of a guarded network; fine where it comes too late."""
        call = self._undecided.pop(number, None)
        if call is not None:
            call(allowed)

    # --- servers ---------------------------------------------------------------------------------------

    def servers(self) -> list[Server]:
        """Every server that was asked so far."""
        return list(self._servers.values())

    def _openers(self, door: Door, view: View) -> list[tuple[Server, Sequence[Opener]]]:
        """Whom to ask, and from which network namespace.

        Servers of --dns and the host's are asked from the container's own namespace, where its routes and the
        rules for it hold; the host's loopback means the host. Where the container has no way (an IPv6 server,
        an IPv4 network), the host asks for it. A guarded network has no way to any server, and needs none: what it
        may ask was decided before, and the host asks for it.
        """
        inside, here = open_socket if view.guarded else door.open_inside, open_socket
        if view.servers:
            mine = [each for each in view.servers if each != names.EMBEDDED]
            return [(self._server(each), (inside,)) for each in mine]
        if not view.outside:
            return []
        return [
            (self._server(each), (here,) if names.is_loopback(each) else (inside, here))
            for each in self._host_servers()
        ]

    def _server(self, address: str) -> Server:
        found = self._servers.get(address)
        if found is None:
            if len(self._servers) >= _SERVERS_AT_MOST:
                del self._servers[next(iter(self._servers))]
            found = self._servers[address] = Server(address)
        return found

    def _host_servers(self) -> tuple[str, ...]:
        """The host's servers; its resolv.conf is read anew whenever it is another file or was changed."""
        try:
            status = os.stat(self._file)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._read_at:
                with open(self._file, encoding="utf-8", errors="replace") as file:
                    self._of_host = names.parse_resolver(file.read()).servers
                self._read_at = seen
        except OSError:
            pass  # while it is being replaced, the servers that were in it last
        return self._of_host


def turns(records: list[Record]) -> list[list[Record]]:
    """The orders in which several records are given in turn, so that clients which take the first spread out."""
    if len(records) < 2:
        return [records]
    return [records[at:] + records[:at] for at in range(min(len(records), _TURNS_AT_MOST))]
