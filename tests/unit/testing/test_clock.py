"""The clock that tests own."""

from __future__ import annotations

import asyncio
from functools import partial

from synapse.testing import FakeClock


def test_time_stands_still_until_it_is_moved(clock: FakeClock) -> None:
    """Both times move together."""
    now, monotonic = clock.now(), clock.monotonic()
    assert (clock.now(), clock.monotonic()) == (now, monotonic)

    clock.advance(2.5)

    assert (clock.now(), clock.monotonic()) == (now + 2.5, monotonic + 2.5)


def test_callbacks_run_in_the_order_of_their_times(clock: FakeClock) -> None:
    """Each at its own time; those of one time in the order in which they were set."""
    ran: list[tuple[str, float]] = []

    def run(name: str) -> None:
        ran.append((name, clock.monotonic()))

    for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("also b", 2.0), ("later", 3.5)):
        clock.call_later(delay, partial(run, name))

    clock.advance(3.0)

    assert ran == [("a", 1.0), ("b", 2.0), ("also b", 2.0), ("c", 3.0)]
    assert clock.timers == 1


def test_what_a_callback_sets_runs_in_its_turn(clock: FakeClock) -> None:
    """Also within the same stretch of time."""
    ran: list[float] = []

    def again() -> None:
        ran.append(clock.monotonic())
        clock.call_later(1.0, again)

    again()
    clock.advance(3.5)

    assert ran == [0.0, 1.0, 2.0, 3.0]
    assert clock.monotonic() == 3.5


def test_a_cancelled_callback_does_not_run(clock: FakeClock) -> None:
    """Nor does it count among those to come; cancelling twice, or late, is harmless."""
    ran: list[str] = []
    timer = clock.call_later(1.0, lambda: ran.append("cancelled"))
    other = clock.call_later(1.0, lambda: ran.append("other"))
    timer.cancel()
    timer.cancel()
    assert clock.timers == 1

    clock.advance(5.0)
    other.cancel()

    assert ran == ["other"]
    assert clock.timers == 0


def test_a_time_that_has_passed_is_now(clock: FakeClock) -> None:
    """A negative delay runs with the next movement, and moves no time back."""
    ran: list[float] = []
    clock.advance(1.0)
    clock.call_later(-5.0, lambda: ran.append(clock.monotonic()))

    clock.advance(0.0)

    assert ran == [1.0]


async def test_time_elapses_as_it_really_does(clock: FakeClock) -> None:
    """A task that a timer wakes does its work before the next timer goes off."""
    heard: list[float] = []

    async def ticks() -> None:
        while True:
            woken = asyncio.Event()
            clock.call_later(1.0, woken.set)
            await woken.wait()
            heard.append(clock.monotonic())

    ticking = asyncio.ensure_future(ticks())
    await clock.elapse(3.5)

    assert heard == [1.0, 2.0, 3.0]
    ticking.cancel()


async def test_no_time_elapsing_lets_what_is_ready_run(clock: FakeClock) -> None:
    """Tasks that wait for each other come to rest."""
    ready = [asyncio.Event() for _ in range(10)]

    async def pass_on(number: int) -> None:
        await ready[number].wait()
        ready[number + 1].set()

    tasks = [asyncio.ensure_future(pass_on(number)) for number in reversed(range(9))]
    ready[0].set()

    await clock.elapse(0.0)

    assert ready[-1].is_set()
    await asyncio.gather(*tasks)
