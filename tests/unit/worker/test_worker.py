"""The worker: how many attempts run, when they start, and what a stop does to them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from structlog.testing import capture_logs

from synapse.brokers.memory import MemoryBroker
from synapse.domain.events import Delta, Finish, FinishReason, Restart
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Quota
from synapse.domain.task import Route, TaskState
from synapse.testing import HANG, FakeClock, ScriptedProvider
from synapse.testing.broker_contract import make_task
from synapse.testing.broker_contract.props import keys
from synapse.testing.broker_contract.reader import Reader
from synapse.worker.worker import Worker

if TYPE_CHECKING:
    from conftest import Start

STOP = Finish(FinishReason.STOP)


async def test_no_more_run_than_there_are_slots(start: Start, clock: FakeClock) -> None:
    """The others wait in their lane, and start one by one as slots come free."""
    gates = [asyncio.Event() for _ in range(3)]
    provider = ScriptedProvider(*((gate, "done", STOP) for gate in gates))
    stack = start(provider, slots=2)
    readers = [await stack.submit() for _ in range(3)]
    await clock.elapse(0.0)
    assert (provider.open, stack.broker.stats().waiting) == (2, 1)

    gates[1].set()
    await clock.elapse(0.0)

    assert (provider.open, stack.broker.stats().waiting) == (2, 0)
    assert provider.calls[2].request == readers[2].task.request


async def test_a_task_starts_when_it_arrives(start: Start, clock: FakeClock) -> None:
    """An idle worker needs no passing of time to take what comes, however long it was idle."""
    provider = ScriptedProvider(["a", STOP], ["b", STOP])
    stack = start(provider)
    for text in ("a", "b"):
        await clock.elapse(1000.0)

        reader = await stack.submit()

        assert [event for _, event in await reader.read_to_the_end()] == [Delta(text), STOP]


async def test_a_busy_lane_leaves_another_its_share(start: Start, clock: FakeClock) -> None:
    """A second model's task starts though the first one's fill all slots."""
    provider = ScriptedProvider(*([HANG] for _ in range(5)))
    stack = start(provider, slots=4)
    for _ in range(8):
        await stack.submit("greedy")
    await clock.elapse(0.0)
    assert provider.open == 4

    await stack.submit("late")
    await clock.elapse(0.0)

    assert [call.model for call in provider.calls] == ["greedy"] * 4 + ["late"]


async def test_each_task_goes_to_its_own_provider(start: Start, clock: FakeClock) -> None:
    """Providers are found by the name in the task."""
    providers = {"one": ScriptedProvider(["from one", STOP]), "two": ScriptedProvider(["from two", STOP])}
    broker = MemoryBroker({name: keys() for name in providers}, clock=clock, max_size=10)
    worker = Worker(broker, providers, start(ScriptedProvider()).rules, slots=1)
    serving = asyncio.ensure_future(worker.run())

    for name in providers:
        task = msgspec.structs.replace(make_task(f"for-{name}"), provider=name)
        await broker.enqueue(task)
        entries = await Reader(task, broker.subscribe(task.id)).read_to_the_end()
        assert entries[0][1] == Delta(f"from {name}")

    serving.cancel()
    await asyncio.wait([serving])


async def test_a_task_that_falls_back_starts_at_once(start: Start, clock: FakeClock) -> None:
    """Its first choice turns out to be closed while it waits: the other provider answers, and that is said."""
    refused = asyncio.Event()
    used_up = Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=64.0)
    providers = {"p": ScriptedProvider([refused, used_up]), "q": ScriptedProvider(["from q", STOP])}
    ledgers = {"p": keys("a", quota=Quota(rpm=1000, concurrency=1)), "q": keys(provider="q")}
    broker = MemoryBroker(ledgers, clock=clock, max_size=10)
    serving = asyncio.ensure_future(Worker(broker, providers, start(ScriptedProvider()).rules, slots=4).run())
    await clock.elapse(0.0)
    await broker.enqueue(make_task("t1"))
    task = make_task("t2", fallbacks=(Route("spare", "q", "m"),))
    await broker.enqueue(task)

    refused.set()
    events = [event for _, event in await Reader(task, broker.subscribe("t2")).read_to_the_end()]

    assert events == [Delta("from q"), msgspec.structs.replace(STOP, fallen_to="spare")]
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_stopping_worker_hands_back_what_it_runs(start: Start) -> None:
    """Its connections close, its tasks are the next worker's, as if they had not been leased."""
    provider = ScriptedProvider(["Hel", HANG], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit()
    await reader.read()

    await stack.stop()

    assert (provider.open, provider.closed_early) == (0, 1)
    assert (stack.broker.stats().waiting, stack.broker.stats().running) == (1, 0)
    assert stack.serving is not None
    assert stack.serving.cancelled()
    stack.serve()
    events = [event for _, event in await reader.read_to_the_end()]
    assert [type(event) for event in events] == [Delta, Restart, Delta, Finish]
    assert stack.ends[0].attempts == 1


@pytest.mark.parametrize("turns", range(5))
async def test_a_worker_stopped_at_the_moment_of_a_start_hands_back(start: Start, turns: int) -> None:
    """Whether the attempt was about to be made, has not made its first step or has just begun: nothing is lost."""
    provider = ScriptedProvider([HANG])
    stack = start(provider)
    await stack.submit()
    for _ in range(turns):
        await asyncio.sleep(0)

    await stack.stop()

    assert (stack.broker.stats().waiting, stack.broker.stats().running) == (1, 0)
    assert (stack.worker.slots.taken, provider.open) == (0, 0)


async def test_a_stopped_worker_takes_nothing(start: Start, clock: FakeClock) -> None:
    """What arrives afterwards waits, and expires when nobody takes it."""
    provider = ScriptedProvider()
    stack = start(provider)
    await clock.elapse(0.0)
    await stack.stop()

    reader = await stack.submit()
    await clock.elapse(599.0)
    assert stack.broker.stats().waiting == 1
    await clock.elapse(1.0)

    assert (await reader.error()).code == "expired"
    assert not provider.calls


async def test_a_fault_of_a_provider_is_an_internal_error(start: Start, clock: FakeClock) -> None:
    """The caller hears that it was Synapse, the log has the reason but no prompt, and the worker works on."""
    provider = ScriptedProvider(["Hel", ZeroDivisionError("a bug")], ["Hello", STOP])
    stack = start(provider, slots=1)
    with capture_logs() as logs:
        first, second = await stack.submit(), await stack.submit()
        error = await first.error()
        await second.read_to_the_end()
        await clock.elapse(0.0)

    assert error.code == "internal_error"
    assert "a bug" not in error.message
    assert first.task.id in error.message
    assert stack.ends[0].state is TaskState.FAILED
    assert stack.ends[1].state is TaskState.SUCCEEDED
    assert (provider.open, stack.worker.slots.taken) == (0, 0)
    (fault,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert fault["task"] == first.task.id
    assert isinstance(fault["exc_info"], ZeroDivisionError)
    assert "prompt" not in str({key: value for key, value in fault.items() if key != "exc_info"})


async def test_an_attempt_too_many_for_the_script_is_a_clear_fault(start: Start) -> None:
    """A test whose provider is asked more often than it wrote down finds that in the log."""
    stack = start(ScriptedProvider())
    with capture_logs() as logs:
        reader = await stack.submit()
        assert (await reader.error()).code == "internal_error"
        await asyncio.sleep(0)

    (fault,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert str(fault["exc_info"]) == "attempt 1 at the scripted provider, which has scripts for 0 attempts"
