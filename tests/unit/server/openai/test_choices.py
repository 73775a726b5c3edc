"""The logs of several choices, read together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import pytest

from synapse.brokers.log import HIGH_WATER, EventLog
from synapse.domain.events import Delta, Entry, Finish, FinishReason
from synapse.server.http.openai.choices import ManyChoices, OneChoice
from synapse.testing import FakeClock

END: Entry = ((1, 9), Finish(FinishReason.STOP))


def word(text: str) -> Entry:
    """Return an entry of a log."""
    return (1, 1), Delta(text)


class Reading:
    """The reader of a log."""

    def __init__(self, log: EventLog) -> None:
        """Read it."""
        self.next = log.next

    async def __aenter__(self) -> Self:
        """Begin to read."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""


class Broken(Reading):
    """A reader that fails."""

    def __init__(self) -> None:
        """Begin."""

    async def next(self, patience: float) -> Sequence[Entry]:  # type: ignore[override]
        """Fail."""
        raise ValueError(f"no more than {patience}")


async def test_one_choice_is_its_log(clock: FakeClock) -> None:
    """Silence too."""
    log = EventLog(clock)
    choice = OneChoice(Reading(log))
    log.append(word("a"))

    assert list(await choice.next(1.0)) == [(0, [word("a")])]
    silent = asyncio.ensure_future(choice.next(1.0))
    await clock.elapse(1.0)
    assert list(await silent) == [(0, [])]


async def test_what_has_come_from_all_comes_together(clock: FakeClock) -> None:
    """Each batch with the choice it is of; a log that has ended is asked no more."""
    logs = [EventLog(clock) for _ in range(3)]
    async with ManyChoices([Reading(log) for log in logs]) as choices:
        logs[2].append(word("c"))
        logs[0].append(word("a"))
        assert sorted(await choices.next(1.0)) == [(0, [word("a")]), (2, [word("c")])]

        logs[2].append(END)
        assert list(await choices.next(1.0)) == [(2, [END])]
        logs[1].append(word("b"))
        logs[1].append(END)
        assert list(await choices.next(1.0)) == [(1, [word("b"), END])]
        logs[0].append(END)
        assert list(await choices.next(1.0)) == [(0, [END])]


async def test_the_silence_of_each_is_told(clock: FakeClock) -> None:
    """Also while others speak: its task may wait yet."""
    logs = [EventLog(clock) for _ in range(2)]
    async with ManyChoices([Reading(log) for log in logs]) as choices:
        first = asyncio.ensure_future(choices.next(2.0))
        await clock.elapse(1.0)
        logs[0].append(word("a"))
        assert list(await first) == [(0, [word("a")])]

        second = asyncio.ensure_future(choices.next(5.0))
        await clock.elapse(1.0)

        assert list(await second) == [(1, [])]


async def test_a_reader_that_is_slow_holds_back_the_writers(clock: FakeClock) -> None:
    """No more is taken out of a log than is asked for."""
    logs = [EventLog(clock) for _ in range(2)]
    async with ManyChoices([Reading(log) for log in logs]) as choices:
        logs[0].append(word("a"))
        await choices.next(1.0)
        for _ in range(3):
            logs[0].append(word("x" * HIGH_WATER))
            await clock.elapse(0.0)

        assert logs[0].full


async def test_nothing_reads_any_more_when_it_is_left(clock: FakeClock) -> None:
    """In the middle of the logs."""
    before = asyncio.all_tasks()
    logs = [EventLog(clock) for _ in range(2)]
    async with ManyChoices([Reading(log) for log in logs]) as choices:
        logs[0].append(word("a"))
        await choices.next(1.0)
        assert len(asyncio.all_tasks()) == len(before) + 2

    assert asyncio.all_tasks() == before


async def test_nobody_waits_for_a_reader_that_broke(clock: FakeClock) -> None:
    """What broke it is raised."""
    async with ManyChoices([Reading(EventLog(clock)), Broken()]) as choices:
        with pytest.raises(ValueError, match=r"no more than 1\.0"):
            await choices.next(1.0)
