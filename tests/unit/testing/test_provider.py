"""The provider that does what a test wrote down."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from synapse.domain.credential import Credential
from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure
from synapse.domain.request import prompt_request
from synapse.testing import HANG, Call, ScriptedProvider

REQUEST = prompt_request("code", "Why?")
KEY = Credential("project", "a-key")
FINISH = Finish(FinishReason.STOP)
FAILURE = Failure(FailureClass.TRANSIENT, "cut")


async def drain(provider: ScriptedProvider) -> list[object]:
    """Return the pieces of the next answer."""
    return [piece async for piece in provider.generate(REQUEST, "m", KEY)]


async def test_each_attempt_has_its_own_script() -> None:
    """Strings are deltas, tuples come as they are; what was asked is kept."""
    provider = ScriptedProvider(["Hel", (Delta("l"), Delta("o")), (), FINISH], [FAILURE])

    assert await drain(provider) == [(Delta("Hel"),), (Delta("l"), Delta("o")), (), (FINISH,)]
    assert await drain(provider) == [(FAILURE,)]
    assert provider.calls == [Call(REQUEST, "m", KEY)] * 2
    assert (provider.open, provider.closed_early) == (0, 0)


async def test_what_is_said_of_limits_is_a_batch_of_its_own() -> None:
    """An answer that is closed after it was closed early."""
    requests, tokens = Headroom(Measure.RPM, 10, 9), Headroom(Measure.TPM, 1000, 900)
    provider = ScriptedProvider([requests, (requests, tokens), FINISH], [requests, FINISH])

    assert await drain(provider) == [(requests,), (requests, tokens), (FINISH,)]
    assert provider.closed_early == 0

    async with aclosing(provider.generate(REQUEST, "m", KEY)) as pieces:
        await anext(pieces)
    assert provider.closed_early == 1


async def test_more_attempts_than_scripts_is_an_error_that_says_so() -> None:
    """With the number of both."""
    provider = ScriptedProvider([FINISH])
    await drain(provider)

    with pytest.raises(AssertionError, match=r"^attempt 2 at the scripted provider, which has scripts for 1 attempt$"):
        await drain(provider)


async def test_an_event_is_waited_for() -> None:
    """What stands behind it comes when it is set."""
    gate = asyncio.Event()
    provider = ScriptedProvider([gate, FINISH])
    draining = asyncio.ensure_future(drain(provider))
    await asyncio.sleep(0)
    assert provider.open == 1

    gate.set()

    assert await draining == [(FINISH,)]


async def test_an_exception_is_raised() -> None:
    """As by a bug."""
    provider = ScriptedProvider(["Hel", ZeroDivisionError("a bug")])

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await drain(provider)

    assert provider.open == 0


async def test_an_answer_closed_before_its_end_is_counted() -> None:
    """Also while it hangs; one closed at its last signal is not early."""
    provider = ScriptedProvider(["Hel", "lo", FINISH], ["Hel", HANG], [FINISH, HANG])
    async with aclosing(provider.generate(REQUEST, "m", KEY)) as pieces:
        await anext(pieces)
        assert provider.open == 1
    assert (provider.open, provider.closed_early) == (0, 1)

    hanging = asyncio.ensure_future(drain(provider))
    for _ in range(3):
        await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (provider.open, provider.closed_early) == (0, 2)

    async with aclosing(provider.generate(REQUEST, "m", KEY)) as pieces:
        await anext(pieces)
    assert (provider.open, provider.closed_early) == (0, 2)
