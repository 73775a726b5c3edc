"""Server-sent events, as they arrive: in pieces cut anywhere."""

from __future__ import annotations

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_IGNORED = frozenset({b"", b"event", b"id", b"retry", b"data"})
"""Fields that no wire needs: comments have no name; `data` without a colon is an empty line of data."""
_LINE_COST = 48
"""Bytes that keeping a line takes beside its own."""


def _single(piece: bytes) -> bytes | None:
    """Return the data of a piece that is one whole event of one line of data, as most are; None for any other."""
    if not piece.startswith(b"data: "):
        return None
    if piece.endswith(b"\n\n"):
        data = piece[6:-2]
    elif piece.endswith(b"\r\n\r\n"):
        data = piece[6:-4]
    else:
        return None
    return None if b"\n" in data or b"\r" in data else data


class EventStream:
    """Cuts a byte stream into the data of its events (WHATWG HTML §9.2.6).

    Comments, ids and event names are dropped: no wire needs them. Lines may end in CRLF, LF or CR. Only those end a
    line: U+2028 and its like are ordinary text in JSON. A line that is no field at all counts as data, because Gemini
    has been seen to put a bare JSON error between its events. Time is linear in what is fed, however it is cut.
    """

    __slots__ = ("_data", "_held", "_skip_lf", "_start", "_tail")

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._tail = bytearray()
        """The beginning of a line whose end has not come."""
        self._data: list[bytes] = []
        """The data lines of an event whose end has not come."""
        self._held = 0
        """What those lines take, in bytes: counted as they come, for there may be millions."""
        self._start = True
        self._skip_lf = False
        """The last piece ended in CR: an LF that comes next belongs to it."""

    @property
    def pending(self) -> int:
        """Bytes of memory kept for an event whose end has not come."""
        return len(self._tail) + self._held

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and return the data of each event they complete."""
        if self._between and (data := _single(piece)) is not None:
            return [data]
        if b"\r" in piece or self._skip_lf:
            piece = self._unify_line_ends(piece)
        if b"\n" not in piece:
            self._tail += piece
            return []
        if self._tail:
            self._tail += piece
            piece = bytes(self._tail)
            self._tail.clear()
        lines = piece.split(b"\n")
        self._tail += lines.pop()
        return self._events(lines)

    @property
    def _between(self) -> bool:
        """Whether what comes next is the beginning of an event, and not of the stream."""
        return not (self._start or self._tail or self._data or self._skip_lf)

    def end(self) -> list[bytes]:
        """Return the event that the stream ended in without its closing blank line, if there is one.

        The specification drops such an event; providers that close early have sent complete JSON in it, so we keep it.
        """
        lines = [bytes(self._tail), b""] if self._tail else [b""]
        self._tail.clear()
        return self._events(lines)

    def _unify_line_ends(self, piece: bytes) -> bytes:
        if self._skip_lf and piece:
            piece = piece.removeprefix(b"\n")
            self._skip_lf = False
        self._skip_lf = self._skip_lf or piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        if self._start:
            self._start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._keep(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if self._data:
                    events.append(self._event())
            elif line.partition(b":")[0] not in _IGNORED:
                self._keep(line)
        return events

    def _keep(self, line: bytes) -> None:
        self._data.append(line)
        self._held += len(line) + _LINE_COST

    def _event(self) -> bytes:
        data = self._data
        event = data[0] if len(data) == 1 else b"\n".join(data)
        data.clear()
        self._held = 0
        return event
