"""From the body of a request to a request of the domain."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from synapse.domain.errors import InvalidRequest, UnsupportedParameter
from synapse.domain.request import (
    Document,
    Image,
    ImageUrl,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.anthropic.body import MessagesBody, messages_request
from synapse.server.http.anthropic.unsaid import PARAMETERS, leave_out

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
PDF = b"%PDF-1.7 and so on"
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"name": "weather", "description": "Of a place.", "input_schema": {"type": "object"}}
ASKED = {"role": "user", "content": "What is the weather in Rome and Oslo?"}
CALLS = {
    "role": "assistant",
    "content": [
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"place": "Rome"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    ],
}


def read(**fields: object) -> Request:
    """Read a body with these fields beside the required ones."""
    body = {"model": "m", "max_tokens": 100, "messages": HELLO, **fields}
    return messages_request(msgspec.json.decode(msgspec.json.encode(body), type=MessagesBody))


def said(*turns: dict[str, object], **fields: object) -> tuple[Message, ...]:
    """Read the messages of a conversation."""
    return read(messages=list(turns), **fields).messages


def part(block: dict[str, object]) -> object:
    """Read one block of the user's."""
    return said({"role": "user", "content": [block]})[0].parts[0]


def result(call: str, content: object = "fine", **more: object) -> dict[str, object]:
    """Write what a tool gave back."""
    return {"type": "tool_result", "tool_use_id": call, "content": content, **more}


def test_the_least_there_can_be_is_a_model_a_length_and_a_message() -> None:
    """All else is left to the provider."""
    assert read() == Request("m", (Message(Role.USER, (Text("Hello"),)),), Sampling(max_output_tokens=100))


def test_a_string_is_the_same_as_one_text_block() -> None:
    """Of messages, and of the instructions."""
    block = [{"type": "text", "text": "Hello"}]

    assert read(system="Be brief") == read(
        system=[{"type": "text", "text": "Be brief"}], messages=[{"role": "user", "content": block}]
    )


def test_sampling_is_taken_though_version_2026_10_21_forbids_it() -> None:
    """Clients of either version are answered, and what a model refuses the service says."""
    request = read(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["END"], stream=True)

    assert request.sampling == Sampling(0.5, 0.9, 40, 100, ("END",))
    assert request.stream


def test_consecutive_turns_of_one_side_are_one_message() -> None:
    """As Anthropic joins them."""
    one, two = {"role": "user", "content": "One"}, {"role": "user", "content": "Two"}

    assert said(one, two) == (Message(Role.USER, (Text("One"), Text("Two"))),)


def test_a_last_message_of_the_assistants_is_a_prefill() -> None:
    """It stays last, as the beginning of the answer."""
    assert said(ASKED, {"role": "assistant", "content": "It is"})[-1] == Message(Role.ASSISTANT, (Text("It is"),))


def test_instructions_may_stand_amid_the_conversation() -> None:
    """Beside those at its beginning."""
    messages = said(*HELLO, {"role": "system", "content": "Be brief"}, system="Be kind")

    assert [(message.role, message.parts[0]) for message in messages] == [
        (Role.SYSTEM, Text("Be kind")),
        (Role.USER, Text("Hello")),
        (Role.SYSTEM, Text("Be brief")),
    ]


def test_an_image_is_bytes_of_a_known_type_whatever_it_claims_to_be() -> None:
    """Its media type is found from its bytes."""
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(PNG).decode()}

    assert part({"type": "image", "source": source}) == Image("image/png", PNG)


def test_an_images_url_is_passed_on() -> None:
    """Whether the provider or Synapse fetches it is decided later."""
    url = "https://example.com/cat.png"

    assert part({"type": "image", "source": {"type": "url", "url": url}}) == ImageUrl(url)


def test_a_document_is_a_pdf_or_plain_text() -> None:
    """With its title; what the model is told of it comes before."""
    pdf = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()}
    plain = {"type": "text", "media_type": "text/plain", "data": "Grüße"}

    parts = said(
        {
            "role": "user",
            "content": [
                {"type": "document", "source": pdf, "title": "A", "context": "From 1998"},
                {"type": "document", "source": plain},
            ],
        }
    )[0].parts

    assert parts == (
        Text("From 1998"),
        Document("application/pdf", PDF, "A"),
        Document("text/plain", "Grüße".encode()),
    )


def test_what_the_model_said_comes_back_as_it_was() -> None:
    """Thoughts with and without a signature, sealed ones, calls with Synapse's own signature on them."""
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Let me see", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"a": [1, {}]}, "signature": "p"},
    ]

    messages = said(ASKED, {"role": "assistant", "content": content}, {"role": "user", "content": [result("toolu_1")]})

    assert messages[1].parts == (
        Thinking("Hm", "c2ln"),
        Thinking("Hm"),
        Thinking("", redacted="x"),
        Text("Let me see"),
        ToolCall("toolu_1", "weather", '{"a":[1,{}]}', "p"),
    )


def test_results_of_tools_come_first_and_know_their_tools_names() -> None:
    """Whatever order they stand in: providers take them before any text."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}}
    content = [
        {"type": "text", "text": "Here"},
        result("toolu_2", [{"type": "text", "text": "cold"}, image], is_error=True),
        result("toolu_1", None, cache_control={"type": "ephemeral"}),
    ]

    assert said(ASKED, CALLS, {"role": "user", "content": content})[2].parts == (
        ToolResult("toolu_2", (Text("cold"), ImageUrl("https://example.com/x.png")), "weather", is_error=True),
        ToolResult("toolu_1", (), "weather", cache="5m"),
        Text("Here"),
    )


def test_cache_control_says_for_how_long() -> None:
    """Five minutes where it does not; on instructions, tools, texts, images, and at the top for the last block."""
    hour, some = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}
    request = read(
        system=[{"type": "text", "text": "Be kind", "cache_control": hour}],
        tools=[{**WEATHER, "cache_control": some}],
        cache_control=hour,
    )

    assert request.messages[0].parts == (Text("Be kind", "1h"),)
    assert request.messages[1].parts == (Text("Hello", "1h"),)
    assert request.tools[0].cache == "5m"


@pytest.mark.parametrize(
    ("thinking", "effort", "reasoning"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, None, Reasoning(None, 2048, show=True)),
        ({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}, None, Reasoning(None, 2048, show=False)),
        ({"type": "adaptive"}, None, Reasoning(None, -1, show=True)),
        ({"type": "adaptive"}, "high", Reasoning("high", None, show=True)),
        ({"type": "disabled"}, None, Reasoning("none")),
        ({"type": "disabled"}, "low", Reasoning("low", 0)),
        (None, "max", Reasoning("max")),
        (None, None, None),
    ],
)
def test_how_much_to_think_is_said_by_two_fields(
    thinking: object, effort: str | None, reasoning: Reasoning | None
) -> None:
    """A budget, or an effort, or as the model sees fit."""
    assert read(thinking=thinking, output_config={"effort": effort}).reasoning == reasoning


@pytest.mark.parametrize("older", [False, True])
def test_an_answer_may_have_to_keep_to_a_schema(older: bool) -> None:  # noqa: FBT001
    """By its present name or by the one it had before."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    request = read(output_format=form) if older else read(output_config={"format": form})

    assert request.response_format == ResponseFormat(msgspec.Raw(b'{"type":"object"}'), strict=True)


def test_tools_are_read_with_their_schemas() -> None:
    """As text; `custom` is another word for a tool of the caller's own."""
    assert read(tools=[WEATHER, {**WEATHER, "type": "custom", "strict": True}]).tools == (
        Tool("weather", "Of a place.", msgspec.Raw(b'{"type":"object"}')),
        Tool("weather", "Of a place.", msgspec.Raw(b'{"type":"object"}'), strict=True),
    )


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({"type": "auto"}, ToolChoice(ToolMode.AUTO)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(ToolMode.AUTO, parallel=False)),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice(ToolMode.REQUIRED, parallel=True)),
        ({"type": "tool", "name": "weather"}, ToolChoice(ToolMode.REQUIRED, ("weather",))),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
        (None, None),
    ],
)
def test_a_choice_of_tools_is_read(choice: object, meant: ToolChoice | None) -> None:
    """In the domain's words."""
    assert read(tools=[WEATHER], tool_choice=choice).tool_choice == meant


def test_the_end_user_is_passed_on_and_what_is_unknown_or_harmless_is_not() -> None:
    """New fields of new clients break nothing."""
    request = read(metadata={"user_id": "u-1"}, service_tier="standard_only", speed="fast", something_new={"a": 1})

    assert request.safety_user == "u-1"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": []}, "messages: they are empty; there is nothing to answer"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "messages: they are empty; there is nothing to answer"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content: it is empty; there is nothing"),
        ({"messages": [ASKED, CALLS]}, "messages[1].content[0]: a tool_result with tool_use_id 'toolu_1' must follow"),
        (
            {"messages": [ASKED, CALLS, {"role": "user", "content": [result("toolu_1")]}]},
            "messages[1].content[1]: a tool_result with tool_use_id 'toolu_2' must follow in the next message",
        ),
        (
            {"messages": [{"role": "user", "content": [result("toolu_9")]}]},
            "messages[0].content[0].tool_use_id: no tool_use that waits for a result has the id 'toolu_9'",
        ),
        (
            {
                "messages": [
                    ASKED,
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": "{}"}]},
                ]
            },
            "messages[1].content[0].input: expected an object",
        ),
        ({"max_tokens": -1}, "max_tokens: got -1, expected a whole number of tokens, 0 or more"),
        ({"temperature": 2.5}, "temperature: got 2.5, expected a number from 0 to 2"),
        ({"top_p": 1.5}, "top_p: got 1.5, expected a number from 0 to 1"),
        ({"top_k": -1}, "top_k: got -1, expected a whole number, 0 or more"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens: got 0, expected"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": []}}},
            "output_config.format.schema: expected a JSON Schema, an object",
        ),
        ({"tools": [{"name": "weather"}]}, "tools[0].input_schema: expected a JSON Schema, an object"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name: it is required"),
        (
            {"tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}]},
            "tools[1].type: 'web_search_20250305' is a tool of Anthropic's; those with an input_schema",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice: there are no tools to choose from"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name: there is no 'x' among"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(fields: dict[str, Any], message: str) -> None:
    """And with what was expected there."""
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)

    assert caught.value.message.startswith(message)
    assert caught.value.field == message.partition(":")[0]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "source.type: there are no uploaded files"),
        ({"type": "image", "source": {"type": "url", "url": "file:///etc"}}, "source.url: got 'file:///etc', expected"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            "source.data: its 3 bytes are no image of a known type; expected one of PNG, JPEG, WEBP, GIF, HEIC",
        ),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "source.type: there are no uploaded files"),
        ({"type": "document", "source": {"type": "url", "url": "https://x"}}, "source.type: documents are not fetched"),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "text/html", "data": ""}},
            "source.media_type: got 'text/html', expected application/pdf",
        ),
        (
            {"type": "document", "source": {"type": "text", "data": ""}, "citations": {"enabled": True}},
            "citations: answers cite nothing",
        ),
    ],
)
def test_a_file_that_cannot_be_passed_on_is_refused(block: dict[str, object], message: str) -> None:
    """With what does work."""
    with pytest.raises(InvalidRequest) as caught:
        part(block)

    assert caught.value.message.startswith(f"messages[0].content[0].{message}")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_without_words_for_it_is_refused_or_dropped(name: str) -> None:
    """Dropped where the caller agrees, and named then; empty it means nothing."""

    def body(value: object) -> MessagesBody:
        fields = {"model": "m", "max_tokens": 1, "messages": HELLO, name: value}
        return msgspec.json.decode(msgspec.json.encode(fields), type=MessagesBody)

    with pytest.raises(UnsupportedParameter, match=f"^{name}: Synapse does not pass it on; "):
        leave_out(body({"a": 1}), drop=False)
    assert leave_out(body({"a": 1}), drop=True) == (name,)
    assert leave_out(body(None), drop=False) == leave_out(body({}), drop=False) == ()
