"""One attempt at a task, from its lease to its settlement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.brokers.log import HIGH_WATER
from synapse.domain.events import Delta, Finish, FinishReason, Restart
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure
from synapse.domain.task import TaskState
from synapse.domain.usage import Usage
from synapse.scheduling.account import SPAN
from synapse.scheduling.slots import Slots
from synapse.testing import HANG, FakeClock, ScriptedProvider
from synapse.worker.attempt import Attempt

if TYPE_CHECKING:
    from conftest import Start
    from synapse.testing.broker_contract.reader import Reader

STOP = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))
CUT = Failure(FailureClass.TRANSIENT, "the connection was cut")
DEAD = Failure(FailureClass.CREDENTIAL_DEAD, "API key not valid")


async def events(reader: Reader) -> list[object]:
    """Read a log to its end; return the events."""
    return [event for _, event in await reader.read_to_the_end()]


async def test_an_answer_becomes_the_tasks_log(start: Start) -> None:
    """Deltas as they come, then the finish with its usage; the provider was asked for the task with its credential."""
    provider = ScriptedProvider(["Hel", "lo", STOP])
    stack = start(provider, "project")

    reader = await stack.submit()

    assert await events(reader) == [Delta("Hel"), Delta("lo"), STOP]
    (call,) = provider.calls
    assert (call.request, call.model) == (reader.task.request, reader.task.model)
    assert call.credential is not None
    assert call.credential.project == "project"
    assert (provider.open, provider.closed_early) == (0, 0)


async def test_each_delta_is_passed_on_when_it_comes(start: Start) -> None:
    """A reader has the first one while the second is still awaited."""
    more = asyncio.Event()
    stack = start(ScriptedProvider(["Hel", more, "lo", STOP]))
    reader = await stack.submit(stream=True)

    assert [event for _, event in await reader.read()] == [Delta("Hel")]

    more.set()
    assert await events(reader) == [Delta("Hel"), Delta("lo"), STOP]


async def test_what_comes_at_once_stays_in_order(start: Start) -> None:
    """A piece with deltas and the finish is written whole."""
    stack = start(ScriptedProvider([(Delta("Hel"), Delta("lo"), STOP)]))

    assert await events(await stack.submit()) == [Delta("Hel"), Delta("lo"), STOP]


async def test_text_before_a_failure_in_one_piece_is_shown(start: Start) -> None:
    """What a stream showed in the very piece that failed counts as shown."""
    stack = start(ScriptedProvider([(Delta("Hel"), CUT)]))

    reader = await stack.submit(stream=True)

    assert (await reader.error()).code == "provider_failed"
    assert reader.entries[0][1] == Delta("Hel")


async def test_an_empty_answer_is_an_answer(start: Start) -> None:
    """A finish alone ends the task well."""
    stack = start(ScriptedProvider([STOP]))

    assert await events(await stack.submit()) == [STOP]


# --- failures


async def test_a_callers_fault_is_told_at_once(start: Start, clock: FakeClock) -> None:
    """There is one attempt, and the provider's words reach the caller."""
    stack = start(ScriptedProvider([Failure(FailureClass.CALLER_FAULT, "the context is too long", status=400)]))

    reader = await stack.submit()
    error = await reader.error()
    await reader.leave()

    assert (error.code, error.message) == ("invalid_request", "p, model m: the context is too long")
    assert stack.ends[0].state is TaskState.FAILED
    assert clock.timers == 0


async def test_what_nobody_saw_is_tried_again(start: Start, clock: FakeClock) -> None:
    """A plain answer that broke off is void: the task backs off, then a whole new answer is the task's."""
    provider = ScriptedProvider(["Hel", CUT], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit()
    await clock.elapse(0.4)
    assert len(provider.calls) == 1

    await clock.elapse(0.1)

    assert [type(event) for event in await events(reader)] == [Delta, Restart, Delta, Finish]
    assert reader.entries[-2][1] == Delta("Hello")
    assert stack.ends[0].attempts == 2


async def test_what_was_shown_is_not_tried_again(start: Start, clock: FakeClock) -> None:
    """A stream of which text was seen ends with the error, so that nothing is seen twice."""
    provider = ScriptedProvider(["Hel", CUT])
    stack = start(provider)
    reader = await stack.submit(stream=True)
    await clock.elapse(60.0)

    error = await reader.error()

    assert (error.code, error.message) == ("provider_failed", "p, model m: the connection was cut")
    assert len(provider.calls) == 1


async def test_a_stream_that_failed_before_its_first_text_is_tried_again(start: Start, clock: FakeClock) -> None:
    """Progress without content was seen by nobody."""
    stack = start(ScriptedProvider([(), CUT], [CUT], ["Hello", STOP]))
    reader = await stack.submit(stream=True)

    await clock.elapse(60.0)

    assert await events(reader) == [Delta("Hello"), STOP]


async def test_all_attempts_used_up_is_a_failure(start: Start, clock: FakeClock) -> None:
    """The last failure is the task's, and says how many attempts there were."""
    provider = ScriptedProvider([CUT], [CUT], [CUT])
    stack = start(provider)
    reader = await stack.submit()

    await clock.elapse(60.0)

    error = await reader.error()
    assert error.message == "p, model m: the connection was cut (the last of 3 attempts)"
    assert stack.ends[0].attempts == 3


async def test_walking_past_dead_keys_uses_no_attempts(start: Start) -> None:
    """More dead keys than attempts lead to the one that works, at once; each key is asked once."""
    provider = ScriptedProvider([DEAD], [DEAD], [DEAD], [DEAD], [DEAD], ["Hello", STOP])
    stack = start(provider, *"abcdef")

    reader = await stack.submit()

    assert await events(reader) == [Delta("Hello"), STOP]
    assert sorted(call.credential.project for call in provider.calls if call.credential) == list("abcdef")
    assert stack.ends[0].attempts == 1


async def test_only_dead_keys_is_said_to_be_so(start: Start) -> None:
    """When the last key is refused the caller hears which variable to set, and no key."""
    stack = start(ScriptedProvider([DEAD], [DEAD]), "a", "b")

    error = await (await stack.submit()).error()

    assert error.code == "no_credentials"
    assert "P_API_KEYS" in error.message
    assert "API key not valid" in error.message
    assert "key-of-" not in error.message


async def test_a_provider_that_repeats_the_key_is_not_repeated(start: Start) -> None:
    """The caller reads what the provider said, with the end of the key at most."""
    stack = start(ScriptedProvider([Failure(FailureClass.CALLER_FAULT, "what is key-of-accounting?")]), "accounting")

    error = await (await stack.submit()).error()

    assert error.message == "p, model m: what is …ting?"


async def test_a_used_up_window_is_waited_for(start: Start, clock: FakeClock) -> None:
    """The task goes back to its lane, holds no slot, and goes again when the provider said."""
    used_up = Failure(FailureClass.QUOTA_MINUTE, "too many requests", status=429, retry_after=20.0)
    provider = ScriptedProvider([used_up], ["Hello", STOP])
    stack = start(provider, "a")
    reader = await stack.submit(stream=True)
    await clock.elapse(19.5)
    assert len(provider.calls) == 1
    assert stack.worker.slots.taken == 0

    await clock.elapse(0.5)

    assert await events(reader) == [Delta("Hello"), STOP]
    assert stack.ends[0].attempts == 1


@pytest.mark.parametrize(
    "failure", [Failure(FailureClass.MODEL_GONE, "no such model"), Failure(FailureClass.OVERLOADED, "no capacity")]
)
async def test_a_model_that_cannot_answer_is_left_for_another(start: Start, failure: Failure) -> None:
    """At once, without a back-off; the answer says who gave it."""
    provider = ScriptedProvider([failure], ["Hello", STOP])
    stack = start(provider)

    reader = await stack.submit(fallback="m2")

    assert await events(reader) == [Delta("Hello"), msgspec.structs.replace(STOP, fallen_to="the code of m2")]
    assert [call.model for call in provider.calls] == ["m", "m2"]


async def test_a_model_that_keeps_failing_is_left_for_another(start: Start, clock: FakeClock) -> None:
    """When its attempts are used up; the other model has attempts of its own."""
    provider = ScriptedProvider([CUT], [CUT], [CUT], [CUT], [CUT], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit(fallback="m2")

    await clock.elapse(60.0)

    assert await events(reader) == [Delta("Hello"), msgspec.structs.replace(STOP, fallen_to="the code of m2")]
    assert [call.model for call in provider.calls] == ["m"] * 3 + ["m2"] * 3


async def test_what_was_shown_is_not_begun_again_elsewhere(start: Start, clock: FakeClock) -> None:
    """A fallback would repeat text as a retry would."""
    provider = ScriptedProvider(["Hel", Failure(FailureClass.OVERLOADED, "no capacity")])
    stack = start(provider)
    reader = await stack.submit(stream=True, fallback="m2")

    await clock.elapse(60.0)

    assert (await reader.error()).code == "provider_failed"
    assert len(provider.calls) == 1


async def test_what_a_provider_says_of_its_limits_is_kept_to(start: Start, clock: FakeClock) -> None:
    """From the moment that it is heard, while the answer still goes on."""
    full = Headroom(Measure.RPM, limit=2, remaining=1), Headroom(Measure.TPM, limit=100_000)
    provider = ScriptedProvider([full, HANG], *[["Hello", STOP]] * 2)
    stack = start(provider, "a")
    await stack.submit()
    await clock.elapse(0.0)
    for _ in range(2):
        await stack.submit()
    await clock.elapse(SPAN - 0.5)
    assert len(provider.calls) == 2

    await clock.elapse(0.5)

    assert len(provider.calls) == 3


async def test_an_answer_that_just_stops_is_a_failure(start: Start, clock: FakeClock) -> None:
    """Without a word of how it ended, it may be cut."""
    stack = start(ScriptedProvider(["Hel"], ["Hel"], ["Hel"]))
    reader = await stack.submit()

    await clock.elapse(60.0)

    assert "the answer ended without saying so" in (await reader.error()).message


# --- time


@pytest.mark.parametrize(("stream", "patience"), [(True, 120.0), (False, 600.0)])
async def test_a_provider_of_which_nothing_is_heard_is_left(
    start: Start, clock: FakeClock, *, stream: bool, patience: float
) -> None:
    """Its connection is closed, and the task tried again. A plain answer, which comes all at once, may take longer."""
    provider = ScriptedProvider([HANG], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit(stream=stream)
    await clock.elapse(patience - 0.5)
    assert (provider.open, provider.closed_early) == (1, 0)

    await clock.elapse(1.0)

    assert provider.closed_early == 1
    assert await events(reader) == [Delta("Hello"), STOP]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_has_begun_is_waited_for_less_patiently(
    start: Start, clock: FakeClock, *, stream: bool
) -> None:
    """Once something of it has come, what stands still has stalled, though more was allowed before the first."""
    begin = asyncio.Event()
    provider = ScriptedProvider([begin, (), HANG], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit(stream=stream)
    await clock.elapse(110.0)
    begin.set()
    await clock.elapse(59.5)
    assert (provider.open, provider.closed_early) == (1, 0)

    await clock.elapse(1.0)

    assert provider.closed_early == 1
    assert await events(reader) == [Delta("Hello"), STOP]


async def test_what_a_provider_says_of_its_limits_is_no_beginning(start: Start, clock: FakeClock) -> None:
    """Headers are no data event: they neither put off the end of the first patience nor begin the second."""
    heard = asyncio.Event()
    limits = Headroom(Measure.RPM, limit=100)
    provider = ScriptedProvider([heard, limits, HANG], ["Hello", STOP])
    stack = start(provider)
    reader = await stack.submit(stream=True)
    await clock.elapse(50.0)
    heard.set()
    await clock.elapse(69.5)
    assert (provider.open, provider.closed_early) == (1, 0)

    await clock.elapse(1.0)

    assert provider.closed_early == 1
    assert await events(reader) == [Delta("Hello"), STOP]


@pytest.mark.parametrize(("first", "patience"), [(False, "120"), (True, "60")])
async def test_the_patience_that_ended_is_told(start: Start, clock: FakeClock, *, first: bool, patience: str) -> None:
    """The caller reads for how long nothing came, whichever of the limits it was."""
    steps = [(), HANG] if first else [HANG]
    stack = start(ScriptedProvider(steps, steps, steps))
    reader = await stack.submit(stream=True)

    await clock.elapse(1000.0)

    assert f"no data for {patience} s" in (await reader.error()).message


async def test_progress_without_content_is_no_stall(start: Start, clock: FakeClock) -> None:
    """A model that thinks for long shows that it lives."""
    beats = [asyncio.Event() for _ in range(5)]
    steps = [step for beat in beats for step in (beat, ())]
    stack = start(ScriptedProvider([*steps, "Hello", STOP]))
    reader = await stack.submit()

    for beat in beats:
        await clock.elapse(50.0)
        beat.set()

    assert await events(reader) == [Delta("Hello"), STOP]


async def test_a_slow_reader_is_no_stall(start: Start, clock: FakeClock) -> None:
    """While the answer waits for its reader, the provider is not to blame; it is once it is asked again."""
    large = "x" * HIGH_WATER
    provider = ScriptedProvider([large, "Hello", HANG])
    stack = start(provider)
    reader = await stack.submit(stream=True)
    await clock.elapse(1000.0)
    assert provider.open == 1

    await reader.read()
    await clock.elapse(59.0)
    assert provider.open == 1
    await clock.elapse(1.0)

    assert provider.closed_early == 1
    assert "no data for 60 s" in (await reader.error()).message


async def test_a_task_that_runs_past_its_timeout_is_ended(start: Start, clock: FakeClock) -> None:
    """However much still comes: the connection is closed and the caller told. It is not tried again."""
    provider = ScriptedProvider(["Hel", HANG])
    stack = start(provider)
    reader = await stack.submit(timeout=30.0)
    await clock.elapse(29.5)
    assert provider.open == 1

    await clock.elapse(0.5)

    error = await reader.error()
    assert (error.code, "30 s" in error.message) == ("timed_out", True)
    assert provider.closed_early == 1
    assert len(provider.calls) == 1


async def test_attempts_share_the_tasks_timeout(start: Start, clock: FakeClock) -> None:
    """The second attempt has what the first one left."""
    wait = asyncio.Event()
    provider = ScriptedProvider([wait, CUT], [HANG])
    stack = start(provider)
    reader = await stack.submit(timeout=40.0)
    await clock.elapse(30.0)
    wait.set()
    await clock.elapse(9.5)
    assert provider.open == 1

    await clock.elapse(0.5)

    assert (await reader.error()).code == "timed_out"


# --- ends from outside


async def test_cancelling_closes_the_providers_answer(start: Start, clock: FakeClock) -> None:
    """At once, and the slot is free."""
    provider = ScriptedProvider(["Hel", HANG])
    stack = start(provider)
    reader = await stack.submit()
    await reader.read()

    await stack.broker.cancel(reader.task.id)
    await clock.elapse(0.0)

    assert (provider.open, provider.closed_early) == (0, 1)
    assert (await reader.error()).code == "cancelled"
    assert stack.worker.slots.taken == 0
    await reader.leave()
    assert clock.timers == 0


async def test_a_caller_that_goes_closes_the_providers_answer(start: Start, clock: FakeClock) -> None:
    """Nobody pays for what nobody reads."""
    provider = ScriptedProvider(["Hel", HANG])
    stack = start(provider)
    reader = await stack.submit()
    await reader.read()

    await reader.leave()
    await clock.elapse(0.0)

    assert provider.closed_early == 1
    assert stack.broker.stats().held == 0


async def test_cancelling_ends_the_wait_for_a_slow_reader(start: Start, clock: FakeClock) -> None:
    """A held-back attempt is ended like any other."""
    provider = ScriptedProvider(["x" * HIGH_WATER, HANG])
    stack = start(provider)
    reader = await stack.submit()
    await clock.elapse(0.0)

    await stack.broker.cancel(reader.task.id)
    await clock.elapse(0.0)

    assert provider.closed_early == 1
    assert stack.worker.slots.taken == 0


async def test_an_attempt_whose_lease_was_lost_ends_quietly(assemble: Start, clock: FakeClock) -> None:
    """It hears of the loss when it writes, closes the connection, and changes nothing."""
    more = asyncio.Event()
    provider = ScriptedProvider([more, "late", HANG])
    stack = assemble(provider)
    reader = await stack.submit()
    lease = stack.broker.lease(Slots(1))
    assert lease is not None
    attempt = asyncio.ensure_future(Attempt(lease, stack.provider, stack.broker, stack.rules).run())
    await clock.elapse(0.0)

    await stack.broker.cancel(reader.task.id)
    more.set()
    await attempt

    assert provider.closed_early == 1
    assert (await reader.error()).code == "cancelled"
    assert len(stack.ends) == 1
