"""Ends that the caller brings: cancelling, and going away."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import LeaseLost
from synapse.domain.task import TaskState
from synapse.scheduling.settlement import GiveUp, Release, Retry, Succeed
from synapse.testing.broker_contract.props import FINISH, deltas
from synapse.testing.broker_contract.reader import promptly, refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, staged


async def a_waiting_task_can_be_cancelled(open_setting: OpenSetting) -> None:
    """It leaves its lane, its reader hears of it, and a second cancel changes nothing."""
    async with staged(open_setting) as stage:
        reader, next_one = await stage.submit(), await stage.submit()

        await stage.broker.cancel(reader.task.id)
        await stage.broker.cancel(reader.task.id)

        assert (await reader.error()).code == "cancelled"
        assert stage.end_of(reader).state is TaskState.CANCELLED
        assert (await stage.lease()).task == next_one.task
        await stage.lease_nothing()


async def a_task_in_back_off_can_be_cancelled(open_setting: OpenSetting) -> None:
    """It gives its place back at once, and does not come back when its time would have come."""
    async with staged(open_setting, max_size=1) as stage:
        reader = await stage.submit()
        await stage.settle(await stage.lease(), Retry(8.0, counted=True, reason="failed"))

        await stage.broker.cancel(reader.task.id)

        assert (await reader.error()).code == "cancelled"
        assert stage.broker.stats().waiting == 0
        await stage.elapse(8.0)
        await stage.lease_nothing()
        await stage.submit()


async def a_running_task_can_be_cancelled(open_setting: OpenSetting) -> None:
    """The lease is revoked, writes are refused, and what the worker settles later is harmless."""
    for settlement in (GiveUp(), Release(), Succeed(FINISH), Retry(0.0, counted=True, reason="late")):
        async with staged(open_setting) as stage:
            reader = await stage.submit()
            lease = await stage.lease()
            await stage.publish(lease, "a")
            assert not lease.revoked

            await stage.broker.cancel(reader.task.id)

            await stage.revoked(lease)
            await refused(LeaseLost, stage.broker.publish(lease, deltas("b")))
            await stage.settle(lease, settlement)
            assert (await reader.error()).code == "cancelled"
            assert [event_id for event_id, _ in reader.entries] == [(1, 1), (1, 2)]
            assert stage.end_of(reader).state is TaskState.CANCELLED
            await stage.lease_nothing()


async def who_asks_late_hears_that_the_lease_is_revoked(open_setting: OpenSetting) -> None:
    """A callback given after the revocation runs at once."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        await stage.broker.cancel(reader.task.id)
        await stage.revoked(lease)

        told = asyncio.Event()
        lease.when_revoked(told.set)

        await promptly(told.wait(), "the callback of a revoked lease")


async def unknown_tasks_can_be_cancelled(open_setting: OpenSetting) -> None:
    """Cancelling what does not exist is harmless."""
    async with staged(open_setting) as stage:
        await stage.broker.cancel("no such task")

        assert not stage.ends


async def a_reader_that_leaves_cancels_its_task(open_setting: OpenSetting) -> None:
    """Waiting, running or in back-off: nobody is left who wants the answer. Other tasks go on."""
    async with staged(open_setting) as stage:
        running, delayed, waiting, other = [await stage.submit() for _ in range(4)]
        lease = await stage.lease()
        await stage.settle(await stage.lease(), Retry(8.0, counted=True, reason="failed"))

        for reader in (running, delayed, waiting):
            await reader.leave()

        await stage.revoked(lease)
        await refused(LeaseLost, stage.broker.publish(lease, deltas("a")))
        await stage.settle(lease, GiveUp())
        assert {stage.end_of(reader).state for reader in (running, delayed, waiting)} == {TaskState.CANCELLED}
        await stage.elapse(8.0)
        assert (await stage.lease()).task == other.task
        await stage.lease_nothing()


async def a_reader_that_leaves_after_the_end_changes_nothing(open_setting: OpenSetting) -> None:
    """A log that has ended stays ended, whether its last entry was read or not; its task is forgotten."""
    async with staged(open_setting) as stage:
        attentive, hasty = await stage.submit(), await stage.submit()
        for _ in range(2):
            await stage.succeed(await stage.lease(), "a")
        await attentive.read_to_the_end()

        await attentive.leave()
        await hasty.leave()

        assert [stage.end_of(reader).state for reader in (attentive, hasty)] == [TaskState.SUCCEEDED] * 2
        assert stage.broker.stats().held == 0


async def a_task_given_up_is_over(open_setting: OpenSetting) -> None:
    """A lease given up though nobody revoked it ends its task: nothing stays running for ever."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()

        await stage.settle(await stage.lease(), GiveUp())

        assert (await reader.error()).code == "cancelled"


SCENARIOS: tuple[Scenario, ...] = (
    a_waiting_task_can_be_cancelled,
    a_task_in_back_off_can_be_cancelled,
    a_running_task_can_be_cancelled,
    who_asks_late_hears_that_the_lease_is_revoked,
    unknown_tasks_can_be_cancelled,
    a_reader_that_leaves_cancels_its_task,
    a_reader_that_leaves_after_the_end_changes_nothing,
    a_task_given_up_is_over,
)
