"""Where a task goes when its first choice keeps it waiting, or cannot answer."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import Lease
from synapse.domain.errors import ProviderFailed
from synapse.domain.events import Finish
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Quota, Violation
from synapse.domain.task import Route
from synapse.scheduling.breaker import THRESHOLD
from synapse.scheduling.ledger import Ledger
from synapse.scheduling.settlement import Fail, Retry
from synapse.testing.broker_contract.props import keys
from synapse.testing.broker_contract.reader import Reader, promptly
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged

SPARE = Route("spare", "q", "m2")
LAST = Route("last", "q", "m3")
ONE_AT_ONCE = Quota(rpm=1000, concurrency=1)


async def the_first_choice_is_kept_where_it_answers_soon(open_setting: OpenSetting) -> None:
    """A fallback is for when it does not: an open model, and one that opens within `fallback_after`, is waited for."""
    async with staged(open_setting, *_two()) as stage:
        await _submit(stage)
        lease = await _lease_first_choice(stage)
        await stage.settle(lease, _used_up(25.0))
        await _submit(stage)

        await stage.lease_nothing()
        await stage.elapse(25.0)

        for _ in range(2):
            await stage.succeed(await _lease_first_choice(stage))


async def who_would_wait_too_long_goes_to_a_fallback_at_once(open_setting: OpenSetting) -> None:
    """When the first choice is closed for longer than `fallback_after`; who answered is said at the end."""
    async with staged(open_setting, *_two()) as stage:
        await _close(stage, 64.0)

        reader = await _submit(stage)
        await stage.succeed(await _lease_fallback(stage, SPARE), "hello")

        await _check_answered_by(stage, reader.task.id, "spare")
        patient = await _submit(stage, fallback_after=65.0)
        await stage.lease_nothing()
        await stage.elapse(64.0)
        assert (await _lease_first_choice(stage)).task.id in {"t1", patient.task.id}


async def a_first_choice_nobody_can_carry_is_left_at_once(open_setting: OpenSetting) -> None:
    """Without a credential that works there is nothing to wait for; with none anywhere the task is refused."""
    async with staged(open_setting, *_two()) as stage:
        await stage.submit()
        dead = Failure(FailureClass.CREDENTIAL_DEAD, "not valid")
        await stage.settle(await stage.lease(), Retry(0.0, counted=False, reason="not valid", failure=dead))
        await stage.lease_nothing()

        await _submit(stage)

        await _lease_fallback(stage, SPARE)


async def a_wait_that_becomes_too_long_ends_in_a_fallback(open_setting: OpenSetting) -> None:
    """Who waits already goes when the opening moves away, without any passing of time, and a waiting worker has it."""
    async with staged(open_setting, *_two()) as stage:
        await stage.submit()
        lease = await stage.lease()
        reader = await _submit(stage)

        await stage.settle(lease, _used_up(64.0))

        moved = await _lease_fallback(stage, SPARE)
        assert moved.task.id == reader.task.id
        assert stage.broker.place("t1") is not None


async def a_listening_worker_has_who_goes_to_a_fallback(open_setting: OpenSetting) -> None:
    """Though it was looking for work when the wait was found to be too long."""
    async with staged(open_setting, keys("a", quota=ONE_AT_ONCE), keys("b", provider="q")) as stage:
        await stage.submit()
        reader = await _submit(stage)
        leases = stage.listen()
        await stage.elapse(0)
        (busy,) = leases

        await stage.settle(busy, Fail(ProviderFailed("used up"), _used_up(64.0).failure))
        await stage.elapse(0)

        assert [lease.task.id for lease in leases[1:]] == [reader.task.id]


async def all_who_wait_too_long_go(open_setting: OpenSetting) -> None:
    """Each that has a fallback, in their order, and nobody else."""
    async with staged(open_setting, *_two()) as stage:
        await stage.submit()
        lease = await stage.lease()
        moving = [await _submit(stage) for _ in range(3)]
        await stage.submit()

        await stage.settle(lease, _used_up(64.0))

        leases = [await _lease_fallback(stage, SPARE) for _ in moving]
        assert [lease.task.id for lease in leases] == [reader.task.id for reader in moving]
        await stage.lease_nothing()
        assert stage.broker.stats().waiting == 2


async def who_stays_keeps_its_place(open_setting: OpenSetting) -> None:
    """Where the fallback would be no sooner, the lane goes on in its order when it opens."""
    async with staged(open_setting, *_two()) as stage:
        await stage.submit("m2", provider="q")
        await stage.settle(await stage.lease(), _used_up(128.0))
        await stage.submit()
        lease = await stage.lease()
        waiting = [await _submit(stage) for _ in range(4)]

        await stage.settle(lease, _used_up(64.0))
        await stage.lease_nothing()
        await stage.elapse(64.0)

        order = [(await _lease_first_choice(stage)).task.id for _ in range(5)]
        assert order == ["t2", *(reader.task.id for reader in waiting)]


async def nobody_waits_longer_than_its_time_for_the_first_choice(open_setting: OpenSetting) -> None:
    """Also where nobody knows when it will be free: after `fallback_after` a task goes to what is."""
    async with staged(open_setting, keys("a", quota=ONE_AT_ONCE), keys("b", provider="q")) as stage:
        await stage.submit()
        await stage.lease()
        await stage.elapse(10.0)
        await _submit(stage)
        leasing = asyncio.ensure_future(_lease_fallback(stage, SPARE))

        await stage.elapse(29.5)
        assert not leasing.done()
        await stage.elapse(0.5)

        await promptly(leasing, "the turn at the fallback")


async def nobody_leaves_for_what_is_not_free_either(open_setting: OpenSetting) -> None:
    """Then the place in the first lane is worth more; when it comes to it there, it is the first choice's task."""
    ledgers = keys("a", quota=ONE_AT_ONCE), keys("b", provider="q", quota=ONE_AT_ONCE)
    async with staged(open_setting, *ledgers) as stage:
        await stage.submit("m2", provider="q")
        await stage.submit()
        busy = {lease.task.provider: lease for lease in await stage.lease_just(2)}
        await _submit(stage)
        await stage.elapse(100.0)
        await stage.lease_nothing()

        await stage.succeed(busy["p"])

        await _lease_first_choice(stage)


async def the_first_fallback_that_is_free_answers(open_setting: OpenSetting) -> None:
    """They are named in the order of preference; of several closed ones the one that opens first."""
    async with staged(open_setting, *_two()) as stage:
        await _close(stage, 128.0)
        await stage.submit("m2", provider="q")
        await stage.settle(await stage.lease(), _used_up(100.0))

        await _submit(stage, SPARE, LAST)
        lease = await _lease_fallback(stage, LAST)
        assert lease.task.fallbacks == ()
        await stage.settle(lease, _used_up(110.0))
        await stage.lease_nothing()
        await _submit(stage, LAST, SPARE)
        await stage.elapse(100.0)

        freed = [await stage.lease() for _ in range(2)]
        assert {lease.task.lane for lease in freed} == {("q", "m2")}
        assert {lease.task.fallen_to for lease in freed} == {None, "spare"}


async def a_model_that_cannot_answer_is_left(open_setting: OpenSetting) -> None:
    """A settlement that says so sends the task to its next fallback at once, with attempts of its own."""
    async with staged(open_setting, *_two()) as stage:
        reader = await _submit(stage, SPARE, LAST)
        for attempts in (2, 1):
            lease = await stage.lease()
            for _ in range(attempts - 1):
                await stage.settle(lease, Retry(0.0, counted=True, reason="failed"))
                lease = await stage.lease()
            assert lease.attempt == attempts
            gone = Failure(FailureClass.MODEL_GONE, "no such model")
            await stage.settle(lease, Retry(0.0, counted=True, reason="gone", failure=gone, fall_back=True))

        lease = await _lease_fallback(stage, LAST)
        assert (lease.run, lease.attempt) == (4, 1)
        await stage.succeed(lease)
        await _check_answered_by(stage, reader.task.id, "last")
        assert stage.end_of(reader).attempts == 1


async def an_answer_of_the_first_choice_names_no_fallback(open_setting: OpenSetting) -> None:
    """Whatever fallbacks there were."""
    async with staged(open_setting, *_two()) as stage:
        reader = await _submit(stage)

        await stage.succeed(await stage.lease(), "hello")

        await _check_answered_by(stage, reader.task.id, None)


async def a_broken_model_is_left_by_all_that_wait_for_it(open_setting: OpenSetting) -> None:
    """When its circuit opens: those in its lane and those that come, however short the pause."""
    async with staged(open_setting, *_two()) as stage:
        for _ in range(THRESHOLD):
            await stage.submit()
        leases = [await stage.lease() for _ in range(THRESHOLD)]
        await _submit(stage)
        cut = Failure(FailureClass.TRANSIENT, "cut")
        for lease in leases:
            await stage.settle(lease, Fail(ProviderFailed("cut"), cut))

        await _lease_fallback(stage, SPARE)
        await _submit(stage)
        await _lease_fallback(stage, SPARE)


async def who_has_fallen_back_and_cannot_wait_there_is_told(open_setting: OpenSetting) -> None:
    """The waits of all its lanes count together."""
    async with staged(open_setting, *_two()) as stage:
        await _close(stage, 64.0)
        await stage.elapse(2.0)
        await stage.submit("m2", provider="q")
        first = await stage.lease()
        reader = await _submit(stage, max_wait=20.0)
        await stage.elapse(10.0)

        await stage.settle(first, _used_up(15.0))
        await stage.lease_nothing()

        error = await reader.error()
        assert (error.code, error.retry_after) == ("wait_too_long", 15.0)


def _two() -> tuple[Ledger, Ledger]:
    return keys("a"), keys("b", provider="q")


async def _submit(stage: Stage, *routes: Route, max_wait: float = 600.0, fallback_after: float = 30.0) -> Reader:
    """Submit a task that may go elsewhere."""
    return await stage.submit(fallbacks=routes or (SPARE,), max_wait=max_wait, fallback_after=fallback_after)


async def _close(stage: Stage, seconds: float) -> None:
    """Have the first choice closed for so long; a task without fallbacks waits there."""
    await stage.submit()
    await stage.settle(await stage.lease(), _used_up(seconds))
    await stage.lease_nothing()


async def _lease_first_choice(stage: Stage) -> Lease:
    lease = await stage.lease()
    assert (lease.task.provider, lease.task.fallen_to) == ("p", None)
    return lease


async def _lease_fallback(stage: Stage, route: Route) -> Lease:
    lease = await stage.lease()
    assert (lease.task.lane, lease.task.fallen_to) == ((route.provider, route.model), route.code)
    assert lease.credential is not None
    assert lease.credential.project == "b"
    return lease


async def _check_answered_by(stage: Stage, task_id: str, code: str | None) -> None:
    (reader,) = [reader for reader in stage.readers if reader.task.id == task_id]
    finish = (await reader.read_to_the_end())[-1][1]
    assert isinstance(finish, Finish)
    assert finish.fallen_to == code
    assert stage.end_of(reader).task.fallen_to == code


def _used_up(seconds: float) -> Retry:
    violations = (Violation(Measure.RPM, 1000),)  # told, so that nobody looks for it slowly afterwards
    failure = Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=seconds, violations=violations)
    return Retry(0.0, counted=False, reason="used up", failure=failure)


SCENARIOS: tuple[Scenario, ...] = (
    the_first_choice_is_kept_where_it_answers_soon,
    who_would_wait_too_long_goes_to_a_fallback_at_once,
    a_first_choice_nobody_can_carry_is_left_at_once,
    a_wait_that_becomes_too_long_ends_in_a_fallback,
    a_listening_worker_has_who_goes_to_a_fallback,
    all_who_wait_too_long_go,
    who_stays_keeps_its_place,
    nobody_waits_longer_than_its_time_for_the_first_choice,
    nobody_leaves_for_what_is_not_free_either,
    the_first_fallback_that_is_free_answers,
    a_model_that_cannot_answer_is_left,
    an_answer_of_the_first_choice_names_no_fallback,
    a_broken_model_is_left_by_all_that_wait_for_it,
    who_has_fallen_back_and_cannot_wait_there_is_told,
)
