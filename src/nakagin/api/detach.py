"""The key sequence by which a user leaves a terminal session without ending the process."""

from __future__ import annotations


class DetachKeys:
    """Finds the key sequence that ends a session in stdin that arrives in arbitrary pieces."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(bytes to pass on, whether the sequence is complete); the start of a sequence is held back."""
        data = self._held + data
        self._held = b""
        found = data.find(self._sequence)
        if found >= 0:
            return data[:found], True
        for length in range(min(len(self._sequence) - 1, len(data)), 0, -1):
            if data.endswith(self._sequence[:length]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False

    def rest(self) -> bytes:
        """What is still held back, at the end of the input."""
        held, self._held = self._held, b""
        return held
