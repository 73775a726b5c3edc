"""A caller that follows its task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from synapse.brokers.base import Subscription
from synapse.domain.errors import SynapseError
from synapse.domain.events import Entry, Error, Finish
from synapse.domain.task import Task

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

_PROMPTLY = 5.0
"""Real seconds within which everything happens that is not waited for on the setting's clock."""


async def promptly(awaitable: Awaitable[T], what: str) -> T:
    """Await what needs no time to pass. Raises AssertionError when it does not come."""
    try:
        async with asyncio.timeout(_PROMPTLY):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


async def refused(kind: type[E], awaitable: Awaitable[object]) -> E:
    """Await what must raise; return the exception."""
    try:
        await promptly(awaitable, f"the refusal with {kind.__name__}")
    except kind as exc:
        return exc
    raise AssertionError(f"{kind.__name__} was not raised")


class Reader:
    """A caller that follows its task, and all it has read."""

    def __init__(self, task: Task, subscription: Subscription) -> None:
        """Take the task and its subscription, which is entered already."""
        self.task = task
        self.entries: list[Entry] = []
        self._subscription = subscription
        self._open = True

    async def read(self) -> Sequence[Entry]:
        """Read what has come, or what comes next; it must come without any passing of time."""
        entries = await promptly(self._subscription.next(3600.0), f"an entry of {self.task.id}")
        self.entries += entries
        return entries

    async def wait(self, patience: float) -> Sequence[Entry]:
        """Read, with some patience in seconds of the setting's clock."""
        entries = await self._subscription.next(patience)
        self.entries += entries
        return entries

    async def read_to_the_end(self) -> list[Entry]:
        """Read until the log has ended; return all there was, from the beginning."""
        while not self.ended:
            await self.read()
        return self.entries

    async def error(self) -> SynapseError:
        """Read until the log has ended; return the error it ends with."""
        last = (await self.read_to_the_end())[-1][1]
        assert isinstance(last, Error), f"{self.task.id} ended with {last}, not with an error"
        return last.error

    @property
    def ended(self) -> bool:
        """Whether the last entry has been read."""
        return bool(self.entries) and isinstance(self.entries[-1][1], (Finish, Error))

    async def leave(self) -> None:
        """Stop reading."""
        if self._open:
            self._open = False
            await self._subscription.__aexit__(None, None, None)
