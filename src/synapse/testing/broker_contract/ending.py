"""Ends that the clock brings: too long a wait, too long a task."""

from __future__ import annotations

from synapse.domain.task import TaskState
from synapse.scheduling.settlement import Release, Retry
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, staged


async def a_task_that_waited_too_long_expires(open_setting: OpenSetting) -> None:
    """When `max_wait` has passed without a lease the task ends as expired, not before."""
    async with staged(open_setting) as stage:
        reader = await stage.submit(max_wait=10.0)
        await stage.elapse(9.5)
        assert stage.broker.stats().waiting == 1

        await stage.elapse(0.5)

        assert (await reader.error()).code == "expired"
        end = stage.end_of(reader)
        assert (end.state, end.attempts, end.queued) == (TaskState.EXPIRED, 0, 10.0)
        await stage.lease_nothing()


async def a_task_no_worker_had_a_slot_for_expires(open_setting: OpenSetting) -> None:
    """A worker that listens and has no room, or stops listening, does not keep tasks from expiring."""
    async with staged(open_setting, slots=1) as stage:
        stage.broker.when_ready(lambda: None)
        await stage.submit()
        lease = await stage.lease()
        first = await stage.submit(max_wait=10.0)
        await stage.lease_nothing()
        second = await stage.submit(max_wait=20.0)
        stage.broker.when_ready(None)

        await stage.elapse(10.0)
        assert (await first.error()).code == "expired"
        await stage.elapse(10.0)
        assert (await second.error()).code == "expired"

        await stage.succeed(lease)


async def a_running_task_does_not_expire(open_setting: OpenSetting) -> None:
    """`max_wait` is about waiting."""
    async with staged(open_setting) as stage:
        reader = await stage.submit(max_wait=10.0)
        await stage.elapse(9.0)
        lease = await stage.lease()

        await stage.elapse(100.0)
        await stage.succeed(lease, "a")

        await reader.read_to_the_end()
        assert stage.end_of(reader).state is TaskState.SUCCEEDED


async def a_task_that_waited_past_its_timeout_times_out(open_setting: OpenSetting) -> None:
    """Where `timeout` is shorter than `max_wait`, it ends the waiting."""
    for timeout in (10.0, 0.1, 1 / 3, 7.7):
        async with staged(open_setting) as stage:
            await stage.elapse(0.7)
            reader = await stage.submit(max_wait=20.0, timeout=timeout)

            await stage.elapse(timeout)
            await stage.elapse(0.001)

            assert (await reader.error()).code == "timed_out"
            assert stage.end_of(reader).state is TaskState.FAILED


async def a_task_in_back_off_times_out(open_setting: OpenSetting) -> None:
    """Back-off does not outlast `timeout`."""
    async with staged(open_setting) as stage:
        reader = await stage.submit(timeout=10.0)
        lease = await stage.lease()
        await stage.elapse(6.0)
        await stage.settle(lease, Retry(30.0, counted=True, reason="failed"))
        await stage.elapse(3.5)
        assert not stage.ends

        await stage.elapse(0.5)

        assert (await reader.error()).code == "timed_out"
        assert stage.end_of(reader).total == 10.0
        assert stage.broker.stats().waiting == 0
        await stage.lease_nothing()


async def a_task_back_in_its_lane_times_out(open_setting: OpenSetting) -> None:
    """What was handed back has no more time than it had."""
    async with staged(open_setting) as stage:
        reader = await stage.submit(timeout=10.0)
        lease = await stage.lease()
        await stage.elapse(6.0)
        await stage.settle(lease, Release())

        await stage.elapse(4.0)

        assert (await reader.error()).code == "timed_out"
        await stage.lease_nothing()


async def the_end_of_a_task_in_its_lane_follows_what_it_wrote(open_setting: OpenSetting) -> None:
    """The last entry's id is beyond those of an attempt before it, though no lease wrote it."""
    async with staged(open_setting) as stage:
        reader = await stage.submit(timeout=10.0)
        lease = await stage.lease()
        await stage.publish(lease, "a", "b")
        await stage.settle(lease, Retry(30.0, counted=True, reason="failed"))

        await stage.elapse(10.0)

        await reader.read_to_the_end()
        assert [event_id for event_id, _ in reader.entries] == [(1, 1), (1, 2), (1, 3)]


SCENARIOS: tuple[Scenario, ...] = (
    a_task_that_waited_too_long_expires,
    a_task_no_worker_had_a_slot_for_expires,
    a_running_task_does_not_expire,
    a_task_that_waited_past_its_timeout_times_out,
    a_task_in_back_off_times_out,
    a_task_back_in_its_lane_times_out,
    the_end_of_a_task_in_its_lane_follows_what_it_wrote,
)
