"""Whose task goes next: bands, callers and their weights, and what batch work leaves to others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from synapse.brokers.base import Lease
from synapse.domain.caller import Band, Caller
from synapse.domain.quota import Quota
from synapse.scheduling.account import SPAN
from synapse.scheduling.demand import SEEN
from synapse.scheduling.settlement import GiveUp, Release, Retry
from synapse.testing.broker_contract.props import keys
from synapse.testing.broker_contract.reader import Reader, promptly
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged

ONE, OTHER = Caller("one"), Caller("other")
HEAVY = Caller("heavy", weight=3.0)
NARROW = Caller("narrow", max_concurrency=2)


async def bands_go_strictly(open_setting: OpenSetting) -> None:
    """The more urgent band first, whoever came first; within a band, in order of arrival."""
    async with staged(open_setting) as stage:
        bands = (Band.BATCH, Band.STANDARD, Band.INTERACTIVE, Band.STANDARD, Band.BATCH, Band.INTERACTIVE)
        readers = [await stage.submit(band=band) for band in bands]

        leases = await stage.lease_just(6)

        assert _ids(leases) == [readers[place].task.id for place in (2, 5, 1, 3, 0, 4)]


async def an_urgent_task_overtakes_all_that_waits(open_setting: OpenSetting) -> None:
    """The next permit is its, however many of a lesser band have waited for it, and whoever's they are."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=1))) as stage:
        for caller in (ONE, OTHER) * 5:
            await stage.submit(caller=caller, band=Band.STANDARD)
        await stage.lease_just(1)

        urgent = await stage.submit(caller=ONE)

        assert (await stage.lease_after(SPAN)).task == urgent.task


async def callers_share_by_weight(open_setting: OpenSetting) -> None:
    """Of one band, at any moment: with weights of 3 and 1, three turns for one, however much each has waiting."""
    async with staged(open_setting) as stage:
        for _ in range(40):
            await stage.submit(caller=HEAVY)
        for _ in range(10):
            await stage.submit(caller=OTHER)

        leases = await stage.lease_just(50)

        for turns in range(4, 41, 4):
            assert _turns_of(HEAVY, leases[:turns]) == turns * 3 // 4


async def a_flood_delays_another_caller_by_a_turn(open_setting: OpenSetting) -> None:
    """Who sends few beside one who sends very many has every other turn from the moment it comes."""
    async with staged(open_setting) as stage:
        for _ in range(200):
            await stage.submit(caller=ONE)
        for _ in range(50):
            await stage.lease()
        few = [await stage.submit(caller=OTHER) for _ in range(10)]

        leases = [await stage.lease() for _ in range(21)]

        turns = [_ids(leases).index(reader.task.id) for reader in few]
        assert all(turn <= 2 * place + 1 for place, turn in enumerate(turns)), turns


async def a_caller_at_its_max_concurrency_is_passed_over(open_setting: OpenSetting) -> None:
    """In all lanes, while others go on; when one of its tasks ends the next one goes, and a waiting worker hears."""
    async with staged(open_setting) as stage:
        for model in ("m", "n", "m", "n"):
            await stage.submit(model, caller=NARROW)
        other = await stage.submit(caller=OTHER)

        leases = await stage.lease_just(3)
        assert _turns_of(NARROW, leases) == NARROW.max_concurrency
        assert other.task.id in _ids(leases)

        for _ in range(2):
            leasing = asyncio.ensure_future(stage.lease())
            await stage.elapse(0)
            assert not leasing.done()
            await stage.succeed(next(lease for lease in leases if lease.task.caller == NARROW))
            leases = [await promptly(leasing, "the turn of a caller one of whose tasks has ended")]
        await stage.lease_nothing()


async def any_end_of_an_attempt_gives_its_caller_room(open_setting: OpenSetting) -> None:
    """Also one that sends its task into back-off, hands it back, or follows a cancellation."""
    narrow = Caller("narrow", max_concurrency=1)
    async with staged(open_setting) as stage:
        for settlement in (Retry(1000.0, counted=True, reason="failed"), GiveUp()):
            first, second = [await stage.submit(caller=narrow) for _ in range(2)]
            (lease,) = await stage.lease_just(1)
            assert lease.task == first.task
            if isinstance(settlement, GiveUp):
                await stage.broker.cancel(first.task.id)
                await stage.lease_nothing()  # it runs until its attempt has stopped

            await stage.settle(lease, settlement)

            (lease,) = await stage.lease_just(1)
            assert lease.task == second.task
            await stage.succeed(lease)


async def what_was_not_used_is_not_charged_to_the_caller(open_setting: OpenSetting) -> None:
    """A task handed back at a stop, or for another credential, has its turn again: nobody goes before it for that."""
    for settlement in (Release(), Retry(0.0, counted=False, reason="another key")):
        async with staged(open_setting) as stage:
            readers = [await stage.submit(caller=caller) for caller in (ONE, OTHER, ONE, OTHER)]
            await stage.settle(await stage.lease(), settlement)

            leases = await stage.lease_just(4)

            assert _ids(leases) == _ids(readers)


async def batch_leaves_a_share_to_others(open_setting: OpenSetting) -> None:
    """While somebody above batch was seen lately, a part of each window stays free, which they get at once.

    As much as they used of the last windows, at most the reserve, which is a fifth, and at least one request.
    """
    async with staged(open_setting, keys("a", quota=Quota(rpm=20))) as stage:
        for _ in range(5):
            await _goes_at_once(stage)
        await stage.elapse(1.0)
        await _goes_at_once(stage)
        for _ in range(40):
            await stage.submit(band=Band.BATCH)
        await stage.lease_just(20 - 6 - 1)
        await _goes_at_once(stage)
        await stage.lease_nothing()

        await stage.elapse(SPAN)

        await stage.lease_just(20 - 4)
        for _ in range(4):
            await _goes_at_once(stage)


async def batch_leaves_what_others_used_of_the_last_window(open_setting: OpenSetting) -> None:
    """Less than the reserve where they used less, though all of it was used at once and nobody has come since."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=20))) as stage:
        for _ in range(3):
            await _goes_at_once(stage)
        for _ in range(40):
            await stage.submit(band=Band.BATCH)
        await stage.lease_just(20 - 3 - 1)

        await stage.elapse(SPAN)

        await stage.lease_just(20 - 3)


async def batch_takes_all_when_nobody_else_is_there(open_setting: OpenSetting) -> None:
    """From the beginning, and again when those above it have not been seen for ten minutes."""
    async with staged(open_setting, keys("a", quota=Quota(rpm=10))) as stage:
        for _ in range(30):
            await stage.submit(band=Band.BATCH, max_wait=3600.0)
        await stage.lease_just(10)
        await stage.elapse(SPAN)
        await _goes_at_once(stage)
        await stage.lease_just(8)
        await stage.elapse(SEEN + SPAN)

        await stage.lease_just(10)


async def batch_leaves_slots_too(open_setting: OpenSetting) -> None:
    """Where slots are scarce: all of them where nobody else is there, else one is free for who comes."""
    async with staged(open_setting, slots=4) as stage:
        for _ in range(12):
            await stage.submit(band=Band.BATCH)
        leases = await stage.lease_just(4)
        for lease in leases:
            await stage.succeed(lease)
        await _goes_at_once(stage)

        await stage.lease_just(2)

        await _goes_at_once(stage)


async def _goes_at_once(stage: Stage) -> None:
    """Submit an interactive task, and lease it without any passing of time."""
    urgent = await stage.submit()
    assert (await stage.lease()).task == urgent.task


def _ids(those: Sequence[Lease] | Sequence[Reader]) -> list[str]:
    return [each.task.id for each in those]


def _turns_of(caller: Caller, leases: Sequence[Lease]) -> int:
    return sum(lease.task.caller == caller for lease in leases)


SCENARIOS: tuple[Scenario, ...] = (
    bands_go_strictly,
    an_urgent_task_overtakes_all_that_waits,
    callers_share_by_weight,
    a_flood_delays_another_caller_by_a_turn,
    a_caller_at_its_max_concurrency_is_passed_over,
    any_end_of_an_attempt_gives_its_caller_room,
    what_was_not_used_is_not_charged_to_the_caller,
    batch_leaves_a_share_to_others,
    batch_leaves_what_others_used_of_the_last_window,
    batch_takes_all_when_nobody_else_is_there,
    batch_leaves_slots_too,
)
