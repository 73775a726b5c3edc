"""The log of one task in memory: a writer that can be held back, and one reader that drains."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from synapse.domain.events import CallDelta, Delta, Error, Event, Finish, Logprobs, Thought, Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.clock import Clock, Timer
    from synapse.domain.events import Entry

HIGH_WATER = 256 * 1024
"""Characters of text waiting for the reader at which the writer is held back."""
_ENTRY_COST = 64
"""What an entry counts beside its text, so that many tiny ones are bounded too."""
_NUMBER = 32
"""What a number of a vector counts: about the bytes that it takes in memory."""


class EventLog:
    """Entries on their way from one writer to one reader.

    What the reader has drained is gone. One wake-up, not one for each entry; the timer of a silent reader is set
    anew only when it fires, not at each entry.
    """

    __slots__ = (
        "_alarm",
        "_clock",
        "_deadline",
        "_entries",
        "_loop",
        "_reader",
        "_rings_at",
        "_room",
        "_weight",
        "ended",
    )

    def __init__(self, clock: Clock) -> None:
        """Begin empty, on the running event loop."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._weight = 0
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._alarm: Timer | None = None
        self._deadline = 0.0
        self._rings_at = 0.0
        self.ended = False

    @property
    def full(self) -> bool:
        """Whether the writer should wait for the reader."""
        return self._weight >= HIGH_WATER

    def append(self, entry: Entry) -> None:
        """Add an entry and wake the reader. Entries after the end are dropped: the end is what the reader goes by."""
        if self.ended:
            return
        self._entries.append(entry)
        event = entry[1]
        if type(event) is Delta:
            self._weight += len(event.text) + _ENTRY_COST
        elif type(event) is Finish or type(event) is Error:
            self.ended = True
            _resolve(self._room)
        else:
            self._weight += _weight(event) + _ENTRY_COST
        if self._reader is not None:
            _resolve(self._reader)

    async def room(self) -> None:
        """Wait until the reader has drained, or will not read any more."""
        while self.full and not self.ended:
            self._room = self._loop.create_future()
            await self._room

    def close(self) -> None:
        """Let go of everything: nobody reads any more."""
        self.ended = True
        self._entries.clear()
        self._weight = 0
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        _resolve(self._room)

    async def next(self, patience: float) -> Sequence[Entry]:
        """Drain, waiting up to `patience` seconds for something to drain."""
        if not self._entries and not self.ended:
            self._deadline = self._clock.monotonic() + patience
            if self._alarm is None or self._deadline < self._rings_at:
                self._set_alarm(patience)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._drain()

    def _drain(self) -> Sequence[Entry]:
        entries, self._entries = self._entries, []
        self._weight = 0
        if self._room is not None:
            _resolve(self._room)
        return entries

    def _set_alarm(self, patience: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = self._deadline
        self._alarm = self._clock.call_later(patience, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._reader is None:
            return
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            _resolve(self._reader)
        else:
            self._set_alarm(left)


def _weight(event: Event) -> int:
    match event:
        case Thought(text, _, redacted):
            return len(text) + len(redacted or "")
        case CallDelta():
            return len(event.arguments)
        case Logprobs(content):
            return len(bytes(content))
        case Vectors(vectors):
            return sum(len(vector) for vector in vectors) * _NUMBER
        case _:
            return 0


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
