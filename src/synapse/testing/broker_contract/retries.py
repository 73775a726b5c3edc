"""What comes back to its lane, and the fence between one lease of a task and the next."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import LeaseLost
from synapse.domain.errors import ProviderFailed
from synapse.domain.events import Delta
from synapse.domain.task import TaskState
from synapse.scheduling.settlement import Fail, Release, Retry, Succeed
from synapse.testing.broker_contract.props import FINISH, deltas
from synapse.testing.broker_contract.reader import promptly, refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, staged


async def a_retried_task_goes_to_the_front_of_its_lane(open_setting: OpenSetting) -> None:
    """Its turn had come already."""
    async with staged(open_setting) as stage:
        first, second = await stage.submit(), await stage.submit()
        await stage.settle(await stage.lease(), Retry(0.0, counted=True, reason="failed"))

        leased = [(await stage.lease()).task for _ in range(2)]

        assert leased == [first.task, second.task]


async def a_delayed_retry_goes_to_the_front_when_its_time_has_come(open_setting: OpenSetting) -> None:
    """Back-off lets others pass, no longer than it lasts."""
    async with staged(open_setting) as stage:
        patient = await stage.submit()
        await stage.settle(await stage.lease(), Retry(8.0, counted=True, reason="failed"))
        others = [await stage.submit() for _ in range(2)]
        assert (await stage.lease()).task == others[0].task

        await stage.elapse(8.0)

        assert [(await stage.lease()).task for _ in range(2)] == [patient.task, others[1].task]


async def a_delayed_retry_is_not_leased_before_its_time(open_setting: OpenSetting) -> None:
    """A task in back-off holds no slot, and a worker is told when its time has come."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        await stage.settle(await stage.lease(), Retry(8.0, counted=True, reason="failed"))
        assert (stage.broker.stats().waiting, stage.broker.stats().running) == (1, 0)

        leasing = asyncio.ensure_future(stage.lease())
        await stage.elapse(7.5)
        assert not leasing.done()
        await stage.elapse(0.5)

        assert (await promptly(leasing, "the waking of the worker at the end of back-off")).task == reader.task


async def runs_always_grow_and_attempts_only_where_they_count(open_setting: OpenSetting) -> None:
    """Walking past a credential and handing back at a stop use up no attempt, but never reuse a run."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        numbers = []
        for settlement in (
            Retry(0.0, counted=True, reason="failed"),
            Retry(0.0, counted=False, reason="another key"),
            Release(),
            Retry(0.0, counted=True, reason="failed"),
            Succeed(FINISH),
        ):
            lease = await stage.lease()
            numbers.append((lease.run, lease.attempt))
            await stage.settle(lease, settlement)

        assert numbers == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)]
        assert stage.end_of(reader).attempts == 3


async def a_released_task_is_leased_again_at_once(open_setting: OpenSetting) -> None:
    """What a stopping worker hands back is for the next one to take, as if it had not been leased."""
    async with staged(open_setting) as stage:
        reader, later = await stage.submit(), await stage.submit()
        await stage.settle(await stage.lease(), Release())

        lease = await stage.lease()

        assert (lease.task, lease.attempt) == (reader.task, 1)
        assert (await stage.lease()).task == later.task


async def an_older_lease_cannot_write(open_setting: OpenSetting) -> None:
    """Once a task has gone back to its lane, the lease it was run under adds nothing, and ends nothing."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        zombie = await stage.lease()
        await stage.settle(zombie, Retry(0.0, counted=True, reason="lapsed"))
        await refused(LeaseLost, stage.broker.publish(zombie, deltas("while it waits")))
        lease = await stage.lease()

        await refused(LeaseLost, stage.broker.publish(zombie, deltas("while another runs")))
        await stage.broker.settle(zombie, Succeed(FINISH))
        await stage.broker.settle(zombie, Fail(ProviderFailed("dead")))
        await stage.broker.settle(zombie, Release())
        await stage.lease_nothing()
        await stage.succeed(lease, "mine")

        assert await reader.read_to_the_end() == [((2, 1), Delta("mine")), ((2, 2), FINISH)]
        assert stage.end_of(reader).state is TaskState.SUCCEEDED


async def a_lease_knows_what_is_left_of_the_timeout(open_setting: OpenSetting) -> None:
    """Waiting and earlier attempts have used their part of it."""
    async with staged(open_setting) as stage:
        await stage.submit(timeout=100.0)
        await stage.elapse(8.0)
        lease = await stage.lease()
        assert lease.remaining == 92.0
        await stage.elapse(2.0)
        await stage.settle(lease, Retry(16.0, counted=True, reason="failed"))
        await stage.elapse(16.0)

        assert (await stage.lease()).remaining == 74.0


SCENARIOS: tuple[Scenario, ...] = (
    a_retried_task_goes_to_the_front_of_its_lane,
    a_delayed_retry_goes_to_the_front_when_its_time_has_come,
    a_delayed_retry_is_not_leased_before_its_time,
    runs_always_grow_and_attempts_only_where_they_count,
    a_released_task_is_leased_again_at_once,
    an_older_lease_cannot_write,
    a_lease_knows_what_is_left_of_the_timeout,
)
