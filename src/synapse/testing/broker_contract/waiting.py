"""What those who wait are told: where they stand, when they are likely to start, and that they would wait in vain."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import Place
from synapse.domain.caller import Band
from synapse.domain.errors import WaitTooLong
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Quota, Violation
from synapse.domain.task import TaskState
from synapse.scheduling.account import SPAN
from synapse.scheduling.quota import DAY
from synapse.scheduling.settlement import Retry
from synapse.testing.broker_contract.props import keys, make_task
from synapse.testing.broker_contract.reader import Reader, promptly, refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged

_NEARLY = 1.5
"""Seconds by which a start may be foreseen wrongly where nothing but windows matters."""


async def a_place_is_that_of_waiting_tasks(open_setting: OpenSetting) -> None:
    """Counted from 1 in the order of going; nobody has one who runs, is over, or was never there."""
    async with staged(open_setting) as stage:
        readers = [await stage.submit() for _ in range(4)]
        other = await stage.submit("another")
        assert _positions(stage, readers) == [1, 2, 3, 4]
        assert _positions(stage, [other]) == [1]
        assert stage.broker.place("no such task") is None

        lease = await stage.lease()
        running = next(reader for reader in (*readers, other) if reader.task == lease.task)
        assert stage.broker.place(running.task.id) is None
        await stage.succeed(lease)

        assert stage.broker.place(running.task.id) is None
        await stage.broker.cancel(readers[3].task.id)
        assert stage.broker.place(readers[3].task.id) is None


async def a_place_moves_with_the_lane(open_setting: OpenSetting) -> None:
    """It falls when one ahead goes or is cancelled, and rises when somebody more urgent comes."""
    async with staged(open_setting) as stage:
        readers = [await stage.submit(band=Band.STANDARD) for _ in range(5)]
        await stage.lease()
        assert _positions(stage, readers[1:]) == [1, 2, 3, 4]

        await stage.broker.cancel(readers[2].task.id)
        await readers[3].leave()
        assert _positions(stage, [readers[1], readers[4]]) == [1, 2]

        await stage.submit()
        assert _positions(stage, [readers[1], readers[4]]) == [2, 3]


async def starts_are_foreseen_where_windows_are_known(open_setting: OpenSetting) -> None:
    """By those ahead and by what the windows hold; the time comes nearer, and is true."""
    async with staged(open_setting, keys("a", "b", quota=Quota(rpm=1))) as stage:
        readers = [await stage.submit() for _ in range(6)]
        await stage.lease_just(2)
        opens_at = stage.clock.now() + SPAN
        for passed in (2.0, 38.0):
            await stage.elapse(passed)
            left = opens_at - stage.clock.now()
            _check_etas(stage, readers[2:], [left, left, left + SPAN, left + SPAN])

        for wait in (SPAN - 40.0, SPAN):
            assert await stage.lease_after(wait)
            assert await stage.lease()


async def a_start_that_nobody_knows_is_not_made_up(open_setting: OpenSetting) -> None:
    """Without limits, and without an answer that would show how long one takes, there is a position only."""
    async with staged(open_setting, keys("a", quota=Quota())) as stage:
        await stage.submit()
        reader = await stage.submit()
        await stage.lease()

        assert stage.broker.place(reader.task.id) == Place(1, None)


async def a_task_in_back_off_knows_when_it_ends(open_setting: OpenSetting) -> None:
    """It stands in front, and its time is known."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        await stage.settle(await stage.lease(), Retry(8.0, counted=True, reason="failed"))
        await stage.elapse(3.0)

        assert stage.broker.place(reader.task.id) == Place(1, 5.0)


async def who_stands_too_far_behind_is_refused_at_once(open_setting: OpenSetting) -> None:
    """Where windows tell when it would start, too late for its `max_wait`: with that time, and without a trace."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=2))) as stage:
        for _ in range(4):
            await stage.submit()
        await stage.lease_just(2)
        await stage.elapse(2.0)

        late = await refused(WaitTooLong, stage.broker.enqueue(make_task("late", max_wait=100.0)))

        assert late.retry_after is not None
        assert abs(late.retry_after - (2 * SPAN - 2.0)) <= _NEARLY
        assert stage.broker.place("late") is None
        assert stage.broker.stats().waiting == 2
        patient = await stage.submit(max_wait=150.0)
        assert _positions(stage, [patient]) == [3]


async def who_goes_before_others_is_not_refused_for_them(open_setting: OpenSetting) -> None:
    """A full lane of lesser bands is nothing to somebody more urgent."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=2))) as stage:
        for _ in range(10):
            await stage.submit(band=Band.STANDARD)
        await stage.lease_just(2)

        urgent = await stage.submit(max_wait=SPAN + 1.0)

        assert (await stage.lease_after(SPAN)).task == urgent.task


async def who_was_promised_too_early_a_start_expires(open_setting: OpenSetting) -> None:
    """When others came in between, `max_wait` ends the wait all the same, to the second."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=1))) as stage:
        await stage.submit(band=Band.STANDARD)
        await stage.lease_just(1)
        reader = await stage.submit(max_wait=70.0, band=Band.STANDARD)
        await stage.submit()
        await stage.elapse(65.0)
        assert (await stage.lease()).task.band is Band.INTERACTIVE
        assert stage.broker.place(reader.task.id) is not None

        await stage.elapse(5.0)

        assert (await reader.error()).code == "expired"
        assert stage.end_of(reader).state is TaskState.EXPIRED


async def a_day_that_is_used_up_is_waited_for_by_the_patient(open_setting: OpenSetting) -> None:
    """Who cannot wait until midnight is told when that is; the others wait, know how long, and go then."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=100, rpd=2))) as stage:
        await stage.elapse(DAY - stage.clock.now() % DAY - 7200.0)
        for _ in range(2):
            await stage.submit()
        await stage.lease_just(2)

        late = await refused(WaitTooLong, stage.broker.enqueue(make_task("late", max_wait=7199.0)))
        assert late.retry_after == 7200.0
        readers = [await stage.submit(max_wait=8000.0, timeout=9000.0) for _ in range(2)]

        await stage.lease_nothing()
        _check_etas(stage, readers, [7200.0, 7200.0])
        assert (await stage.lease_after(7200.0)).task == readers[0].task
        assert (await stage.lease()).task == readers[1].task


async def a_day_found_to_be_used_up_is_told_to_those_who_wait(open_setting: OpenSetting) -> None:
    """Whatever was counted: a provider's word closes the model until midnight, or until when it says, for those too."""
    for said, wait in ((None, 7200.0), (3600.0, 3600.0)):
        async with staged(open_setting, keys("a")) as stage:
            await stage.elapse(DAY - stage.clock.now() % DAY - 7200.0)
            reader = await stage.submit(max_wait=8000.0, timeout=9000.0)
            impatient = await stage.submit()

            await stage.settle(await stage.lease(), _spent(said))
            await stage.lease_nothing()

            error = await impatient.error()
            assert (error.code, error.retry_after) == ("wait_too_long", wait)
            _check_etas(stage, [reader], [wait])
            assert (await stage.lease_after(wait)).task == reader.task


async def who_waits_for_an_answer_hears_when_it_brings_no_permit(open_setting: OpenSetting) -> None:
    """While an answer may free a permit nobody is refused; once none can come in time, all who cannot wait are told."""
    async with staged(open_setting, keys("a", "b", quota=Quota(rpm=1000, concurrency=1))) as stage:
        for _ in range(2):
            await stage.submit()
        first, second = await stage.lease_just(2)
        impatient = await stage.submit(max_wait=30.0)
        await stage.settle(first, _used_up(64.0))
        await stage.lease_nothing()
        assert stage.broker.place(impatient.task.id) is not None

        await stage.settle(second, _used_up(64.0))
        await stage.lease_nothing()

        error = await promptly(impatient.error(), "the refusal of who waits in vain")
        assert (error.code, error.retry_after) == ("wait_too_long", 64.0)


async def a_worker_is_called_for_who_waited(open_setting: OpenSetting) -> None:
    """A day's end wakes a worker as any opening does, however far away it was."""
    async with staged(open_setting, keys("a", quota=Quota(rpd=1))) as stage:
        for _ in range(2):
            await stage.submit(max_wait=2 * DAY, timeout=3 * DAY)
        await stage.succeed(await stage.lease())
        leasing = asyncio.ensure_future(stage.lease())

        await stage.elapse(DAY - stage.clock.now() % DAY)

        await promptly(leasing, "the waking of the worker at midnight")


def _positions(stage: Stage, readers: list[Reader]) -> list[int | None]:
    places = [stage.broker.place(reader.task.id) for reader in readers]
    return [place.position if place is not None else None for place in places]


def _check_etas(stage: Stage, readers: list[Reader], expected: list[float]) -> None:
    places = [stage.broker.place(reader.task.id) for reader in readers]
    etas = [place.eta if place is not None else None for place in places]
    near = [eta is not None and abs(eta - right) <= _NEARLY for eta, right in zip(etas, expected, strict=True)]
    assert all(near), f"starts foreseen in {etas}, to come in {expected} seconds"


def _spent(seconds: float | None) -> Retry:
    violations = (Violation(Measure.RPD, 50),)
    failure = Failure(FailureClass.QUOTA_DAY, "used up", retry_after=seconds, violations=violations)
    return Retry(0.0, counted=False, reason="used up", failure=failure)


def _used_up(seconds: float) -> Retry:
    failure = Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=seconds)
    return Retry(0.0, counted=False, reason="used up", failure=failure)


SCENARIOS: tuple[Scenario, ...] = (
    a_place_is_that_of_waiting_tasks,
    a_place_moves_with_the_lane,
    starts_are_foreseen_where_windows_are_known,
    a_start_that_nobody_knows_is_not_made_up,
    a_task_in_back_off_knows_when_it_ends,
    who_stands_too_far_behind_is_refused_at_once,
    who_goes_before_others_is_not_refused_for_them,
    who_was_promised_too_early_a_start_expires,
    a_day_that_is_used_up_is_waited_for_by_the_patient,
    a_day_found_to_be_used_up_is_told_to_those_who_wait,
    who_waits_for_an_answer_hears_when_it_brings_no_permit,
    a_worker_is_called_for_who_waited,
)
