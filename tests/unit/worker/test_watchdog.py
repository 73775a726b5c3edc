"""What ends an attempt that stands still or takes too long."""

from __future__ import annotations

import asyncio

import pytest

from synapse.testing import FakeClock
from synapse.worker.watchdog import Bite, Watchdog


class Watched:
    """A task of the event loop that does nothing under a watchdog."""

    def __init__(self, clock: FakeClock, *, stall: float = 60.0, limit: float = 3600.0) -> None:
        """Begin to do nothing."""
        self.dog = Watchdog(clock, stall=stall, limit=limit)
        self.after = False
        self.task = asyncio.ensure_future(self._stand_still())

    async def _stand_still(self) -> Bite | None:
        with self.dog:
            await asyncio.get_running_loop().create_future()
        self.after = True
        await asyncio.sleep(0)  # where a cancellation that was not taken back would strike
        return self.dog.bite


async def test_standing_still_is_ended(clock: FakeClock) -> None:
    """After the stall's seconds, not before; the block's task goes on behind it."""
    watched = Watched(clock, stall=60.0)
    await clock.elapse(59.9)
    assert not watched.task.done()

    await clock.elapse(0.1)

    assert await watched.task is Bite.STALLED
    assert watched.task.cancelling() == 0
    assert clock.timers == 0


async def test_progress_puts_the_stall_off(clock: FakeClock) -> None:
    """The seconds count from the last move, and moving sets no timers."""
    watched = Watched(clock, stall=60.0)
    for _ in range(10):
        await clock.elapse(59.0)
        watched.dog.progress()
        assert clock.timers == 1
    await clock.elapse(59.9)
    assert not watched.task.done()

    await clock.elapse(0.1)

    assert await watched.task is Bite.STALLED


async def test_taking_too_long_is_ended_however_much_moves(clock: FakeClock) -> None:
    """The limit counts from the beginning."""
    watched = Watched(clock, stall=60.0, limit=100.0)
    for _ in range(9):
        await clock.elapse(11.0)
        watched.dog.progress()
    assert not watched.task.done()

    await clock.elapse(1.0)

    assert await watched.task is Bite.OVERDUE
    assert clock.timers == 0


async def test_a_limit_shorter_than_the_stall_ends_first(clock: FakeClock) -> None:
    """What stands still past its limit is overdue, not stalled."""
    watched = Watched(clock, stall=60.0, limit=30.0)

    await clock.elapse(30.0)

    assert await watched.task is Bite.OVERDUE


async def test_resting_is_no_standing_still(clock: FakeClock) -> None:
    """What somebody else is waited for does not count; the stall begins anew with the next progress."""
    watched = Watched(clock, stall=60.0)
    await clock.elapse(50.0)
    watched.dog.rest()
    await clock.elapse(500.0)
    assert not watched.task.done()

    watched.dog.progress()
    await clock.elapse(59.0)
    assert not watched.task.done()
    await clock.elapse(1.0)
    assert await watched.task is Bite.STALLED


async def test_rest_does_not_outlast_the_limit(clock: FakeClock) -> None:
    """A task has its timeout, whoever is waited for."""
    watched = Watched(clock, stall=60.0, limit=100.0)
    await clock.elapse(0.0)
    watched.dog.rest()

    await clock.elapse(100.0)

    assert await watched.task is Bite.OVERDUE


async def test_a_shorter_patience_holds_from_when_it_is_told(clock: FakeClock) -> None:
    """The timer of the longer one is not waited for, and there is one timer still."""
    watched = Watched(clock, stall=120.0)
    await clock.elapse(100.0)
    watched.dog.progress()
    watched.dog.expect(60.0)
    assert clock.timers == 1
    await clock.elapse(59.9)
    assert not watched.task.done()

    await clock.elapse(0.1)

    assert await watched.task is Bite.STALLED
    assert watched.dog.stall == 60.0
    assert clock.timers == 0


async def test_a_longer_patience_holds_too(clock: FakeClock) -> None:
    """When the shorter one's timer goes off, what is left of the longer one is waited for."""
    watched = Watched(clock, stall=30.0)
    await clock.elapse(20.0)
    watched.dog.progress()
    watched.dog.expect(60.0)
    await clock.elapse(59.9)
    assert not watched.task.done()

    await clock.elapse(0.1)

    assert await watched.task is Bite.STALLED


async def test_another_patience_does_not_count_as_progress(clock: FakeClock) -> None:
    """The seconds go on from the last move; those that have passed already are over when the loop next turns."""
    for passed, left in ((20.0, 40.0), (80.0, 0.0)):
        watched = Watched(clock, stall=120.0)
        await clock.elapse(passed)
        watched.dog.expect(60.0)
        if left:
            await clock.elapse(left - 0.1)
            assert not watched.task.done()
            await clock.elapse(0.1)
        else:
            await clock.elapse(0.0)

        assert await watched.task is Bite.STALLED


async def test_another_patience_does_not_outlast_the_limit(clock: FakeClock) -> None:
    """A task has its timeout, whatever its provider is allowed."""
    watched = Watched(clock, stall=120.0, limit=100.0)
    await clock.elapse(90.0)
    watched.dog.progress()
    watched.dog.expect(60.0)

    await clock.elapse(10.0)

    assert await watched.task is Bite.OVERDUE


async def test_a_shorter_patience_is_none_for_who_rests(clock: FakeClock) -> None:
    """What somebody else is waited for does not count by the new patience either."""
    watched = Watched(clock, stall=120.0)
    await clock.elapse(0.0)
    watched.dog.rest()
    watched.dog.expect(60.0)
    await clock.elapse(500.0)
    assert not watched.task.done()

    watched.dog.progress()
    await clock.elapse(60.0)

    assert await watched.task is Bite.STALLED


async def test_a_patience_of_nothing_strikes_nobody_behind_the_block(clock: FakeClock) -> None:
    """What is told when no time is left is acted on when the block waits, not when it has ended."""
    with Watchdog(clock, stall=60.0, limit=3600.0) as dog:
        dog.expect(0.0)

    assert dog.bite is None
    await asyncio.sleep(0)
    assert clock.timers == 0


async def test_a_cancellation_from_outside_passes_through(clock: FakeClock) -> None:
    """It is not the watchdog's to swallow."""
    watched = Watched(clock)
    await clock.elapse(1.0)

    watched.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await watched.task
    assert not watched.after
    assert watched.dog.bite is None
    assert clock.timers == 0


async def test_a_cancellation_from_outside_at_the_same_time_passes_through(clock: FakeClock) -> None:
    """Whoever else cancelled is heard, though the watchdog had bitten already."""
    watched = Watched(clock, stall=60.0)
    await clock.elapse(0.0)
    clock.advance(60.0)
    assert watched.dog.bite is Bite.STALLED

    watched.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await watched.task
    assert not watched.after


async def test_an_earlier_cancellation_does_not_count(clock: FakeClock) -> None:
    """A block that runs while its task is being cancelled, as clean-up does, can be watched all the same."""

    async def clean_up() -> Bite | None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            dog = Watchdog(clock, stall=60.0, limit=3600.0)
            with dog:
                await asyncio.get_running_loop().create_future()
            return dog.bite
        return None

    task = asyncio.ensure_future(clean_up())
    await clock.elapse(0.0)
    task.cancel()
    await clock.elapse(60.0)

    assert await task is Bite.STALLED


async def test_errors_pass_through(clock: FakeClock) -> None:
    """What the block raises is raised, and no timer stays."""
    with pytest.raises(ZeroDivisionError), Watchdog(clock, stall=60.0, limit=3600.0):
        raise ZeroDivisionError

    assert clock.timers == 0


async def test_an_error_that_answers_the_bite_passes_through(clock: FakeClock) -> None:
    """A block that fails at being ended fails; its task is not left cancelled."""

    async def fail() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    async def watch() -> str:
        try:
            with Watchdog(clock, stall=60.0, limit=3600.0):
                await fail()
        except ZeroDivisionError:
            await asyncio.sleep(0)
            return "failed"
        return "ended"

    task = asyncio.ensure_future(watch())
    await clock.elapse(60.0)

    assert await task == "failed"


async def test_a_block_that_ends_in_time_is_left_alone(clock: FakeClock) -> None:
    """No bite, no timer, no cancellation later."""
    with Watchdog(clock, stall=60.0, limit=3600.0) as dog:
        await asyncio.sleep(0)

    assert dog.bite is None
    assert clock.timers == 0
    await clock.elapse(10_000.0)


@pytest.mark.parametrize("limit", [0.0, -1.0])
async def test_without_time_left_a_block_that_waits_is_ended(clock: FakeClock, limit: float) -> None:
    """A limit that has passed before the beginning ends the first wait."""
    watched = Watched(clock, limit=limit)

    await clock.elapse(0.0)

    assert await watched.task is Bite.OVERDUE


async def test_without_time_left_a_block_that_never_waits_has_no_aftermath(clock: FakeClock) -> None:
    """What is done before anybody could end it is done: nothing strikes behind the block."""
    with Watchdog(clock, stall=60.0, limit=0.0):
        pass

    await asyncio.sleep(0)
    assert clock.timers == 0


async def test_a_watchdog_needs_somebody_to_watch(clock: FakeClock) -> None:
    """Outside a task there is nobody to end: that is said, not found out when the time has come."""
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def watch_nobody() -> None:
        try:
            with Watchdog(clock, stall=60.0, limit=60.0):
                said.set_result("nothing")
        except RuntimeError as exc:
            said.set_result(str(exc))

    asyncio.get_running_loop().call_soon(watch_nobody)

    assert "a watchdog watches the asyncio task" in await said
    assert clock.timers == 0
