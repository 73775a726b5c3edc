"""Several API keys: all are used, dead ones are left alone, spent ones rest, and none is ever shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from callers import post, stream_over_grpc, stream_over_rest, whole_over_rest
from dialect import answering, delta, gemini_day_spent, gemini_dead_key, gemini_minute_spent, gemini_whole, refusal
from stack import openai

from synapse.testing.upstream import END, events, head

if TYPE_CHECKING:
    from collections.abc import Callable

    from callers import Ask
    from stack import Launch, Provide, Start, Tree

    from synapse.testing.upstream import Call, Script, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

A, B, C = (f"AIzaSy-{letter * 24}-{letter}end" for letter in "abc")
"""Keys; of each, the last four characters may be shown."""
BODY: dict[str, object] = {"prompt": "Say it.", "model_code": "m"}


def gemini(upstream: Upstream) -> Tree:
    """Return a configuration's Gemini."""
    return {"gemini": {"base_url": upstream.url, "codes": ["m", "n"]}}


def keys(*given: str) -> dict[str, str]:
    """Return an environment with these keys."""
    return {"GENAI_API_KEYS": ",".join(given)}


def unless(bad: dict[str, Script]) -> Callable[[Call], Script]:
    """Answer well, except to those keys."""
    return lambda call: bad.get(call.key) or gemini_whole("All is well.")


async def test_keys_take_turns(start: Start) -> None:
    """The least recently used key goes next, so that all are used alike."""
    stack = await start(unless({}), models=gemini, environ=keys(A, B, C))

    for _ in range(6):
        await whole_over_rest(stack)

    assert [call.key for call in stack.upstream.calls] == [A, B, C, A, B, C]


async def test_keys_are_used_alike_by_many_at_once(start: Start) -> None:
    """Under load, too, every key carries its share, and who has less under way goes next."""
    stack = await start(unless({}), models=gemini, environ=keys(A, B, C))

    outcomes = await asyncio.gather(*(whole_over_rest(stack) for _ in range(60)))

    assert {outcome.text for outcome in outcomes} == {"All is well."}
    used = Counter(call.key for call in stack.upstream.calls)
    assert set(used) == {A, B, C}
    assert max(used.values()) - min(used.values()) <= 2, used


@pytest.mark.parametrize("dead", [gemini_dead_key(), refusal(403, "suspended", status="PERMISSION_DENIED")])
async def test_a_dead_key_is_left_for_the_next_one(start: Start, ask_whole: Ask, dead: Script) -> None:
    """The caller notices nothing, no attempt is used up, and the key is not used again."""
    stack = await start(unless({A: dead, B: dead}), models=gemini, environ=keys(A, B, C), retry={"max_attempts": 1})

    outcomes = [await ask_whole(stack) for _ in range(3)]

    assert [outcome.text for outcome in outcomes] == ["All is well."] * 3
    assert [call.key for call in stack.upstream.calls] == [A, B, C, C, C]


async def test_a_key_that_openai_refuses_is_left_for_the_next_one(start: Start, ask: Ask) -> None:
    """In OpenAI's dialect a 401 says that a key is dead, streamed or not."""
    stack = await start(
        lambda call: refusal(401, "no such key") if call.key == A else answering("All is well.")(call),
        models=lambda upstream: {"up": openai(upstream, api_keys_env="UP_KEYS")},
        environ={"UP_KEYS": f"{A} {B}"},
    )

    assert (await ask(stack)).text == "All is well."
    assert [call.key for call in stack.upstream.calls] == [A, B]


async def test_without_a_living_key_the_variable_to_set_is_named(start: Start, ask_whole: Ask) -> None:
    """When all keys are dead the error says where to put others, and the provider is not asked again."""
    stack = await start(unless({A: gemini_dead_key(), B: gemini_dead_key()}), models=gemini, environ=keys(A, B))

    first, second = (await ask_whole(stack)).failed, (await ask_whole(stack)).failed

    for failed in (first, second):
        assert failed.type == "no_credentials"
        assert "GENAI_API_KEYS" in failed.message
        assert "…aend" in failed.message
        assert A not in failed.message
        assert B not in failed.message
    assert len(stack.upstream.calls) == 2


async def test_without_a_living_key_the_status_is_503(start: Start) -> None:
    """It is the server's lack, not the caller's fault; a stream has the same status."""
    stack = await start(unless({A: gemini_dead_key()}), models=gemini, environ=keys(A))

    statuses = [(await post(stack, {**BODY, "stream": stream})).status for stream in (True, False)]

    assert statuses == [503, 503]


async def test_without_any_key_the_variable_to_set_is_named(start: Start, ask: Ask) -> None:
    """A provider whose keys were never given refuses at once, and names the variable."""
    stack = await start(unless({}), models=gemini)

    failed = (await ask(stack)).failed

    assert (failed.type, "set GENAI_API_KEYS" in failed.message) == ("no_credentials", True)
    assert not stack.upstream.calls


async def test_a_spent_minute_makes_the_task_wait_and_then_succeed(start: Start, ask_whole: Ask) -> None:
    """The caller never sees a rate limit: the task goes again when the provider said it may."""
    spent = iter([gemini_minute_spent("1.1s")])
    stack = await start(lambda _: next(spent, gemini_whole("All is well.")), models=gemini, environ=keys(A))
    began = time.monotonic()

    outcome = await ask_whole(stack)

    assert outcome.text == "All is well."
    assert 1.1 <= time.monotonic() - began < 2.5
    assert len(stack.upstream.calls) == 2


async def test_while_a_key_rests_its_lane_waits_without_a_slot(start: Start) -> None:
    """A task that waits for quota holds no slot: with a single one, another model's tasks run meanwhile."""
    spent = iter([gemini_minute_spent("0.3s")])

    def answer(call: Call) -> Script:
        return next(spent, gemini_whole("m")) if "/m:" in call.path else gemini_whole("n")

    stack = await start(answer, models=gemini, environ=keys(A), worker={"concurrency_multiplier": 1})
    waiting = asyncio.create_task(whole_over_rest(stack))
    await stack.upstream.called(1)

    others = [await whole_over_rest(stack, model="n") for _ in range(3)]

    assert {outcome.text for outcome in others} == {"n"}
    assert not waiting.done()
    assert (await waiting).text == "m"


async def test_a_spent_key_is_left_for_one_of_another_project(start: Start) -> None:
    """A quota is that of a project: a key of another one carries the task at once."""
    stack = await start(
        unless({A: gemini_minute_spent("40s"), B: gemini_minute_spent("40s")}),
        models=gemini,
        environ=keys(f"work={A}", f"work={B}", f"home={C}"),
    )

    outcomes = [await whole_over_rest(stack) for _ in range(3)]

    assert {outcome.text for outcome in outcomes} == {"All is well."}
    assert [call.key for call in stack.upstream.calls] == [A, C, C, C]


async def test_a_wait_beyond_max_wait_is_refused_at_once_with_its_length(start: Start) -> None:
    """It is known how long the quota is gone: who will not wait that long is told, in body and header."""
    stack = await start(unless({A: gemini_minute_spent("40.5s")}), models=gemini, environ=keys(A))

    first = await post(stack, {**BODY, "max_wait": 2})
    second = await post(stack, {**BODY, "max_wait": 2})

    for answer in (first, second):
        assert answer.status == 429
        assert answer.error.type == "wait_too_long"
        assert 40 <= int(answer.headers["retry-after"]) <= 41
        assert answer.error.retry_after == pytest.approx(40.4, abs=0.5)
    assert len(stack.upstream.calls) == 1


async def test_a_wait_beyond_max_wait_is_refused_over_grpc_as_well(start: Start) -> None:
    """The status is RESOURCE_EXHAUSTED; how long to wait stands in the trailing metadata."""
    stack = await start(unless({A: gemini_minute_spent("40.5s")}), models=gemini, environ=keys(A))

    failed = (await stream_over_grpc(stack, max_wait=2.0)).failed

    assert failed.type == "wait_too_long"
    assert failed.retry_after == pytest.approx(40.4, abs=0.5)


async def test_a_spent_day_is_not_waited_for_by_who_will_not(start: Start) -> None:
    """A quota of a day beats the short delay that stands beside it: the key rests until midnight."""
    stack = await start(unless({A: gemini_day_spent("1s")}), models=gemini, environ=keys(A))

    answer = await post(stack, {**BODY, "max_wait": 30})

    assert answer.error.type == "wait_too_long"
    assert int(answer.headers["retry-after"]) > 30
    assert len(stack.upstream.calls) == 1


async def test_no_key_and_no_prompt_is_ever_logged(launch: Launch, provider: Provide) -> None:
    """Of dead keys the log shows the last four characters; of prompts and answers nothing, whatever goes wrong."""
    prompt, words = "A secret PROMPT nobody may read", "An ANSWER nobody may read"

    def answer(call: Call) -> Script:
        if call.key == A:
            return refusal(400, f"API key not valid. Please pass a valid API key: {A}", status="INVALID_ARGUMENT")
        if b"too long" in call.body:
            return refusal(400, f"this prompt is wrong: {prompt}")
        return [*gemini_whole(words)] if "generateContent" in call.path else refusal(500, f"key={call.key}")

    upstream = await provider(answer)
    server = await launch(gemini(upstream), environ=keys(A, B), retry={"max_attempts": 2})

    assert (await whole_over_rest(server, prompt=prompt)).text == words
    assert (await whole_over_rest(server, prompt=f"{prompt}, too long")).failed.type == "invalid_request"
    assert (await stream_over_rest(server, prompt=prompt)).failed.type == "provider_failed"
    assert (await whole_over_rest(server, prompt=prompt, temperature="warm")).failed.type == "invalid_request"
    assert (await stream_over_grpc(server, prompt=prompt, model="x")).failed.type == "model_not_found"

    server.child.terminate()
    assert await server.ended() == 0
    (rest,) = server.events("credential benched")
    assert rest["credential"] == f"…{A[-4:]}"
    for secret in (A, B, A[:-4], B[-10:], "PROMPT", "ANSWER"):
        assert secret not in server.log
    assert [json.loads(line)["event"] for line in server.lines].count("task") == 3


async def test_a_key_that_a_provider_repeats_is_shown_to_nobody(launch: Launch, provider: Provide) -> None:
    """Keys need not look like keys: whatever ours is, it stands neither in the log nor in what callers read."""
    key = "not-at-all-like-a-key"
    error = json.dumps({"error": {"message": f"the model broke on {key}", "code": 500}}).encode()
    upstream = await provider(
        [head(), *events(delta("All"), error), END],
        refusal(400, f"{key} has no such model"),
        refusal(401, f"Incorrect API key provided: {key}."),
    )
    server = await launch({"up": openai(upstream, api_keys_env="UP_KEYS")}, environ={"UP_KEYS": key})

    outcomes = [await stream_over_rest(server), await whole_over_rest(server), await stream_over_grpc(server)]

    assert [outcome.failed.type for outcome in outcomes] == ["provider_failed", "invalid_request", "no_credentials"]
    assert not any(key in outcome.failed.message for outcome in outcomes)
    server.child.terminate()
    assert await server.ended() == 0
    assert key not in server.log
