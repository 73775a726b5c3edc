"""A client's conversation, as the domain understands it."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Image, ImageUrl, Message, Role, Text, Thinking, ToolCall, ToolResult
from synapse.server.http.explain import not_understood
from synapse.server.http.openai.messages import messages
from synapse.server.http.openai.turns import Turn

PNG = "data:image/png;base64,iVBORw0KGgpyZXN0"
USER = {"role": "user", "content": "Why?"}


def read(*turns: object) -> tuple[Message, ...]:
    """Read a conversation as it comes in a body."""
    return messages(msgspec.json.decode(msgspec.json.encode(turns), type=list[Turn]))


def refused(*turns: object) -> tuple[str | None, str]:
    """Read what cannot be; return the field and the message."""
    with pytest.raises(InvalidRequest) as caught:
        read(*turns)
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    return caught.value.field, caught.value.message


def called(*ids: str, **more: object) -> dict[str, object]:
    """Return a message of the assistant's that calls tools."""
    calls = [{"id": call, "type": "function", "function": {"name": f"f-{call}", "arguments": "{}"}} for call in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def answered(call: str, content: object = "42") -> dict[str, object]:
    """Return the message of a tool."""
    return {"role": "tool", "tool_call_id": call, "content": content}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
    ],
)
@pytest.mark.parametrize("content", ["Why?", [{"type": "text", "text": "Why?"}]], ids=["string", "parts"])
@pytest.mark.parametrize("name", [None, "ann"])
def test_text_is_text_in_every_role(role: str, expected: Role, content: object, name: str | None) -> None:
    """As a string or as parts, named or not."""
    assert read({"role": role, "content": content, "name": name}) == (Message(expected, (Text("Why?"),), name),)


def test_a_message_that_a_client_sends_back_as_it_came_is_read() -> None:
    """The official client's dump has every key, most of them null, and keys of others beside them."""
    dump = {
        "role": "assistant",
        "content": "Because.",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "reasoning_details": None,
        "provider_specific_fields": {"x": 1},
    }

    assert read(USER, dump)[1] == Message(Role.ASSISTANT, (Text("Because."),))


def test_the_content_of_a_message_with_tool_calls_may_be_null() -> None:
    """It may be missing too, and it may be there."""
    call = ToolCall("a", "f-a", "{}")
    without = {key: value for key, value in called("a").items() if key != "content"}

    for turn, parts in (
        (called("a"), (call,)),
        (without, (call,)),
        (called("a", content=""), (call,)),
        (called("a", content="I look."), (Text("I look."), call)),
    ):
        assert read(USER, turn, answered("a"))[1].parts == parts


def test_results_of_parallel_calls_are_one_message_of_the_users() -> None:
    """In the order they stand in, each with the name of what was called."""
    heard = read(USER, called("a", "b"), answered("b", "2"), answered("a", [{"type": "text", "text": "1"}]), USER)

    assert heard[2:] == (
        Message(Role.USER, (ToolResult("b", (Text("2"),), "f-b"), ToolResult("a", (Text("1"),), "f-a"))),
        Message(Role.USER, (Text("Why?"),)),
    )


def test_a_result_may_hold_pictures() -> None:
    """By their bytes and by their address."""
    content = [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]

    (result,) = read(USER, called("a"), answered("a", content))[2].parts

    assert isinstance(result, ToolResult)
    assert result.content == (Image("image/png", b"\x89PNG\r\n\x1a\nrest"), ImageUrl("https://example.com/a.png"))


def test_the_proof_behind_a_call_is_kept() -> None:
    """Google's `thought_signature` is read from where Google's own port for this dialect has it."""
    turn = called("a", "b")
    turn["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "c2ln"}}  # type: ignore[index]
    turn["tool_calls"][1]["extra_content"] = {"other": {}}  # type: ignore[index]

    parts = read(USER, turn, answered("a"), answered("b"))[1].parts

    assert parts == (ToolCall("a", "f-a", "{}", "c2ln"), ToolCall("b", "f-b", "{}"))


@pytest.mark.parametrize("arguments", ["", "  "])
def test_a_call_without_arguments_has_an_empty_object_of_them(arguments: str) -> None:
    """Some servers write nothing at all, and wires need an object."""
    turn = called("a")
    turn["tool_calls"][0]["function"]["arguments"] = arguments  # type: ignore[index]

    assert read(USER, turn, answered("a"))[1].parts == (ToolCall("a", "f-a", "{}"),)


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "null", "{}{}", "[" * 5000])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    """No wire could pass them on."""
    turn = called("a")
    turn["tool_calls"][0]["function"]["arguments"] = arguments  # type: ignore[index]

    assert refused(USER, turn, answered("a")) == (
        "messages[1].tool_calls[0].function.arguments",
        "messages[1].tool_calls[0].function.arguments: expected a JSON object, as text",
    )


@pytest.mark.parametrize(
    "fields",
    [{"reasoning_content": "Hm."}, {"reasoning": "Hm."}, {"reasoning": "Hm.", "reasoning_content": "Hm."}],
)
def test_thoughts_come_first(fields: dict[str, str]) -> None:
    """By either name."""
    turn = called("a", content="So.", **fields)

    parts = read(USER, turn, answered("a"))[1].parts

    assert parts == (Thinking("Hm."), Text("So."), ToolCall("a", "f-a", "{}"))


def test_thoughts_in_detail_are_stronger_than_their_text() -> None:
    """They have what must be given back: signatures, and what is sealed."""
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "c2VhbGVk", "index": 1},
        {"type": "reasoning.summary", "summary": "In short.", "index": 2},
        {"type": "reasoning.text", "text": "", "signature": "bm8gdGV4dA==", "index": 3},
        {"type": "reasoning.text", "text": "", "index": 4},
        {"type": "reasoning.server_tool_call", "index": 5},
    ]
    turn = {"role": "assistant", "content": "So.", "reasoning": "Hm.", "reasoning_details": details}

    assert read(USER, turn)[1].parts == (
        Thinking("Hm.", "c2ln"),
        Thinking("", redacted="c2VhbGVk"),
        Thinking("In short."),
        Thinking("", "bm8gdGV4dA=="),
        Text("So."),
    )


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "refusal": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ],
)
def test_a_refusal_is_what_the_model_said(turn: object) -> None:
    """As text."""
    assert read(USER, turn, USER)[1] == Message(Role.ASSISTANT, (Text("No."),))


def test_functions_of_old_are_calls_and_results() -> None:
    """They had no ids; a result belongs to the call of its name."""
    call = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"x":1}'}}
    result = {"role": "function", "name": "look", "content": "42"}

    heard = read(USER, call, result, call, {**result, "content": None})

    assert heard[1:] == (
        Message(Role.ASSISTANT, (ToolCall("call_1", "look", '{"x":1}'),)),
        Message(Role.USER, (ToolResult("call_1", (Text("42"),), "look"),)),
        Message(Role.ASSISTANT, (ToolCall("call_3", "look", '{"x":1}'),)),
        Message(Role.USER, (ToolResult("call_3", (Text(""),), "look"),)),
    )


def test_a_mark_behind_what_is_to_be_cached_is_kept() -> None:
    """Where clients of OpenRouter and of other gateways set it; five minutes where it does not say."""
    part = {"type": "text", "text": "Long."}
    content = [
        {**part, "cache_control": {"type": "ephemeral"}},
        {**part, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {**part, "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]

    assert read({"role": "user", "content": content})[0].parts == (
        Text("Long.", "5m"),
        Text("Long.", "1h"),
        Text("Long."),
    )


@pytest.mark.parametrize(
    ("turns", "field", "what"),
    [
        ((), "messages", "there are none"),
        (({"role": "user", "content": []},), "messages[0].content", "it is empty"),
        ((USER, {"role": "assistant", "content": None}), "messages[1].content", "there are no tool_calls"),
        ((USER, {"role": "assistant"}), "messages[1].content", "there are no tool_calls"),
        ((USER, answered("a")), "messages[1].tool_call_id", "no call before it has the id 'a'"),
        ((USER, {"role": "function", "name": "f", "content": ""}), "messages[1].name", "no function_call before it"),
    ],
)
def test_a_conversation_that_makes_no_sense_is_refused(turns: tuple[object, ...], field: str, what: str) -> None:
    """The place is named."""
    where, message = refused(*turns)

    assert where == field
    assert what in message


@pytest.mark.parametrize(
    "following", [(), (USER,), (called("c"),), (answered("a"), USER), ({**USER, "role": "system"},)]
)
def test_every_call_must_be_answered_before_the_next_message(following: tuple[object, ...]) -> None:
    """As OpenAI demands; no provider goes on otherwise."""
    field, message = refused(USER, called("a", "b"), *following)

    missing = 1 if following and "tool_call_id" in following[0] else 0  # type: ignore[operator]
    assert field == f"messages[1].tool_calls[{missing}]"
    assert message.endswith(f"tool_call_id '{'ab'[missing]}' must follow, and none does")


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"content": "Why?"}, "[0].role: it is required"),
        ({"role": "robot", "content": "Why?"}, "[0].role: Invalid value 'robot'"),
        ({"role": "user"}, "[0].content: it is required"),
        ({"role": "user", "content": None}, "[0].content: expected str | array, got null"),
        ({"role": "user", "content": [{"type": "video"}]}, "[0].content[0].type: Invalid value 'video'"),
        ({"role": "system", "content": [{"type": "image_url"}]}, "[0].content[0].type: Invalid value 'image_url'"),
        ({"role": "tool", "content": "42"}, "[0].tool_call_id: it is required"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]},
            "[0].tool_calls[0].function: it is required",
        ),
    ],
)
def test_a_message_of_no_known_form_is_explained(turn: object, message: str) -> None:
    """By its place and what was expected there."""
    with pytest.raises(msgspec.ValidationError) as caught:
        read(turn)

    assert not_understood(caught.value).message == message
