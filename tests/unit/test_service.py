"""The one door of all protocols."""

from __future__ import annotations

import pytest

from synapse.brokers.base import TaskEnd
from synapse.brokers.memory import MemoryBroker
from synapse.domain.errors import ModelNotFound, NoCredentials, ProviderFailed, ShuttingDown
from synapse.domain.events import Delta, Error, Finish, FinishReason, Restart
from synapse.domain.request import prompt_request
from synapse.domain.task import Task, TaskState
from synapse.domain.usage import Usage
from synapse.scheduling.credentials import CredentialPool
from synapse.scheduling.lanes import Slots
from synapse.scheduling.settlement import Succeed
from synapse.service import Answer, Collector, Limits, Model, Service
from synapse.testing import FakeClock

MODELS = {
    "fast": Model("gemini", "gemini-2.5-flash-lite"),
    "sim/echo": Model("simulator", "sim/echo"),
    "keyless": Model("locked", "m"),
}
FINISH = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))


class Door:
    """A service, and what is behind it."""

    def __init__(self, clock: FakeClock) -> None:
        """Open it."""
        pools = {"gemini": CredentialPool("gemini", []), "simulator": CredentialPool("simulator", [])}
        pools["locked"] = CredentialPool("locked", [], variables=("LOCKED_API_KEYS",))
        self.ends: list[TaskEnd] = []
        self.broker = MemoryBroker(pools, clock=clock, max_size=10, on_end=self.ends.append)
        ids = iter(["id-1", "id-2"])
        limits = Limits(max_wait=60.0, timeout=300.0)
        self.service = Service(self.broker, MODELS, clock=clock, new_id=lambda: next(ids), limits=limits)


@pytest.fixture
def door(clock: FakeClock) -> Door:
    """Return a service over a memory broker."""
    return Door(clock)


async def test_a_request_becomes_a_task(door: Door, clock: FakeClock) -> None:
    """With the provider and the name that its model code stands for, and the configured limits."""
    request = prompt_request("fast", "Why?", stream=True)

    task = await door.service.submit(request)

    assert task == Task("id-1", request, "gemini", "gemini-2.5-flash-lite", "anonymous", clock.now(), 60.0, 300.0)
    assert door.broker.stats().waiting == 1


@pytest.mark.parametrize("limits", [(5.0, 7.0), (0.0, 0.0)])
async def test_a_callers_limits_are_stronger(door: Door, limits: tuple[float, float]) -> None:
    """Also where they are nothing."""
    task = await door.service.submit(prompt_request("fast", "Why?"), max_wait=limits[0], timeout=limits[1])

    assert (task.max_wait, task.timeout) == limits


async def test_a_task_can_be_followed_to_its_end(door: Door) -> None:
    """What the worker writes is what the follower reads."""
    task = await door.service.submit(prompt_request("fast", "Why?"))
    async with door.service.follow(task) as log:
        lease = door.broker.lease(Slots(1))
        assert lease is not None
        await door.broker.publish(lease, [Delta("Because.")])
        await door.broker.settle(lease, Succeed(FINISH))

        assert await log.next(5.0) == [((1, 1), Delta("Because.")), ((1, 2), FINISH)]


async def test_ceasing_to_follow_cancels(door: Door) -> None:
    """Nobody is left who wants the answer."""
    task = await door.service.submit(prompt_request("fast", "Why?"))

    async with door.service.follow(task):
        pass

    assert [end.state for end in door.ends] == [TaskState.CANCELLED]


async def test_a_task_can_be_cancelled(door: Door) -> None:
    """By its id; its follower hears of it."""
    task = await door.service.submit(prompt_request("fast", "Why?"))
    async with door.service.follow(task) as log:
        await door.service.cancel(task.id)

        ((_, event),) = await log.next(5.0)
        assert isinstance(event, Error)
        assert event.error.code == "cancelled"


def test_the_models_are_listed_in_the_order_of_the_configuration(door: Door) -> None:
    """By the codes that callers use."""
    assert door.service.models() == ["fast", "sim/echo", "keyless"]


async def test_an_unknown_model_is_refused_with_those_there_are(door: Door) -> None:
    """The message has the code that was sent, all that might have been, and the nearest one."""
    with pytest.raises(ModelNotFound) as caught:
        await door.service.submit(prompt_request("sim/ecko", "Why?"))

    assert caught.value.message == (
        "there is no model 'sim/ecko', did you mean 'sim/echo'? The models are: fast, sim/echo, keyless"
    )
    assert caught.value.field == "model_code"
    assert door.broker.stats().held == 0


async def test_nothing_is_guessed_where_nothing_is_near(door: Door) -> None:
    """A code unlike all others is just unknown."""
    with pytest.raises(ModelNotFound, match=r"^there is no model 'o9'\. The models are: fast, sim/echo, keyless$"):
        await door.service.submit(prompt_request("o9", "Why?"))


async def test_a_code_of_any_length_is_refused_in_few_words(door: Door) -> None:
    """What a caller sends is not sent back at length, nor compared at length."""
    with pytest.raises(ModelNotFound) as caught:
        await door.service.submit(prompt_request("sim/echo" + "o" * 10_000_000, "Why?"))

    assert len(caught.value.message) < 500


async def test_what_the_broker_refuses_is_refused(door: Door) -> None:
    """A model without a key says which variable to set."""
    with pytest.raises(NoCredentials, match="LOCKED_API_KEYS"):
        await door.service.submit(prompt_request("keyless", "Why?"))


async def test_a_draining_service_takes_nothing_new(door: Door) -> None:
    """It says when to try again; what was accepted goes on."""
    task = await door.service.submit(prompt_request("fast", "Why?"))
    assert not door.service.draining

    door.service.drain()

    assert door.service.draining
    with pytest.raises(ShuttingDown) as caught:
        await door.service.submit(prompt_request("fast", "Why?"))
    assert caught.value.retry_after == 1.0
    lease = door.broker.lease(Slots(1))
    assert lease is not None
    assert lease.task == task


# --- the whole answer


def test_a_whole_answer_is_the_text_of_all_deltas() -> None:
    """It is there with the finish, and not before."""
    collector = Collector()

    assert collector.add(Delta("Hel")) is None
    assert collector.add(Delta("lo")) is None
    assert collector.add(FINISH) == Answer("Hello", FINISH)


def test_what_a_restart_voids_is_not_in_the_answer() -> None:
    """Only the last attempt's text counts."""
    collector = Collector()
    for event in (Delta("void"), Restart("cut"), Delta("void too"), Restart("cut"), Delta("valid")):
        assert collector.add(event) is None

    assert collector.add(FINISH) == Answer("valid", FINISH)


def test_an_answer_that_ends_with_an_error_raises_it() -> None:
    """The very error of the log."""
    error = ProviderFailed("it is on fire")
    collector = Collector()
    collector.add(Delta("Hel"))

    with pytest.raises(ProviderFailed) as caught:
        collector.add(Error(error))

    assert caught.value is error
