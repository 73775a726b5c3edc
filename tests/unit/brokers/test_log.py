"""The log of one task in memory."""

from __future__ import annotations

import asyncio

import pytest

from synapse.brokers.log import HIGH_WATER, EventLog
from synapse.domain.errors import Cancelled
from synapse.domain.events import Delta, Entry, Error, Finish, FinishReason
from synapse.testing import FakeClock

FINISH = Finish(FinishReason.STOP)


@pytest.fixture
async def log(clock: FakeClock) -> EventLog:
    """Return an empty log."""
    return EventLog(clock)


def entry(number: int, text: str = "x") -> Entry:
    """Make a delta of the first run."""
    return ((1, number), Delta(text))


async def test_what_is_there_is_drained_at_once(log: EventLog, clock: FakeClock) -> None:
    """Without a timer, in order, once."""
    log.append(entry(1))
    log.append(entry(2))

    assert await log.next(5.0) == [entry(1), entry(2)]
    assert clock.timers == 0


async def test_many_entries_wake_the_reader_once(log: EventLog, clock: FakeClock) -> None:
    """All that is written before the reader runs is read together."""
    reading = asyncio.ensure_future(log.next(5.0))
    await clock.elapse(0.0)

    for number in range(1, 4):
        log.append(entry(number))

    assert await reading == [entry(1), entry(2), entry(3)]


async def test_a_busy_log_keeps_one_timer(log: EventLog, clock: FakeClock) -> None:
    """Waits that entries end set no timers of their own."""
    for number in range(1, 20):
        reading = asyncio.ensure_future(log.next(5.0))
        await clock.elapse(0.1)
        log.append(entry(number))
        await reading
        assert clock.timers == 1

    await clock.elapse(100.0)
    assert clock.timers == 0


async def test_a_timer_left_over_disturbs_nobody(log: EventLog, clock: FakeClock) -> None:
    """When it goes off while nobody waits, nothing happens; when somebody does, only at the new wait's end."""
    reading = asyncio.ensure_future(log.next(5.0))
    await clock.elapse(1.0)
    log.append(entry(1))
    await reading
    reading = asyncio.ensure_future(log.next(5.0))

    await clock.elapse(4.5)
    assert not reading.done()
    await clock.elapse(0.5)

    assert await reading == []


async def test_a_reader_that_is_cancelled_can_read_again(log: EventLog, clock: FakeClock) -> None:
    """Nothing is lost with the wait, and nobody is woken who has gone."""
    reading = asyncio.ensure_future(log.next(5.0))
    await clock.elapse(0.0)
    reading.cancel()
    await clock.elapse(0.0)
    assert reading.cancelled()

    await clock.elapse(5.0)
    log.append(entry(1))

    assert await log.next(5.0) == [entry(1)]


@pytest.mark.parametrize("last", [FINISH, Error(Cancelled("gone"))], ids=["finish", "error"])
async def test_nothing_follows_the_end(log: EventLog, last: Finish | Error) -> None:
    """Later entries are dropped, and there is nothing to wait for."""
    log.append(entry(1))
    log.append(((1, 2), last))
    log.append(entry(3))

    assert log.ended
    assert await log.next(5.0) == [entry(1), ((1, 2), last)]
    assert await log.next(5.0) == []


async def test_a_writer_waits_from_the_high_water_mark_on(log: EventLog, clock: FakeClock) -> None:
    """There is room below it; at it, when the reader has drained."""
    log.append(entry(1, "x" * (HIGH_WATER - 1000)))
    assert not log.full
    await log.room()
    log.append(entry(2, "x" * 1000))
    assert log.full
    writing = asyncio.ensure_future(log.room())
    await clock.elapse(100.0)
    assert not writing.done()

    await log.next(5.0)

    await writing
    assert not log.full


async def test_what_waits_for_a_slow_reader_is_bounded_also_in_entries(log: EventLog) -> None:
    """Empty deltas have a weight too."""
    count = 0
    while not log.full:
        count += 1
        log.append(entry(count, ""))

    assert count <= HIGH_WATER / 64


@pytest.mark.parametrize("how", ["end", "close"])
async def test_a_writer_does_not_wait_for_a_reader_that_reads_no_more(
    log: EventLog, clock: FakeClock, how: str
) -> None:
    """When the log has ended or its reader has gone, the held-back writer goes on."""
    log.append(entry(1, "x" * HIGH_WATER))
    writing = asyncio.ensure_future(log.room())
    await clock.elapse(0.0)

    if how == "end":
        log.append(((1, 2), FINISH))
    else:
        log.close()

    await writing
    await log.room()


async def test_a_writer_that_is_cancelled_leaves_no_trace(log: EventLog, clock: FakeClock) -> None:
    """The reader drains, and the next writer waits as the first one did."""
    log.append(entry(1, "x" * HIGH_WATER))
    writing = asyncio.ensure_future(log.room())
    await clock.elapse(0.0)
    writing.cancel()
    await clock.elapse(0.0)
    again = asyncio.ensure_future(log.room())
    await clock.elapse(0.0)

    assert len(await log.next(5.0)) == 1

    await again


async def test_a_closed_log_holds_nothing(log: EventLog, clock: FakeClock) -> None:
    """No entries, no timer; what is still written is dropped."""
    reading = asyncio.ensure_future(log.next(5.0))
    await clock.elapse(0.0)
    log.append(entry(1))
    await reading
    log.append(entry(2))

    log.close()
    log.append(entry(3))

    assert clock.timers == 0
    assert await log.next(5.0) == []
