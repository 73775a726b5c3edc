"""What the memory broker has beside the contract: its shutdown, and what it logs."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from synapse.brokers.base import TaskEnd
from synapse.brokers.memory import MemoryBroker
from synapse.domain.errors import ShuttingDown
from synapse.domain.task import TaskState
from synapse.scheduling.credentials import NEVER, Rest
from synapse.scheduling.lanes import Slots
from synapse.scheduling.settlement import GiveUp, Retry
from synapse.testing import FakeClock
from synapse.testing.broker_contract import make_task
from synapse.testing.broker_contract.stage import PROVIDER, Reader, keys


@pytest.fixture
def ends() -> list[TaskEnd]:
    """Return where the ends of tasks are told."""
    return []


@pytest.fixture
def broker(clock: FakeClock, ends: list[TaskEnd]) -> MemoryBroker:
    """Return a broker with one key."""
    return MemoryBroker({PROVIDER: keys("a")}, clock=clock, max_size=10, on_end=ends.append)


async def submit(broker: MemoryBroker, task_id: str) -> Reader:
    """Submit a task."""
    task = make_task(task_id)
    await broker.enqueue(task)
    return Reader(task, broker.subscribe(task_id))


async def test_the_broker_is_idle_when_nothing_is_held(broker: MemoryBroker, clock: FakeClock) -> None:
    """A task that is over but still read counts; an empty broker is idle at once."""
    await broker.idle()
    first, second = await submit(broker, "t1"), await submit(broker, "t2")
    waiting = asyncio.ensure_future(broker.idle())

    await broker.cancel("t1")
    await broker.cancel("t2")
    await first.leave()
    await clock.elapse(0.0)
    assert not waiting.done()
    await second.leave()

    await waiting


async def test_a_task_that_comes_meanwhile_is_waited_for_too(broker: MemoryBroker, clock: FakeClock) -> None:
    """Idle means that nothing is held at the moment it is said."""
    first = await submit(broker, "t1")
    waiting = asyncio.ensure_future(broker.idle())
    await clock.elapse(0.0)

    await first.leave()
    second = await submit(broker, "t2")
    await clock.elapse(0.0)
    assert not waiting.done()
    await second.leave()

    await waiting


async def test_closing_ends_all_there_is(broker: MemoryBroker, clock: FakeClock, ends: list[TaskEnd]) -> None:
    """Whether it runs, backs off or waits, each reader hears why; the attempt that runs is stopped."""
    running, delayed, waiting = [await submit(broker, f"t{number}") for number in range(3)]
    lease, other = broker.lease(Slots(2)), broker.lease(Slots(2))
    assert lease is not None
    assert other is not None
    await broker.settle(other, Retry(30.0, counted=True, reason="failed"))

    broker.close(ShuttingDown("the server shut down"))

    assert lease.revoked
    await broker.settle(lease, GiveUp())
    for reader in (running, delayed, waiting):
        assert (await reader.error()).code == "shutting_down"
        await reader.leave()
    assert [end.state for end in ends] == [TaskState.CANCELLED] * 3
    assert broker.stats().held == 0
    assert clock.timers == 0


async def test_a_rest_is_logged_once_and_without_the_key(broker: MemoryBroker, clock: FakeClock) -> None:
    """With the provider's reason; not again for what is known already."""
    await submit(broker, "t1")
    with capture_logs() as logs:
        for until in (clock.now() + 32.0, clock.now() + 16.0, NEVER):
            lease = broker.lease(Slots(1))
            if lease is not None:
                assert lease.credential is not None
                rest = Rest(lease.credential, "another", until, "used up")
                await broker.settle(lease, Retry(0.0, counted=False, reason="used up", rest=rest))

    assert [(entry["event"], entry["seconds"], entry["model"], entry["reason"]) for entry in logs] == [
        ("credential rests", 32.0, "another", "used up"),
        ("credential rests", None, "another", "used up"),
    ]
    assert all(entry["log_level"] == "warning" for entry in logs)
    assert "key-of-a" not in str(logs)


async def test_a_reader_that_leaves_by_an_error_leaves(broker: MemoryBroker, ends: list[TaskEnd]) -> None:
    """The block that reads may end in any way: the task is cancelled, the error goes on."""
    await broker.enqueue(make_task("t1"))

    with pytest.raises(ZeroDivisionError):
        async with broker.subscribe("t1"):
            raise ZeroDivisionError

    assert [end.state for end in ends] == [TaskState.CANCELLED]


async def test_the_end_of_a_task_needs_nobody_to_hear_of_it(clock: FakeClock) -> None:
    """Without anyone to tell, tasks end all the same."""
    broker = MemoryBroker({PROVIDER: keys()}, clock=clock, max_size=10)
    reader = await submit(broker, "t1")

    await broker.cancel("t1")

    assert (await reader.error()).code == "cancelled"
