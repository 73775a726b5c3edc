"""A model that fails and fails is left alone for a while, and then tried with care."""

from __future__ import annotations

from synapse.brokers.base import Lease
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.breaker import SHORTEST, THRESHOLD
from synapse.scheduling.settlement import Retry
from synapse.testing.broker_contract.props import keys
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged


async def a_model_that_keeps_failing_is_left_alone(open_setting: OpenSetting) -> None:
    """After some failures in a row nothing goes there until a pause is over; other models of the provider go on."""
    async with staged(open_setting, keys("a", "b")) as stage:
        await _break(stage)
        other = await stage.submit("another")
        assert [lease.task for lease in await stage.lease_just(1)] == [other.task]

        await stage.lease_after(SHORTEST)
        await stage.lease_nothing()


async def a_probe_that_is_answered_lets_all_go(open_setting: OpenSetting) -> None:
    """One task tries it; the others wait for what becomes of that one."""
    async with staged(open_setting, keys("a", "b")) as stage:
        await _break(stage)
        probe = await stage.lease_after(SHORTEST)
        await stage.elapse(100.0)
        await stage.lease_nothing()

        await stage.succeed(probe)

        await stage.lease_just(THRESHOLD)


async def a_probe_that_fails_doubles_the_pause(open_setting: OpenSetting) -> None:
    """Each time, until one is answered."""
    async with staged(open_setting, keys("a", "b")) as stage:
        await _break(stage)
        for pause in (SHORTEST, 2 * SHORTEST, 4 * SHORTEST):
            await _fail(stage, await stage.lease_after(pause))


async def a_probe_that_tells_nothing_is_followed_by_another(open_setting: OpenSetting) -> None:
    """Its caller went: somebody else tries, at once."""
    async with staged(open_setting, keys("a", "b")) as stage:
        await _break(stage)
        probe = await stage.lease_after(SHORTEST)
        await stage.broker.cancel(probe.task.id)
        await stage.lease_nothing()

        await stage.settle(probe, Retry(0.0, counted=True, reason="cancelled"))

        await stage.lease_just(1)


async def an_answer_in_between_shows_that_a_model_works(open_setting: OpenSetting) -> None:
    """Failures count in a row only."""
    async with staged(open_setting, keys("a", "b")) as stage:
        for _ in range(3):
            for _ in range(THRESHOLD - 1):
                await stage.submit()
                await _fail(stage, await stage.lease())
            await stage.submit("m")
            await stage.succeed(await stage.lease())

        await stage.submit()
        await stage.lease()


async def _break(stage: Stage) -> None:
    """Have a model fail so often that its circuit opens; one more task waits for it than has failed."""
    for _ in range(THRESHOLD + 1):
        await stage.submit()
    for lease in [await stage.lease() for _ in range(THRESHOLD)]:
        await _fail(stage, lease)
    await stage.lease_nothing()


async def _fail(stage: Stage, lease: Lease) -> None:
    cut = Failure(FailureClass.TRANSIENT, "cut")
    await stage.settle(lease, Retry(0.0, counted=True, reason="cut", failure=cut))


SCENARIOS: tuple[Scenario, ...] = (
    a_model_that_keeps_failing_is_left_alone,
    a_probe_that_is_answered_lets_all_go,
    a_probe_that_fails_doubles_the_pause,
    a_probe_that_tells_nothing_is_followed_by_another,
    an_answer_in_between_shows_that_a_model_works,
)
