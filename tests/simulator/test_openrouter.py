"""OpenRouter's wire: where it differs from OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from conftest import Answer, Simulate

COMMENT = b": OPENROUTER PROCESSING"


class Choice(msgspec.Struct):
    """What of a choice the tests look at."""

    finish_reason: str | None
    native_finish_reason: str | None
    delta: dict[str, object] = {}
    message: dict[str, object] = {}


class Completion(msgspec.Struct):
    """What of an answer or a chunk the tests look at."""

    id: str
    provider: str
    choices: list[Choice]
    usage: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct, forbid_unknown_fields=True):
    """An error; it has no type and no parameter."""

    message: str
    code: int
    metadata: dict[str, object] = {}


def error(answer: Answer) -> Error:
    """Return the error of an answer."""
    return msgspec.json.decode(answer.body, type=dict[str, Error])["error"]


async def test_a_plain_answer_tells_who_gave_it_and_what_it_cost(simulate: Simulate) -> None:
    """The id is a generation's, and stands in a header too."""
    answer = await (await simulate()).openrouter("echo hello world", max_tokens=1)

    told = msgspec.json.decode(answer.body, type=Completion)
    assert told.id.startswith("gen-")
    assert answer.headers["x-generation-id"] == told.id
    assert told.provider == "Simulator"
    assert told.choices[0].message["content"] == "hello"
    assert (told.choices[0].finish_reason, told.choices[0].native_finish_reason) == ("length", "length")
    assert isinstance(told.usage, dict)
    assert (told.usage["completion_tokens"], told.usage["cost"], told.usage["is_byok"]) == (1, 0, False)


async def test_a_stream_has_comments_before_and_between_and_always_usage(simulate: Simulate) -> None:
    """The finish reason is told twice, the second time with the usage."""
    prompt = "echo " + " ".join(str(number) for number in range(40))

    answer = await (await simulate()).openrouter(prompt, stream=True)

    frames = answer.body.split(b"\n\n")
    assert frames[0] == COMMENT
    assert frames.count(COMMENT) == 3
    assert frames[-2:] == [b"data: [DONE]", b""]
    data = [frame.removeprefix(b"data: ") for frame in frames if frame.startswith(b"data: {")]
    told = [msgspec.json.decode(item, type=Completion) for item in data]
    assert "".join(str(chunk.choices[0].delta["content"]) for chunk in told) == prompt.removeprefix("echo ")
    assert all(chunk.choices[0].delta["role"] == "assistant" for chunk in told)
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * 40 + ["stop", "stop"]
    assert [isinstance(chunk.usage, dict) for chunk in told] == [False] * 41 + [True]


@pytest.mark.parametrize(
    ("key", "change", "status"),
    [("", {}, 401), ("invalid", {}, 401), ("k", {"model": "missing-1"}, 400), ("k", {"messages": None}, 400)],
)
async def test_errors_have_their_status_as_their_code(
    simulate: Simulate, key: str, change: dict[str, object], status: int
) -> None:
    """A number, not a word."""
    answer = await (await simulate()).openrouter(key=key, **change)

    assert (answer.status, error(answer).code) == (status, status)


async def test_models_are_listed_without_a_key(simulate: Simulate) -> None:
    """Under `data`, which is no list object."""
    caller = await simulate()

    listed = msgspec.json.decode((await caller.get("/api/v1/models")).body, type=dict[str, object])

    assert isinstance(listed["data"], list)
    assert listed["total_count"] == len(listed["data"])
    assert "object" not in listed
    assert (await caller.get("/api/v1/models/missing/one")).status == 404
    assert (await caller.get("/api/v1/models/author/slug")).status == 200


async def test_a_prefix_may_stand_before_the_api(simulate: Simulate) -> None:
    """The path within decides the dialect."""
    body = {"model": "m", "messages": [{"role": "user", "content": "echo hi"}]}

    answer = await (await simulate()).ask("/proxy/api/v1/chat/completions", body, {"authorization": "Bearer k"})

    assert "x-generation-id" in answer.headers
