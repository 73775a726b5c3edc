"""The order in which tasks leave their lanes, and how many may wait in them."""

from __future__ import annotations

from synapse.domain.errors import QueueFull
from synapse.scheduling.settlement import Retry
from synapse.testing.broker_contract.props import make_task
from synapse.testing.broker_contract.reader import refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, staged


async def tasks_leave_their_lane_in_order_of_arrival(open_setting: OpenSetting) -> None:
    """First in, first out within a lane."""
    async with staged(open_setting) as stage:
        readers = [await stage.submit() for _ in range(5)]

        leases = [await stage.lease() for _ in range(5)]

        assert [lease.task for lease in leases] == [reader.task for reader in readers]
        for lease in leases:
            await stage.succeed(lease)


async def a_task_is_leased_to_one_worker(open_setting: OpenSetting) -> None:
    """What is leased is not leased again while it runs, nor when it has ended."""
    async with staged(open_setting) as stage:
        await stage.submit()

        lease = await stage.lease()
        await stage.lease_nothing()
        await stage.succeed(lease)

        await stage.lease_nothing()


async def an_arrival_is_announced_to_a_waiting_worker(open_setting: OpenSetting) -> None:
    """A worker that found nothing hears of the next task, and of none when it has stopped listening."""
    async with staged(open_setting) as stage:
        heard: list[None] = []
        stage.broker.when_ready(lambda: heard.append(None))
        await stage.lease_nothing()
        await stage.elapse(0)
        assert not heard

        await stage.submit()
        await stage.elapse(0)
        assert heard
        await stage.lease()
        await stage.lease_nothing()

        heard.clear()
        stage.broker.when_ready(None)
        await stage.submit()
        await stage.elapse(0)
        assert not heard


async def a_lane_with_all_slots_leaves_another_its_share(open_setting: OpenSetting) -> None:
    """A lane that filled every slot while it was alone does not keep a later one waiting, and then gets no more."""
    async with staged(open_setting, slots=4) as stage:
        for _ in range(6):
            await stage.submit("greedy")
        held = [await stage.lease() for _ in range(4)]
        await stage.lease_nothing()
        for _ in range(3):
            await stage.submit("late")

        shares = [await stage.lease() for _ in range(2)]
        assert {lease.task.model for lease in shares} == {"late"}
        await stage.lease_nothing()

        await stage.succeed(held[0])
        await stage.lease_nothing()
        await stage.succeed(shares[0])
        assert (await stage.lease()).task.model == "late"


async def the_lane_that_runs_least_goes_first(open_setting: OpenSetting) -> None:
    """With slots to spare, lanes grow evenly."""
    async with staged(open_setting, slots=4) as stage:
        for model in ("a", "a", "a", "b", "b", "b"):
            await stage.submit(model)

        lanes = [(await stage.lease()).task.model for _ in range(4)]

        assert sorted(lanes) == ["a", "a", "b", "b"]


async def a_full_queue_refuses(open_setting: OpenSetting) -> None:
    """One task too many is refused at once, with a pause after which to try again; a running one takes no place."""
    async with staged(open_setting, max_size=2) as stage:
        await stage.submit()
        await stage.submit()

        error = await refused(QueueFull, stage.broker.enqueue(make_task("one too many")))
        assert error.retry_after is not None
        assert error.retry_after > 0

        await stage.lease()
        await stage.submit()
        assert stage.broker.stats().waiting == 2


async def a_task_in_back_off_takes_a_place_in_the_queue(open_setting: OpenSetting) -> None:
    """What waits between two attempts waits."""
    async with staged(open_setting, max_size=1) as stage:
        await stage.submit()
        lease = await stage.lease()
        await stage.settle(lease, Retry(30.0, counted=True, reason="failed"))

        assert stage.broker.stats().waiting == 1
        await refused(QueueFull, stage.broker.enqueue(make_task("one too many")))


SCENARIOS: tuple[Scenario, ...] = (
    tasks_leave_their_lane_in_order_of_arrival,
    a_task_is_leased_to_one_worker,
    an_arrival_is_announced_to_a_waiting_worker,
    a_lane_with_all_slots_leaves_another_its_share,
    the_lane_that_runs_least_goes_first,
    a_full_queue_refuses,
    a_task_in_back_off_takes_a_place_in_the_queue,
)
