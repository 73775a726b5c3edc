"""Quotas: nothing is sent beyond them, and what waits for them goes the moment it may."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import Lease
from synapse.domain.caller import Caller
from synapse.domain.errors import WaitTooLong
from synapse.domain.events import Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Quota, Violation
from synapse.domain.usage import Usage
from synapse.scheduling.account import SPAN
from synapse.scheduling.settlement import GiveUp, Release, Retry, Succeed
from synapse.testing.broker_contract.props import keys, make_task
from synapse.testing.broker_contract.reader import promptly, refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged

FREE = ":free"


async def a_window_is_never_exceeded(open_setting: OpenSetting) -> None:
    """Requests count from their sending for a span, whatever becomes of them; the next goes exactly when one leaves."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=3))) as stage:
        for _ in range(6):
            await stage.submit()
        for wait in (0.0, 10.0, 20.0):
            await stage.elapse(wait)
            await stage.succeed(await stage.lease())
        await stage.lease_nothing()

        for wait in (SPAN - 30.0, 10.0, 20.0):
            await stage.lease_after(wait)
            await stage.lease_nothing()


async def a_window_that_opens_lets_as_many_go_as_it_holds(open_setting: OpenSetting) -> None:
    """Of many that wait for it, no more: there is no stampede."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=4))) as stage:
        for _ in range(12):
            await stage.submit()
        await stage.lease_just(4)

        for _ in range(2):
            await stage.lease_after(SPAN)
            await stage.lease_just(3)


async def projects_have_windows_of_their_own(open_setting: OpenSetting) -> None:
    """And the keys of one project share its window; each of the keys is used."""
    async with staged(open_setting, keys("a", "a", "b", quota=Quota(rpm=2))) as stage:
        for _ in range(6):
            await stage.submit()

        leases = await stage.lease_just(4)

        assert sorted(_key(lease) for lease in leases) == ["key-2-of-a", "key-of-a", "key-of-b", "key-of-b"]


async def tokens_have_windows_too(open_setting: OpenSetting) -> None:
    """What was estimated is reserved, and put right by what the provider counted: others may go that had to wait."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=1000, tpm=100))) as stage:
        await stage.submit(words=40)
        await stage.submit(words=40)
        await stage.submit(words=40)
        leases = await stage.lease_just(2)

        await stage.settle(leases[0], _used(30))
        await stage.lease_nothing()
        await stage.settle(leases[1], _used(20))

        await stage.lease_just(1)


async def requests_at_once_are_limited(open_setting: OpenSetting) -> None:
    """The next one goes when one is answered, and a waiting worker hears of it."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=1000, concurrency=2))) as stage:
        for _ in range(4):
            await stage.submit()
        leases = await stage.lease_just(2)
        for lease in leases:
            leasing = asyncio.ensure_future(stage.lease())
            await stage.elapse(100.0)
            assert not leasing.done()

            await stage.succeed(lease)

            await promptly(leasing, "the turn of who waited for an answer")


async def a_permit_is_given_back_once(open_setting: OpenSetting) -> None:
    """However often its lease is settled, and though its task was cancelled meanwhile."""
    narrow = Caller("narrow", max_concurrency=1)
    async with staged(open_setting, keys("a", quota=Quota(rpm=1000, concurrency=1))) as stage:
        first, *_ = [await stage.submit(caller=narrow) for _ in range(4)]
        (lease,) = await stage.lease_just(1)
        await stage.broker.cancel(first.task.id)
        for settlement in (GiveUp(), Release(), _used(10)):
            await stage.broker.settle(lease, settlement)

        (lease,) = await stage.lease_just(1)
        await stage.succeed(lease)

        await stage.lease_just(1)


async def a_request_that_never_arrived_gives_its_permit_back(open_setting: OpenSetting) -> None:
    """Whoever waits for the window goes at once; what a stopped worker hands back may have been sent, and counts."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=1))) as stage:
        for _ in range(2):
            await stage.submit()
        lease = await stage.lease()
        await stage.lease_nothing()
        lost = Failure(FailureClass.TRANSIENT, "no connection", arrived=False)
        await stage.settle(lease, Retry(1000.0, counted=True, reason="no connection", failure=lost))

        lease = await stage.lease()
        await stage.settle(lease, Release())

        await stage.lease_after(SPAN)


async def unknown_limits_are_found_slowly(open_setting: OpenSetting) -> None:
    """In flight is one more than has been answered: the requests of each round trip are twice those of the last."""
    async with staged(open_setting, keys("a", quota=Quota())) as stage:
        for _ in range(40):
            await stage.submit()

        for in_flight in (1, 2, 4, 8):
            leases = await _lease_within(stage, 0.25)
            assert len(leases) == in_flight
            for lease in leases:
                await stage.succeed(lease)


async def what_a_provider_says_of_its_limits_is_kept_to(open_setting: OpenSetting) -> None:
    """A limit heard beside an answer holds from then on; so does what others have used of it."""
    for remaining, more in ((4, 4), (2, 2), (0, 0), (None, 4)):
        async with staged(open_setting, keys("a")) as stage:
            for _ in range(10):
                await stage.submit()
            lease = await stage.lease()

            stage.broker.hear(lease, [Headroom(Measure.RPM, limit=5, remaining=remaining)])

            await stage.lease_just(more)
            await stage.lease_after(SPAN)
            await stage.lease_just(4)


async def a_refusal_teaches_its_limit(open_setting: OpenSetting) -> None:
    """When the window opens again, no more go than the provider said that it holds."""
    async with staged(open_setting, keys("a")) as stage:
        for _ in range(10):
            await stage.submit()
        for lease in [await stage.lease() for _ in range(4)]:
            await stage.settle(lease, _used_up(30.0, Violation(Measure.RPM, 3)))
        await stage.lease_nothing()

        await stage.lease_after(30.0)

        await stage.lease_just(2)
        await stage.lease_after(SPAN)
        await stage.lease_just(2)


async def models_that_share_a_quota_share_its_window(open_setting: OpenSetting) -> None:
    """What one has used the other cannot; what it gives back, it can, and hears of. Models of other kinds go on."""
    quotas = {f"a{FREE}": Quota(rpm=2), f"b{FREE}": Quota(rpm=2)}
    async with staged(open_setting, keys("a", shared_models=FREE, quotas=quotas)) as stage:
        for _ in range(2):
            await stage.submit(f"a{FREE}")
        first, _ = await stage.lease_just(2)
        waiting = await stage.submit(f"b{FREE}")
        await stage.submit("paid")
        assert [lease.task.model for lease in await stage.lease_just(1)] == ["paid"]
        leasing = asyncio.ensure_future(stage.lease())
        await stage.elapse(1.0)
        assert not leasing.done()

        lost = Failure(FailureClass.TRANSIENT, "no connection", arrived=False)
        await stage.settle(first, Retry(1000.0, counted=True, reason="no connection", failure=lost))

        assert (await promptly(leasing, "the turn of the other model")).task == waiting.task


async def a_shared_quota_that_is_used_up_closes_all_its_models(open_setting: OpenSetting) -> None:
    """The impatient of the other model are told at once, and the others go when it opens."""
    async with staged(open_setting, keys("a", shared_models=FREE)) as stage:
        first = await stage.submit(f"a{FREE}")
        lease = await stage.lease()
        patient, impatient = [await stage.submit(f"b{FREE}", max_wait=max_wait) for max_wait in (40.0, 20.0)]

        await stage.settle(lease, _used_up(32.0, shared=True))

        await stage.lease_nothing()
        assert (await impatient.error()).retry_after == 32.0
        await refused(WaitTooLong, stage.broker.enqueue(make_task("late", f"c{FREE}", max_wait=20.0)))
        assert (await stage.lease_after(32.0)).task.id in {first.task.id, patient.task.id}


async def a_model_that_was_refused_leaves_the_others_of_its_key(open_setting: OpenSetting) -> None:
    """Where the quota is the model's own, those of a kind that could share one go on."""
    async with staged(open_setting, keys("a", shared_models=FREE)) as stage:
        await stage.submit(f"a{FREE}")
        await stage.settle(await stage.lease(), _used_up(32.0))

        other = await stage.submit(f"b{FREE}")

        assert (await stage.lease()).task == other.task


async def _lease_within(stage: Stage, seconds: float) -> list[Lease]:
    """Lease all that may go within some seconds."""
    leases: list[Lease] = []
    leasing = asyncio.ensure_future(stage.lease())
    await stage.elapse(seconds / 2)
    while leasing.done():
        leases.append(leasing.result())
        leasing = asyncio.ensure_future(stage.lease())
        await stage.elapse(seconds / 2)
    leasing.cancel()
    return leases


def _used(tokens: int) -> Succeed:
    return Succeed(Finish(FinishReason.STOP, Usage(tokens, 5)))


def _used_up(seconds: float, *violations: Violation, shared: bool = False) -> Retry:
    failure = Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=seconds, violations=violations, shared=shared)
    return Retry(0.0, counted=False, reason="used up", failure=failure)


def _key(lease: Lease) -> str:
    assert lease.credential is not None
    return lease.credential.key


SCENARIOS: tuple[Scenario, ...] = (
    a_window_is_never_exceeded,
    a_window_that_opens_lets_as_many_go_as_it_holds,
    projects_have_windows_of_their_own,
    tokens_have_windows_too,
    requests_at_once_are_limited,
    a_permit_is_given_back_once,
    a_request_that_never_arrived_gives_its_permit_back,
    unknown_limits_are_found_slowly,
    what_a_provider_says_of_its_limits_is_kept_to,
    a_refusal_teaches_its_limit,
    models_that_share_a_quota_share_its_window,
    a_shared_quota_that_is_used_up_closes_all_its_models,
    a_model_that_was_refused_leaves_the_others_of_its_key,
)
