"""What travels inside an answer's body: Docker's multiplexed output frames and sequences of JSON documents.

Both decoders are fed bytes in any pieces and give back what is complete; they know no socket.
"""

from __future__ import annotations

from nakagin.errors import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
_HEADER = 8


class Demultiplexer:
    """Splits frames `[stream, 0, 0, 0, length (big endian)] payload`; payloads come in pieces, as they arrive."""

    __slots__ = ("_buffer", "_remaining", "_stream")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = STDOUT
        self._remaining = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (stream, bytes) pieces that `data` completes; Damaged when it is not such a stream."""
        self._buffer += data
        pieces: list[tuple[int, bytes]] = []
        start, end = 0, len(self._buffer)
        while start < end:
            if not self._remaining:
                if end - start < _HEADER:
                    break
                self._stream = self._buffer[start]
                if self._stream > SYSTEM_ERROR or any(self._buffer[start + 1 : start + 4]):
                    raise Damaged(
                        f"not a frame of container output: {bytes(self._buffer[start : start + 8])!r}"
                    )
                self._remaining = int.from_bytes(self._buffer[start + 4 : start + 8], "big")
                start += _HEADER
                continue
            piece = bytes(self._buffer[start : start + self._remaining])
            start += len(piece)
            self._remaining -= len(piece)
            pieces.append((self._stream, piece))
        del self._buffer[:start]
        return pieces

    @property
    def inside_frame(self) -> bool:
        """The stream may not end here: a frame has begun and is not complete."""
        return bool(self._buffer or self._remaining)


class JSONSequence:
    """Splits concatenated JSON documents, with or without line breaks between (events, stats, progress)."""

    __slots__ = ("_decoder", "_text", "_undecoded")

    def __init__(self) -> None:
        from json import JSONDecoder  # its import is dear, and run and ps have no sequences to read

        self._decoder = JSONDecoder()
        self._text = ""
        self._undecoded = b""

    def feed(self, data: bytes) -> list[Any]:
        """The documents that `data` completes."""
        data = self._undecoded + data
        # Decode only up to the last line end or brace: a UTF-8 character may be cut in two at the end.
        whole = max(data.rfind(b"\n"), data.rfind(b"}")) + 1
        self._undecoded = data[whole:]
        self._text += data[:whole].decode("utf-8", "replace")
        documents: list[Any] = []
        position = self._skip(0)
        while position < len(self._text):
            try:
                document, position = self._decoder.raw_decode(self._text, position)
            except ValueError:
                break
            documents.append(document)
            position = self._skip(position)
        self._text = self._text[position:]
        return documents

    def _skip(self, position: int) -> int:
        while position < len(self._text) and self._text[position] in " \r\n\t":
            position += 1
        return position

    @property
    def inside_document(self) -> bool:
        """The stream may not end here."""
        return bool(self._text.strip() or self._undecoded.strip())
