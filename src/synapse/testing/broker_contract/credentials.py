"""Which credential carries a task, and what becomes of tasks that none can carry."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import Lease
from synapse.domain.errors import NoCredentials, ProviderFailed, WaitTooLong
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.task import TaskState
from synapse.scheduling.settlement import Fail, Retry
from synapse.testing.broker_contract.props import MODEL, keys, make_task
from synapse.testing.broker_contract.reader import promptly, refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged


async def a_dead_credential_is_passed_over(open_setting: OpenSetting) -> None:
    """The task goes on with the next key at once, and so do those after it, for any model."""
    async with staged(open_setting, keys("a", "b")) as stage:
        await stage.submit()
        lease = await stage.lease()
        dead = _project(lease)

        await stage.settle(lease, _dead())

        again = await stage.lease()
        assert again.task == lease.task
        assert {dead, _project(again)} == {"a", "b"}
        for model in (MODEL, "another"):
            await stage.submit(model)
            assert _project(await stage.lease()) == _project(again)


async def without_a_live_credential_those_who_wait_are_told(open_setting: OpenSetting) -> None:
    """When the last key has died, what waits, comes back or arrives is told which variable to set."""
    async with staged(open_setting, keys("a", "b")) as stage:
        readers = [await stage.submit() for _ in range(4)]
        leases = [await stage.lease() for _ in range(3)]

        for lease in leases[:2]:
            await stage.settle(lease, _dead())
        await stage.lease_nothing()
        await stage.settle(leases[2], _dead())
        await stage.lease_nothing()

        for reader in readers:
            error = await reader.error()
            assert error.code == "no_credentials"
            assert "P_API_KEYS" in error.message
            assert stage.end_of(reader).state is TaskState.FAILED
        late = await refused(NoCredentials, stage.broker.enqueue(make_task("late")))
        assert "P_API_KEYS" in late.message
        assert "key-of-" not in late.message


async def whoever_sleeps_is_told_that_the_last_credential_has_died(open_setting: OpenSetting) -> None:
    """Also those who wait for another model, which was to open later."""
    async with staged(open_setting, keys("a")) as stage:
        reader = await stage.submit("another")
        await _rest(stage, 64.0)
        await stage.lease_nothing()
        await stage.submit()

        await stage.settle(await stage.lease(), _dead())
        await stage.lease_nothing()

        assert (await reader.error()).code == "no_credentials"


async def a_resting_credential_carries_again_when_it_opens(open_setting: OpenSetting) -> None:
    """A task waits for its credential without a slot, and goes at the very moment it may."""
    async with staged(open_setting, keys("a")) as stage:
        reader = await stage.submit()
        await _rest(stage, 32.0)
        await stage.lease_nothing()
        assert (stage.broker.stats().waiting, stage.broker.stats().running) == (1, 0)

        leasing = asyncio.ensure_future(stage.lease())
        await stage.elapse(31.5)
        assert not leasing.done()
        await stage.elapse(0.5)

        lease = await promptly(leasing, "the waking of the worker at the opening")
        assert (lease.task, lease.attempt) == (reader.task, 1)


async def a_model_rests_without_the_others(open_setting: OpenSetting) -> None:
    """A window that is used up for one model leaves the key to the rest."""
    async with staged(open_setting, keys("a")) as stage:
        await stage.submit()
        await _rest(stage, 32.0)

        other = await stage.submit("another")

        assert (await stage.lease()).task == other.task
        await stage.lease_nothing()


async def the_impatient_are_refused_with_the_exact_wait(open_setting: OpenSetting) -> None:
    """Whom the opening comes too late is told at once when it does come; the others wait."""
    async with staged(open_setting, keys("a")) as stage:
        patient, impatient = await stage.submit(max_wait=40.0), await stage.submit(max_wait=30.0)
        await _rest(stage, 32.0)
        await stage.lease_nothing()

        error = await impatient.error()
        assert (error.code, error.retry_after) == ("wait_too_long", 32.0)
        assert stage.end_of(impatient).state is TaskState.FAILED
        await stage.elapse(8.0)
        late = await refused(WaitTooLong, stage.broker.enqueue(make_task("late", max_wait=16.0)))
        assert late.retry_after == 24.0
        assert stage.broker.stats().waiting == 1

        await stage.elapse(24.0)
        assert (await stage.lease()).task == patient.task


async def who_comes_back_impatient_is_refused_too(open_setting: OpenSetting) -> None:
    """A task whose attempt failed while its lane already waited has had part of its time: it is told at once."""
    async with staged(open_setting, keys("a")) as stage:
        await stage.submit(max_wait=600.0)
        runner = await stage.submit(max_wait=30.0)
        first, second = await stage.lease(), await stage.lease()
        await stage.settle(first, _walk_on(32.0))
        await stage.lease_nothing()

        await stage.settle(second, Retry(0.0, counted=True, reason="failed"))
        await stage.lease_nothing()

        error = await runner.error()
        assert (error.code, error.retry_after) == ("wait_too_long", 32.0)


async def a_longer_rest_is_told_to_those_who_wait(open_setting: OpenSetting) -> None:
    """When the opening moves away, whoever cannot wait for the new one hears of it when that is known."""
    async with staged(open_setting, keys("a")) as stage:
        reader, _ = await stage.submit(max_wait=40.0), await stage.submit(max_wait=600.0)
        first, second = await stage.lease(), await stage.lease()
        await stage.settle(first, _walk_on(32.0))
        await stage.lease_nothing()

        await stage.settle(second, _walk_on(64.0))
        await stage.lease_nothing()

        assert (await reader.error()).retry_after == 64.0
        assert stage.broker.stats().waiting == 1


async def an_earlier_opening_is_not_overslept(open_setting: OpenSetting) -> None:
    """Lanes wait for openings of their own; the first one wakes the worker, and so does the second."""
    async with staged(open_setting, keys("a")) as stage:
        late, early = await stage.submit("late"), await stage.submit("early")
        await _rest(stage, 64.0)
        await _rest(stage, 32.0)
        await stage.lease_nothing()
        for opening in (early, late):
            leasing = asyncio.ensure_future(stage.lease())
            await stage.elapse(31.5)
            assert not leasing.done()
            await stage.elapse(0.5)
            assert (await promptly(leasing, "the waking of the worker at an opening")).task == opening.task


async def a_failed_task_rests_its_credential_too(open_setting: OpenSetting) -> None:
    """What an attempt learned counts though the task is over, and though the lease was lost."""
    async with staged(open_setting, keys("a")) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        await stage.broker.cancel(reader.task.id)

        await stage.settle(lease, Fail(ProviderFailed("used up"), _used_up(32.0)))

        await refused(WaitTooLong, stage.broker.enqueue(make_task("next", max_wait=31.0)))


async def keys_are_used_evenly(open_setting: OpenSetting) -> None:
    """The least recently used key goes next."""
    async with staged(open_setting, keys("a", "b", "c")) as stage:
        for _ in range(9):
            await stage.submit()

        projects = [_project(await stage.lease()) for _ in range(9)]

        assert projects == projects[:3] * 3
        assert set(projects) == {"a", "b", "c"}


async def _rest(stage: Stage, seconds: float) -> None:
    """Lease the next task; come back with its model closed for so long."""
    lease = await stage.lease()
    await stage.settle(lease, _walk_on(seconds))


def _walk_on(seconds: float) -> Retry:
    return Retry(0.0, counted=False, reason="used up", failure=_used_up(seconds))


def _dead() -> Retry:
    return Retry(0.0, counted=False, reason="dead", failure=Failure(FailureClass.CREDENTIAL_DEAD, "dead"))


def _used_up(seconds: float) -> Failure:
    return Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=seconds)


def _project(lease: Lease) -> str:
    assert lease.credential is not None
    return lease.credential.project


SCENARIOS: tuple[Scenario, ...] = (
    a_dead_credential_is_passed_over,
    without_a_live_credential_those_who_wait_are_told,
    whoever_sleeps_is_told_that_the_last_credential_has_died,
    a_resting_credential_carries_again_when_it_opens,
    a_model_rests_without_the_others,
    the_impatient_are_refused_with_the_exact_wait,
    who_comes_back_impatient_is_refused_too,
    a_longer_rest_is_told_to_those_who_wait,
    an_earlier_opening_is_not_overslept,
    a_failed_task_rests_its_credential_too,
    keys_are_used_evenly,
)
