"""The real clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from synapse.domain.clock import SystemClock

DELAYS = [0.0, 0.001, 0.019, 0.021, 0.03, 0.05]
"""Seconds; shorter and longer than the moment that a timer is young."""


async def elapsed(clock: SystemClock, delay: float) -> float:
    """Wait for a timer; return the seconds that it took."""
    over = asyncio.Event()
    started = clock.monotonic()
    clock.call_later(delay, over.set)
    await over.wait()
    return clock.monotonic() - started


def test_it_keeps_the_systems_time() -> None:
    """Both of them, in seconds."""
    clock = SystemClock()
    before, started = time.time(), time.monotonic()

    now, monotonic = clock.now(), clock.monotonic()

    assert before <= now <= time.time()
    assert started <= monotonic <= time.monotonic()


@pytest.mark.parametrize("delay", DELAYS)
async def test_a_callback_does_not_run_before_its_time(delay: float) -> None:
    """However short or long the delay is."""
    assert await elapsed(SystemClock(), delay) >= delay - time.get_clock_info("monotonic").resolution


async def test_callbacks_run_in_the_order_of_their_times() -> None:
    """Whatever order they were set in."""
    clock = SystemClock()
    ran: list[float] = []
    over = asyncio.Event()
    clock.call_later(0.09, over.set)
    for delay in (0.07, 0.03, 0.05, 0.001):
        clock.call_later(delay, lambda delay=delay: ran.append(delay))  # type: ignore[misc]  # bound now

    await over.wait()

    assert ran == [0.001, 0.03, 0.05, 0.07]


@pytest.mark.parametrize("age", DELAYS)
async def test_a_cancelled_callback_does_not_run(age: float) -> None:
    """Whether it is cancelled young or old; cancelling again is harmless."""
    clock = SystemClock()
    ran: list[str] = []
    over = asyncio.Event()
    timer = clock.call_later(0.06, lambda: ran.append("cancelled"))

    clock.call_later(age, timer.cancel)
    clock.call_later(age, timer.cancel)
    clock.call_later(0.07, over.set)
    await over.wait()

    assert ran == []


async def test_cancelling_what_has_run_is_harmless() -> None:
    """Young or old."""
    clock = SystemClock()
    for delay in DELAYS:
        ran = asyncio.Event()
        timer = clock.call_later(delay, ran.set)
        await ran.wait()

        timer.cancel()
