"""The one door of all protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from synapse.brokers.base import Broker, Place
from synapse.domain.answer import Answer, Collector
from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.errors import (
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    ProviderFailed,
    QueueFull,
    ShuttingDown,
    SynapseError,
)
from synapse.domain.events import Delta, Error, Finish, FinishReason, Restart
from synapse.domain.request import prompt_request
from synapse.domain.standing import KeyStanding
from synapse.domain.task import Route, Task
from synapse.domain.usage import Usage
from synapse.service import Limits, Service
from synapse.testing import FakeClock

if TYPE_CHECKING:
    from synapse.brokers.base import Subscription

FAST = Route("fast", "gemini", "gemini-2.5-flash-lite")
SLOW = Route("slow", "gemini", "gemini-2.5-pro")
ECHO = Route("sim/echo", "simulator", "sim/echo")
MODELS = {route.code: route for route in (FAST, SLOW, ECHO)}
FALLBACKS = {"fast": ("slow", "sim/echo")}
FINISH = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))
STANDING = KeyStanding("gemini", "…cdef", "mine", None, (), 0, None, None)
BANDS = list(Band)


class Recorder:
    """The side of a broker that a service meets: what it was told, and what it says."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.tasks: list[Task] = []
        self.cancelled: list[str] = []
        self.read: list[str] = []
        self.places: dict[str, Place] = {}
        self.refusal: SynapseError | None = None

    async def enqueue(self, task: Task) -> None:
        """Accept a task, or refuse it."""
        if self.refusal is not None:
            raise self.refusal
        self.tasks.append(task)

    async def cancel(self, task_id: str) -> None:
        """Note who was to be cancelled."""
        self.cancelled.append(task_id)

    def subscribe(self, task_id: str) -> Subscription:
        """Note whose log is read."""
        self.read.append(task_id)
        return cast("Subscription", self)

    def place(self, task_id: str) -> Place | None:
        """Say what a test has said."""
        return self.places.get(task_id)


class Door:
    """A service, and what is behind it."""

    def __init__(self, clock: FakeClock) -> None:
        """Open it."""
        self.broker = Recorder()
        ids = iter(["id-1", "id-2"])
        self.service = Service(
            cast("Broker", self.broker),
            MODELS,
            clock=clock,
            new_id=lambda: next(ids),
            limits=Limits(max_wait=60.0, timeout=300.0),
            fallbacks=FALLBACKS,
            fallback_after=12.0,
            keys=lambda: [STANDING],
        )


@pytest.fixture
def door(clock: FakeClock) -> Door:
    """Return a service over a broker."""
    return Door(clock)


async def test_a_request_becomes_a_task(door: Door, clock: FakeClock) -> None:
    """With the provider and the name that its model code stands for, and the configured limits and fallbacks."""
    request = prompt_request("fast", "Why?", stream=True)

    task = await door.service.submit(request)

    assert task == Task(
        id="id-1",
        request=request,
        provider="gemini",
        model="gemini-2.5-flash-lite",
        created_at=clock.now(),
        max_wait=60.0,
        timeout=300.0,
        caller=ANONYMOUS,
        band=Band.INTERACTIVE,
        fallbacks=(SLOW, ECHO),
        fallback_after=12.0,
    )
    assert door.broker.tasks == [task]


@pytest.mark.parametrize("limits", [(5.0, 7.0), (0.0, 0.0)])
async def test_a_callers_limits_are_stronger(door: Door, limits: tuple[float, float]) -> None:
    """Also where they are nothing."""
    task = await door.service.submit(prompt_request("fast", "Why?"), max_wait=limits[0], timeout=limits[1])

    assert (task.max_wait, task.timeout) == limits


@pytest.mark.parametrize("ceiling", BANDS)
@pytest.mark.parametrize("priority", [None, *BANDS])
async def test_a_callers_band_is_its_ceiling(door: Door, ceiling: Band, priority: Band | None) -> None:
    """A task asks for less urgency or gets its caller's band; never for more."""
    task = await door.service.submit(
        prompt_request("fast", "Why?"), caller=Caller("app", band=ceiling), priority=priority
    )

    assert task.band.rank == max(ceiling.rank, priority.rank if priority is not None else 0)
    assert task.caller == Caller("app", band=ceiling)


async def test_a_task_is_followed_placed_and_cancelled_by_its_id(door: Door) -> None:
    """All of that is the broker's."""
    task = await door.service.submit(prompt_request("fast", "Why?"))
    door.broker.places[task.id] = Place(3, 12.5)

    followed = door.service.follow(task)
    await door.service.cancel(task.id)

    assert (followed, door.broker.read, door.broker.cancelled) == (door.broker, ["id-1"], ["id-1"])
    assert door.service.place(task.id) == Place(3, 12.5)
    assert door.service.place("another") is None


def test_the_models_are_listed_in_the_order_of_the_configuration(door: Door) -> None:
    """By the codes that callers use; of them those that the caller may use."""
    assert door.service.models() == ["fast", "slow", "sim/echo"]
    assert door.service.models(Caller("app", models=frozenset({"sim/echo", "fast"}))) == ["fast", "sim/echo"]


async def test_an_unknown_model_is_refused_with_those_there_are(door: Door) -> None:
    """The message has the code that was sent, all that might have been, and the nearest one."""
    with pytest.raises(ModelNotFound) as caught:
        await door.service.submit(prompt_request("sim/ecko", "Why?"))

    assert caught.value.message == (
        "there is no model 'sim/ecko', did you mean 'sim/echo'? The models are: fast, slow, sim/echo"
    )
    assert caught.value.field == "model_code"
    assert door.broker.tasks == []


async def test_nothing_is_guessed_where_nothing_is_near(door: Door) -> None:
    """A code unlike all others is just unknown."""
    with pytest.raises(ModelNotFound, match=r"^there is no model 'o9'\. The models are: fast, slow, sim/echo$"):
        await door.service.submit(prompt_request("o9", "Why?"))


async def test_a_code_of_any_length_is_refused_in_few_words(door: Door) -> None:
    """What a caller sends is not sent back at length, nor compared at length."""
    long = "sim/echo" + "o" * 10_000_000

    with pytest.raises(ModelNotFound) as model:
        await door.service.submit(prompt_request(long, "Why?"))
    with pytest.raises(InvalidRequest) as fallback:
        await door.service.submit(prompt_request("fast", "Why?"), fallbacks=[long])

    assert len(model.value.message) < 500
    assert len(fallback.value.message) < 500


async def test_a_model_that_is_not_for_the_caller_is_refused_with_those_that_are(door: Door) -> None:
    """And what is not there at all is told apart from it, without naming the others."""
    caller = Caller("app", models=frozenset({"slow", "sim/echo"}))

    with pytest.raises(PermissionDenied) as denied:
        await door.service.submit(prompt_request("fast", "Why?"), caller=caller)
    with pytest.raises(ModelNotFound) as unknown:
        await door.service.submit(prompt_request("fest", "Why?"), caller=caller)

    assert denied.value.message == (
        "model_code: the caller 'app' may not use the model 'fast'; it may use slow, sim/echo"
    )
    assert denied.value.field == "model_code"
    assert unknown.value.message == "there is no model 'fest'. The models are: slow, sim/echo"
    assert door.broker.tasks == []


@pytest.mark.parametrize(
    ("asked", "expected"), [([], ()), (["sim/echo"], (ECHO,)), (["sim/echo", "slow"], (ECHO, SLOW))]
)
async def test_a_request_may_have_fallbacks_of_its_own(
    door: Door, asked: list[str], expected: tuple[Route, ...]
) -> None:
    """They stand in the place of the configured ones, in the order asked for; none is a choice too."""
    assert (await door.service.submit(prompt_request("fast", "Why?"), fallbacks=asked)).fallbacks == expected


async def test_a_configured_fallback_that_is_not_for_the_caller_is_left_out(door: Door) -> None:
    """A fallback is no way around what a caller may use."""
    caller = Caller("app", models=frozenset({"fast", "sim/echo"}))

    assert (await door.service.submit(prompt_request("fast", "Why?"), caller=caller)).fallbacks == (ECHO,)


@pytest.mark.parametrize(
    ("asked", "error", "field", "message"),
    [
        (
            ["slow", "sim/ecko"],
            InvalidRequest,
            "fallbacks[1]",
            "fallbacks[1]: there is no model 'sim/ecko', did you mean 'sim/echo'? The models are: fast, slow, sim/echo",
        ),
        (
            ["hidden"],
            PermissionDenied,
            "fallbacks[0]",
            "fallbacks[0]: the caller 'app' may not use the model 'hidden'; it may use fast, slow, sim/echo",
        ),
        (
            ["fast"],
            InvalidRequest,
            "fallbacks[0]",
            "fallbacks[0]: 'fast' is asked for already; name each model once",
        ),
        (
            ["slow", "slow"],
            InvalidRequest,
            "fallbacks[1]",
            "fallbacks[1]: 'slow' is asked for already; name each model once",
        ),
    ],
)
async def test_a_fallback_is_another_model_that_is_there_and_allowed(
    clock: FakeClock, asked: list[str], error: type[SynapseError], field: str, message: str
) -> None:
    """The error has the place in the list."""
    door = Door(clock)
    models = {**MODELS, "hidden": Route("hidden", "gemini", "h")}
    service = Service(cast("Broker", door.broker), models, clock=clock, new_id=lambda: "id", limits=Limits())
    caller = Caller("app", models=frozenset(MODELS))

    with pytest.raises(error) as caught:
        await service.submit(prompt_request("fast", "Why?"), caller=caller, fallbacks=asked)

    assert (caught.value.field, caught.value.message) == (field, message)
    assert door.broker.tasks == []


def test_the_keys_are_told_to_those_who_may_see_them(door: Door) -> None:
    """Where callers are not told apart that is everybody."""
    assert door.service.keys(ANONYMOUS) == door.service.keys(Caller("ops", admin=True)) == [STANDING]
    with pytest.raises(PermissionDenied, match=r"^the caller 'app' may not see the keys: `admin: true`"):
        door.service.keys(Caller("app"))


async def test_what_the_broker_refuses_is_refused(door: Door) -> None:
    """With the broker's own error."""
    door.broker.refusal = QueueFull("full", retry_after=1.0)

    with pytest.raises(QueueFull) as caught:
        await door.service.submit(prompt_request("fast", "Why?"))

    assert caught.value is door.broker.refusal


async def test_a_draining_service_takes_nothing_new(door: Door) -> None:
    """It says when to try again; what was accepted goes on."""
    task = await door.service.submit(prompt_request("fast", "Why?"))
    assert not door.service.draining

    door.service.drain()

    assert door.service.draining
    with pytest.raises(ShuttingDown) as caught:
        await door.service.submit(prompt_request("fast", "Why?"))
    assert caught.value.retry_after == 1.0
    assert door.broker.tasks == [task]
    assert door.broker.cancelled == []


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
