"""OpenAI's wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.simulator.dialects.openai import go_duration

if TYPE_CHECKING:
    from conftest import Answer, Simulate


class Choice(msgspec.Struct):
    """What of a choice the tests look at."""

    index: int
    message: dict[str, object] = {}
    delta: dict[str, object] = {}
    finish_reason: str | None = None


class Completion(msgspec.Struct, kw_only=True):
    """What of an answer or a chunk the tests look at."""

    id: str
    kind: str = msgspec.field(name="object")
    model: str
    choices: list[Choice]
    usage: dict[str, object] | msgspec.UnsetType | None = msgspec.UNSET


class Error(msgspec.Struct, forbid_unknown_fields=True):
    """An error; it has exactly these fields."""

    message: str
    type: str
    param: str | None
    code: str | None


def completion(answer: Answer) -> Completion:
    """Return a plain answer."""
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return msgspec.json.decode(answer.body, type=Completion)


def chunks(answer: Answer) -> list[Completion]:
    """Return the chunks of a stream, which must end in the mark of the end."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done, rest = answer.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(event.startswith(b"data: {") for event in events)
    return [msgspec.json.decode(event.removeprefix(b"data: "), type=Completion) for event in events]


def error(answer: Answer) -> Error:
    """Return the error of an answer."""
    return msgspec.json.decode(answer.body, type=dict[str, Error])["error"]


async def test_a_plain_answer_has_text_finish_reason_and_usage(simulate: Simulate) -> None:
    """Words are tokens; what is empty is null and not absent."""
    answer = completion(await (await simulate()).openai("echo hello big world", model="gpt-4o"))

    assert (answer.kind, answer.model) == ("chat.completion", "gpt-4o")
    assert answer.id.startswith("chatcmpl-")
    message = {"role": "assistant", "content": "hello big world", "refusal": None, "annotations": []}
    assert answer.choices == [Choice(0, message, finish_reason="stop")]
    assert isinstance(answer.usage, dict)
    assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"], answer.usage["total_tokens"]) == (4, 3, 7)


async def test_a_stream_tells_the_role_then_tokens_then_the_finish(simulate: Simulate) -> None:
    """Without being asked it tells no usage, not even null."""
    stream = chunks(await (await simulate()).openai("echo hello world", stream=True))

    deltas = [chunk.choices[0].delta for chunk in stream]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "hello"},
        {"content": " world"},
        {},
    ]
    assert [chunk.choices[0].finish_reason for chunk in stream] == [None, None, None, "stop"]
    assert all(chunk.usage is msgspec.UNSET for chunk in stream)
    assert len({chunk.id for chunk in stream}) == 1


async def test_usage_is_a_chunk_of_its_own_where_it_is_asked_for(simulate: Simulate) -> None:
    """It has no choices; all other chunks have a usage of null."""
    answer = await (await simulate()).openai("echo hi", stream=True, stream_options={"include_usage": True})

    *others, last = chunks(answer)

    assert last.choices == []
    assert isinstance(last.usage, dict)
    assert last.usage["total_tokens"] == 3
    assert all(chunk.usage is None for chunk in others)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_maximum_of_tokens_is_honoured_under_both_names(simulate: Simulate, name: str) -> None:
    """The finish reason says `length`."""
    answer = completion(await (await simulate()).openai("echo a b c", **{name: 2}))

    assert (answer.choices[0].message["content"], answer.choices[0].finish_reason) == ("a b", "length")


@pytest.mark.parametrize("stop", ["c", ["x", "c"]])
async def test_stop_strings_are_honoured(simulate: Simulate, stop: str | list[str]) -> None:
    """One, or a list of them."""
    answer = completion(await (await simulate()).openai("echo a b c", stop=stop))

    assert (answer.choices[0].message["content"], answer.choices[0].finish_reason) == ("a b ", "stop")


async def test_choices_take_turns_in_a_stream(simulate: Simulate) -> None:
    """Each has its index, its role, its tokens and its end."""
    caller = await simulate()

    stream = chunks(await caller.openai("echo a b", stream=True, n=2))
    plain = completion(await caller.openai("echo a b", n=2))

    assert [chunk.choices[0].index for chunk in stream] == [0, 1] * 4
    assert [choice.index for choice in plain.choices] == [0, 1]
    assert isinstance(plain.usage, dict)
    assert plain.usage["completion_tokens"] == 4


async def test_texts_may_come_in_parts_and_unknown_fields_pass(simulate: Simulate) -> None:
    """As with the real API, images and extras change nothing of the text."""
    content = [
        {"type": "text", "text": "echo "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "hi"},
    ]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": content}]

    answer = completion(await (await simulate()).openai(messages=messages, tools=[], extra={"x": 1}))

    assert answer.choices[0].message["content"] == "hi"


async def test_a_missing_or_invalid_key_is_a_401(simulate: Simulate) -> None:
    """Only the invalid one has a code, and neither repeats the key."""
    caller = await simulate()
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    missing = await caller.ask("/v1/chat/completions", body)
    other = await caller.ask("/v1/chat/completions", body, {"authorization": "Basic abc"})
    invalid = await caller.openai(key="invalid-secret")

    assert (missing.status, other.status, invalid.status) == (401, 401, 401)
    assert error(missing).code is None
    assert error(invalid).code == "invalid_api_key"
    assert "secret" not in error(invalid).message


async def test_a_model_that_begins_with_missing_is_not_found(simulate: Simulate) -> None:
    """With the code that tells it from a route that is not there."""
    answer = await (await simulate()).openai(model="missing-1")

    assert (answer.status, error(answer).code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"stop": list("abcde")}, "stop", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
    ],
)
async def test_a_request_that_the_api_would_not_take_is_refused(
    simulate: Simulate, change: dict[str, object], param: str, code: str | None
) -> None:
    """The error names the parameter."""
    answer = await (await simulate()).openai(**change)

    assert answer.status == 400
    assert (error(answer).type, error(answer).param, error(answer).code) == ("invalid_request_error", param, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_object_is_refused(simulate: Simulate, body: bytes) -> None:
    """Whatever is sent, the answer is the API's error."""
    answer = await (await simulate()).ask("/v1/chat/completions", body, {"authorization": "Bearer k"})

    assert (answer.status, error(answer).type) == (400, "invalid_request_error")


async def test_models_are_listed_and_shown(simulate: Simulate) -> None:
    """With a key, as a list object; a name may have slashes in it."""
    caller = await simulate()
    bearer = {"authorization": "Bearer k"}

    listed = msgspec.json.decode((await caller.get("/v1/models", bearer)).body, type=dict[str, object])
    shown = msgspec.json.decode((await caller.get("/v1/models/a%2Fb", bearer)).body, type=dict[str, object])

    assert listed["object"] == "list"
    assert (shown["id"], shown["object"]) == ("a/b", "model")
    assert (await caller.get("/v1/models/missing-1", bearer)).status == 404
    assert (await caller.get("/v1/models")).status == 401


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/openai/v1/chat/completions", "/v1beta/openai/chat/completions"]
)
async def test_any_prefix_will_do(simulate: Simulate, path: str) -> None:
    """Whatever stands before the route, as long as it is not OpenRouter's."""
    body = {"model": "m", "messages": [{"role": "user", "content": "echo hi"}]}

    answer = await (await simulate()).ask(path, body, {"authorization": "Bearer k"})

    assert completion(answer).id.startswith("chatcmpl-")


async def test_what_is_no_route_is_a_404(simulate: Simulate) -> None:
    """In the shape of an error, with what was asked."""
    caller = await simulate()

    unknown = await caller.ask("/v1/nonsense", {})
    wrong = await caller.get("/v1/chat/completions")

    assert (unknown.status, wrong.status) == (404, 404)
    assert "POST /v1/nonsense" in error(unknown).message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.006, "6ms"),
        (0.9996, "1s"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.9996, "1m0s"),
        (60, "1m0s"),
        (86.4, "1m26.4s"),
        (3600, "1h0m0s"),
        (86399, "23h59m59s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    """The units and zeros are those of Go's `Duration.String`."""
    assert go_duration(seconds) == text
