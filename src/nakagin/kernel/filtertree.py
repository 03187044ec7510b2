"""A seccomp filter made short: which answer each range of system call numbers gets, as a tree of few instructions.

The kernel walks a filter once for every system call it knows, translates and compiles it, all at installation, in
every container and every exec. libseccomp spends an instruction or two on each call of the section; neighbours nearly
always share their answer. What looks at arguments is taken over as it is.
Source: classic BPF, the kernel's networking/filter.rst.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    Instruction = tuple[int, int, int, int]
    # An answer: ("ret", value), or ("at", index) where the rest of the old program decides, which reads arguments.
    Answer = tuple[str, int]
    Ranges = list[tuple[int, Answer]]

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP, _IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_BITS = 0x05, 0x15, 0x25, 0x35, 0x45
_RANGED = frozenset({_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST})
_CONDITIONS = _RANGED | {_IF_BITS}
# struct seccomp_data of linux/seccomp.h
_NUMBER, _ARCHITECTURE, _FIRST_BEYOND = 0, 4, 8
_HIGHEST = 0xFFFFFFFF
# A conditional jump's reach, in instructions.
_REACH = 255


class _Unknown(Exception):
    """The program does something that is not understood here."""


def shorten(program: bytes) -> bytes:
    """A program with the same answer to every system call; the same one where it is not understood or not longer.

    `program` is an array of struct sock_filter that ends in returns, as libseccomp exports it.
    """
    code = list(struct.iter_unpack("=HBBI", program))
    try:
        short = _write(code)
    except _Unknown:
        return program
    return b"".join(struct.pack("=HBBI", *each) for each in short) if len(short) < len(code) else program


def _write(code: list[Instruction]) -> list[Instruction]:
    backward = _Backward(code)
    architectures = _architectures(code)
    start = backward.tree(_ranges(code, None))
    for each in reversed(architectures):
        block = backward.tree(_ranges(code, each))
        start = backward.branch(_IF_EQUAL, each, block, start)
    backward.put((_LOAD, 0, 0, _ARCHITECTURE))
    return backward.forward()


def _architectures(code: list[Instruction]) -> list[int]:
    """What the program compares the architecture with, in its order."""
    found: dict[int, None] = {}
    holds: list[set[int]] = [set() for _ in code]  # what the accumulator may hold: the offset that was loaded
    for index, (kind, when, otherwise, k) in enumerate(code):
        after = {k} if kind == _LOAD else holds[index]
        if kind == _IF_EQUAL and _ARCHITECTURE in after:
            found[k] = None
        for target in _targets(index, kind, when, otherwise, k):
            if target >= len(code):
                raise _Unknown
            holds[target] |= after
    return list(found)


def _targets(index: int, kind: int, when: int, otherwise: int, k: int) -> tuple[int, ...]:
    """Where the program may go on."""
    if kind == _RETURN:
        return ()
    if kind == _JUMP:
        return (index + 1 + k,)
    if kind in _CONDITIONS:
        return (index + 1 + when, index + 1 + otherwise)
    if kind in (_LOAD, _AND):
        return (index + 1,)
    raise _Unknown


def _ranges(code: list[Instruction], architecture: int | None) -> Ranges:
    """The first number of each range and its answer, ascending.

    `architecture` is None for one that the program does not name.
    """
    found: Ranges = []

    def walk(index: int, holds: int, first: int, last: int) -> None:
        while True:
            kind, when, otherwise, k = code[index]
            if kind == _RETURN or (kind == _LOAD and k >= _FIRST_BEYOND):
                what = ("ret", k) if kind == _RETURN else ("at", index)
                if not found or found[-1][1] != what:
                    found.append((first, what))
                return
            index += 1
            if kind == _LOAD:
                holds = k
            elif kind == _JUMP:
                index += k
            elif kind == _IF_EQUAL and holds == _ARCHITECTURE:
                index += when if k == architecture else otherwise
            elif holds == _NUMBER:
                *before, (branch, first, last) = _split(kind, k, first, last)
                for true, lowest, highest in before:
                    walk(index + (when if true else otherwise), holds, lowest, highest)
                index += when if branch else otherwise
            else:
                raise _Unknown

    walk(0, -1, 0, _HIGHEST)
    return found


def _split(kind: int, k: int, first: int, last: int) -> list[tuple[bool, int, int]]:
    """Where a condition is true and where not among the numbers from `first` to `last`, ascending."""
    if kind not in _RANGED:
        raise _Unknown
    lowest = k + 1 if kind == _IF_GREATER else k
    highest = k if kind == _IF_EQUAL else _HIGHEST
    parts = [(False, first, lowest - 1), (True, lowest, highest), (False, highest + 1, last)]
    within = [(true, max(low, first), min(high, last)) for true, low, high in parts]
    return [part for part in within if part[1] <= part[2]]


class _Backward:
    """Writes a program from its end: jumps go forward only, so every target is there before what jumps to it.

    A place is the number of instructions from there to the end.
    """

    def __init__(self, code: list[Instruction]) -> None:
        self._code = code
        self._written: list[Instruction] = []
        self._answers: dict[Answer, int] = {}

    def forward(self) -> list[Instruction]:
        """The whole program."""
        return self._written[::-1]

    def put(self, instruction: Instruction) -> int:
        """Write one in front; its place."""
        self._written.append(instruction)
        return len(self._written)

    def branch(self, condition: int, k: int, when: int, otherwise: int) -> int:
        """A conditional jump to two places, by way of a longer jump where one is out of reach."""
        when = self._near(when)
        otherwise = self._near(otherwise)
        when = self._near(when)  # the jump for the other may have moved it out of reach
        here = len(self._written)
        return self.put((condition, here - when, here - otherwise, k))

    def _near(self, place: int) -> int:
        distance = len(self._written) - place
        return place if distance < _REACH else self.put((_JUMP, 0, 0, distance))

    def tree(self, ranges: Ranges) -> int:
        """The search for a number's range, its loading included."""
        place = self._search(ranges)
        if len(ranges) == 1:
            return place
        self._follow(place)
        return self.put((_LOAD, 0, 0, _NUMBER))

    def _search(self, ranges: Ranges) -> int:
        if len(ranges) == 1:
            return self._answer(ranges[0][1])
        middle = len(ranges) // 2
        above = self._search(ranges[middle:])
        below = self._search(ranges[:middle])
        return self.branch(_IF_AT_LEAST, ranges[middle][0], above, below)

    def _answer(self, what: Answer) -> int:
        """The place of an answer: a return is written anew where the last one is far, for a jump is no shorter."""
        kind, value = what
        place = self._answers.get(what)
        if place is None or (kind == "ret" and len(self._written) - place >= _REACH // 2):
            place = self.put((_RETURN, 0, 0, value)) if kind == "ret" else self._copy(value)
            self._answers[what] = place
        return place

    def _copy(self, start: int) -> int:
        """What the old program does from `start` on."""
        reached: set[int] = set()
        waiting = [start]
        while waiting:
            index = waiting.pop()
            if index not in reached:
                reached.add(index)
                waiting += _targets(index, *self._code[index])
        places: dict[int, int] = {}
        for index in sorted(reached, reverse=True):
            kind, _, _, k = self._code[index]
            targets = [places[each] for each in _targets(index, *self._code[index])]
            if kind in _CONDITIONS:
                places[index] = self.branch(kind, k, *targets)
            elif kind == _JUMP:
                places[index] = targets[0]
            elif kind == _RETURN:
                places[index] = self._answer(("ret", k))
            else:
                self._follow(targets[0])
                places[index] = self.put(self._code[index])
        return places[start]

    def _follow(self, place: int) -> None:
        """Have the next instruction written run on into `place`."""
        if place != len(self._written):
            self.put((_JUMP, 0, 0, len(self._written) - place))
