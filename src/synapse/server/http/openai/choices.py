"""The logs of tasks that are the choices of one answer, read together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from synapse.domain.events import Entry, Error, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from synapse.brokers.base import Subscription

    Batch = tuple[int, Sequence[Entry]]
    """What was drained from the log of one choice, by its index; nothing, where it is silent."""


class OneChoice:
    """The usual case: there is only one log."""

    __slots__ = ("_log",)

    def __init__(self, log: Subscription) -> None:
        """Take the log."""
        self._log = log

    async def next(self, patience: float) -> Sequence[Batch]:
        """Return what has come; nothing of it, when `patience` seconds passed."""
        return ((0, await self._log.next(patience)),)


class ManyChoices:
    """Several logs. One asyncio task reads each of them for as long as it lasts."""

    def __init__(self, logs: Sequence[Subscription]) -> None:
        """Take the logs, in the order of the choices."""
        self._logs = logs
        self._patience = 0.0
        self._batches: list[Batch] = []
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []

    async def next(self, patience: float) -> Sequence[Batch]:
        """Return what has come from any of them; at least one batch.

        That a log was silent for `patience` seconds is told too, by nothing having come from it.
        """
        self._patience = patience
        if not self._readers:
            self._readers = [self._begin(index, log) for index, log in enumerate(self._logs)]
        await self._arrived.wait()
        for reader in self._readers:
            if reader.done():
                reader.result()
        self._arrived.clear()
        batches, self._batches = self._batches, []
        taken, self._taken = self._taken, asyncio.Event()
        taken.set()
        return batches

    def _begin(self, index: int, log: Subscription) -> asyncio.Task[None]:
        reader = asyncio.get_running_loop().create_task(self._read(index, log))
        reader.add_done_callback(self._look_at)
        return reader

    def _look_at(self, reader: asyncio.Task[None]) -> None:
        """Let nobody wait for a reader that broke."""
        if not reader.cancelled() and reader.exception() is not None:
            self._arrived.set()

    async def _read(self, index: int, log: Subscription) -> None:
        """Hand on what one log has, and no more than is taken: what nobody takes is to hold back its writer."""
        ended = False
        while not ended:
            entries = await log.next(self._patience)
            ended = bool(entries) and isinstance(entries[-1][1], Finish | Error)
            taken = self._taken
            self._batches.append((index, entries))
            self._arrived.set()
            await taken.wait()

    async def __aenter__(self) -> Self:
        """Begin; nothing is read before something is asked for."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
