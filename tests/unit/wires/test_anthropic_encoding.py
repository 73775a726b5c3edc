"""What is sent to Anthropic."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from synapse.domain.credential import Credential
from synapse.domain.request import (
    Audio,
    Document,
    Image,
    ImageUrl,
    Message,
    Part,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    prompt_request,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires import anthropic

OLD, NEW, NEWEST = "claude-haiku-4-5-20251001", "claude-opus-4-6", "claude-sonnet-5"
"""One that takes a budget; one that decides how much to think; one that refuses to be told how to pick its words."""
SCHEMA = msgspec.Raw(b'{"type": "object", "properties": {"x": {"const": 1.50}}}')
F, G = Tool("f", "does f", SCHEMA, strict=True), Tool("g")
WRITTEN_F = {"name": "f", "description": "does f", "input_schema": msgspec.json.decode(SCHEMA), "strict": True}
WRITTEN_G = {"name": "g", "input_schema": {"type": "object", "properties": {}}}


def _body(request: Request, model: str = OLD) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(anthropic.WIRE.encode(request, model, None).body)
    assert body.pop("model") == model
    return body


def _asked(model: str = OLD, **asked: object) -> dict[str, Any]:
    body = _body(msgspec.structs.replace(prompt_request("code", "Hi"), **asked), model)
    assert body.pop("messages") == [{"role": "user", "content": "Hi"}]
    if body["max_tokens"] == 8192:
        body.pop("max_tokens")
    return body


def _said(*messages: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _body(Request("code", messages))["messages"]
    return found


def _user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def _assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_a_prompt_is_one_message_and_a_length_that_has_to_be_said() -> None:
    """`max_tokens` is required; what a caller leaves open else is not sent."""
    assert _body(prompt_request("code", "Hi")) == {
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_the_key_and_the_version_stand_in_headers_of_their_own() -> None:
    """The version is the last one that takes a temperature; `x-api-key` goes with it, not a bearer."""
    call = anthropic.WIRE.encode(prompt_request("code", "Hi", stream=True), OLD, Credential("p", "sk-ant-REDACTED"))

    assert call.path == "/v1/messages"
    assert call.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-REDACTED",
    }
    assert msgspec.json.decode(call.body)["stream"] is True
    assert "x-api-key" not in anthropic.WIRE.encode(prompt_request("code", "Hi"), OLD, None).headers


# --- what was said


def test_the_system_stands_beside_the_messages() -> None:
    """Wherever it spoke; nothing of it is no system."""
    body = _body(
        Request(
            "code",
            (Message(Role.SYSTEM, (Text("A."), Text(" "))), _user(Text("1")), Message(Role.SYSTEM, (Text("B."),))),
        )
    )

    assert body["system"] == [_text("A."), _text("B.")]
    assert body["messages"] == [{"role": "user", "content": "1"}]
    assert "system" not in _body(Request("code", (Message(Role.SYSTEM, (Text("\n"),)), _user(Text("1")))))


def test_messages_of_one_side_are_one() -> None:
    """The two sides have to alternate."""
    assert _said(_user(Text("1")), _user(Text("2")), _assistant(Text("3")), _assistant(Text("4"))) == [
        {"role": "user", "content": [_text("1"), _text("2")]},
        {"role": "assistant", "content": [_text("3"), _text("4")]},
    ]


def test_texts_of_nothing_but_spaces_are_left_out() -> None:
    """They are refused, and a message of them alone too."""
    assert _said(_user(Text("1"), Text(" \n")), _assistant(Text("")), _user(Text("2"), Text(""))) == [
        {"role": "user", "content": [_text("1"), _text("2")]}
    ]
    assert _said(_user(Text("1")), _assistant(Text("\n")), _user(ToolResult("a", (Text(" "),)))) == [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}, _text("1")]}
    ]


def test_pictures_are_bytes_or_addresses() -> None:
    """Anthropic fetches the latter itself."""
    assert _said(_user(Image("image/png", b"\x89PNG"), ImageUrl("https://x.test/a.png"), Text("?")))[0]["content"] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"\x89PNG").decode()},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        _text("?"),
    ]


def test_documents_are_bytes_or_text() -> None:
    """With the name of the file as their title; a recording has no place here."""
    documents = _user(
        Document("application/pdf", b"%PDF", "a.pdf"), Document("text/plain", b"One.\xff"), Audio("audio/wav", b"")
    )

    assert _said(documents)[0]["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "One.\N{REPLACEMENT CHARACTER}"},
        },
    ]


def test_what_is_to_be_cached_is_marked() -> None:
    """On every kind of block; five minutes are what is kept unasked."""
    short, long = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    request = Request(
        "code",
        (
            Message(Role.SYSTEM, (Text("A.", cache="1h"),)),
            _user(Text("1", cache="5m")),
            _assistant(ToolCall("a", "f", "{}")),
            _user(
                ToolResult("a", (Text("1"),), cache="5m"),
                Image("image/png", b"", cache="1h"),
                ImageUrl("https://x.test/a.png", cache="1h"),
                Document("application/pdf", b"", cache="1h"),
            ),
        ),
        tools=(Tool("f", cache="5m"),),
    )

    body = _body(request)

    assert body["system"][0]["cache_control"] == long
    assert body["messages"][0]["content"] == [{**_text("1"), "cache_control": short}]
    assert [block["cache_control"] for block in body["messages"][2]["content"]] == [short, long, long, long]
    assert body["tools"][0]["cache_control"] == short


# --- tools


def test_calls_have_their_arguments_as_objects() -> None:
    """As they were written; none at all are an empty one."""
    raw = anthropic.WIRE.encode(
        Request("code", (_assistant(Text("Wait."), ToolCall("a", "f", '{"x": 1.50}'), ToolCall("b", "g", "")),)),
        OLD,
        None,
    ).body

    assert b'"input":{"x": 1.50}' in raw
    assert msgspec.json.decode(raw)["messages"][0]["content"] == [
        _text("Wait."),
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.5}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]


def test_results_come_before_everything_else_that_the_user_says() -> None:
    """In one message with it, whatever order and however many messages they were said in."""
    assert _said(
        _user(Text("And?"), ToolResult("a", (Text("1"), Image("image/png", b"")))),
        _user(ToolResult("b", (), is_error=True)),
    ) == [
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [
                        _text("1"),
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "b", "is_error": True},
                _text("And?"),
            ],
        }
    ]


@pytest.mark.parametrize(("name", "sent"), [("functions.f:0", "functions_f_0"), ("call_1-a", "call_1-a"), ("", "call")])
def test_ids_of_other_providers_are_written_in_the_letters_that_are_allowed(name: str, sent: str) -> None:
    """The same for a call and its result."""
    called, result = _said(_assistant(ToolCall(name, "f", "{}")), _user(ToolResult(name, ())))

    assert called["content"][0]["id"] == result["content"][0]["tool_use_id"] == sent


def test_tools_keep_their_schemas() -> None:
    """One without takes an empty object, for there must be one."""
    assert _asked(tools=(F, G)) == {"tools": [WRITTEN_F, WRITTEN_G]}


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        (ToolChoice(), {}),
        (ToolChoice(ToolMode.AUTO), {"tool_choice": {"type": "auto"}}),
        (ToolChoice(ToolMode.NONE, parallel=False), {"tool_choice": {"type": "none"}}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": {"type": "any"}}),
        (ToolChoice(ToolMode.REQUIRED, ("g",)), {"tool_choice": {"type": "tool", "name": "g"}}),
        (ToolChoice(parallel=False), {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
        (ToolChoice(parallel=True), {"tool_choice": {"type": "auto"}}),
        (
            ToolChoice(ToolMode.REQUIRED, parallel=False),
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        (
            ToolChoice(ToolMode.REQUIRED, ("g",), parallel=False),
            {"tool_choice": {"type": "tool", "name": "g", "disable_parallel_tool_use": True}},
        ),
    ],
)
def test_every_choice_of_tools_has_its_form(choice: ToolChoice, asked: dict[str, object]) -> None:
    """Whether several may be called at once is said within it."""
    assert _asked(tools=(F, G), tool_choice=choice) == {"tools": [WRITTEN_F, WRITTEN_G], **asked}


def test_only_the_tools_that_may_be_called_are_shown() -> None:
    """There is no choice among some; without tools there is none at all."""
    assert _asked(tools=(F, G), tool_choice=ToolChoice(only=("g",))) == {"tools": [WRITTEN_G]}
    assert _asked(tools=(F, G), tool_choice=ToolChoice(ToolMode.REQUIRED, ("f", "g"))) == {
        "tools": [WRITTEN_F, WRITTEN_G],
        "tool_choice": {"type": "any"},
    }
    assert _asked(tool_choice=ToolChoice(ToolMode.AUTO)) == {}


# --- sampling, thoughts, the form of the answer


def test_sampling_is_asked_for_by_anthropics_names() -> None:
    """Zero is not the same as nothing."""
    sampling = Sampling(temperature=0.0, top_k=40, max_output_tokens=100, stop=("END",))

    assert _asked(sampling=sampling) == {"temperature": 0.0, "top_k": 40, "max_tokens": 100, "stop_sequences": ["END"]}
    assert _asked(sampling=Sampling(top_p=0.5)) == {"top_p": 0.5}


@pytest.mark.parametrize(
    ("model", "sampling", "asked"),
    [
        (NEWEST, Sampling(temperature=1.0, top_p=1.0), {}),
        (NEWEST, Sampling(temperature=0.5, top_p=0.5), {"temperature": 0.5, "top_p": 0.5}),
        (NEW, Sampling(temperature=0.5, top_p=1.0), {"temperature": 0.5}),
        (NEW, Sampling(temperature=1.0, top_p=0.5), {"top_p": 0.5}),
        (NEW, Sampling(temperature=1.0, top_p=1.0), {"temperature": 1.0}),
        (NEW, Sampling(temperature=1.0), {"temperature": 1.0}),
        (NEW, Sampling(top_p=1.0), {"top_p": 1.0}),
    ],
)
def test_a_default_is_not_said_where_saying_it_would_be_refused(
    model: str, sampling: Sampling, asked: dict[str, object]
) -> None:
    """Many clients always send a temperature and a top_p of 1, which change nothing."""
    assert _asked(model, sampling=sampling) == asked


@pytest.mark.parametrize(
    ("reasoning", "thinking"),
    [
        (Reasoning("minimal"), {"type": "enabled", "budget_tokens": 1024}),
        (Reasoning("low"), {"type": "enabled", "budget_tokens": 2048}),
        (Reasoning("medium"), {"type": "enabled", "budget_tokens": 8192}),
        (Reasoning("low", budget=5000), {"type": "enabled", "budget_tokens": 5000}),
        (Reasoning(budget=1), {"type": "enabled", "budget_tokens": 1024}),
        (Reasoning(budget=-1), {"type": "enabled", "budget_tokens": 8192}),
        (Reasoning(show=True), {"type": "enabled", "budget_tokens": 8192, "display": "summarized"}),
        (Reasoning(budget=2000, show=False), {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}),
        (Reasoning("none"), {"type": "disabled"}),
        (Reasoning(budget=0), {"type": "disabled"}),
    ],
)
def test_older_models_take_a_budget_for_their_thoughts(reasoning: Reasoning, thinking: dict[str, object]) -> None:
    """An effort is as many tokens; no less than 1024 are taken."""
    assert _asked(OLD, reasoning=reasoning, sampling=Sampling(max_output_tokens=60000)) == {
        "thinking": thinking,
        "max_tokens": 60000,
    }


@pytest.mark.parametrize(
    ("reasoning", "asked"),
    [
        (Reasoning("low"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (Reasoning("minimal"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (Reasoning("xhigh"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (Reasoning("max"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (Reasoning(budget=5000), {"thinking": {"type": "adaptive"}}),
        (Reasoning(budget=-1, show=True), {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (Reasoning("none"), {"thinking": {"type": "disabled"}}),
        (Reasoning(), {}),
        (Reasoning(show=False), {}),
    ],
)
def test_newer_models_take_an_effort(reasoning: Reasoning, asked: dict[str, object]) -> None:
    """They decide how much to think, and refuse efforts that they do not know: the nearest one is asked for.

    Whether thoughts are shown says nothing of whether there are to be any, unless they are wanted.
    """
    assert _asked(NEW, reasoning=reasoning) == asked


@pytest.mark.parametrize(("most", "sent"), [(None, 8192 + 8192), (1000, 9192), (8193, 8193)])
def test_an_answer_is_longer_than_the_thoughts_before_it(most: int | None, sent: int) -> None:
    """They count as output: a budget that leaves no room for an answer is refused."""
    body = _asked(OLD, reasoning=Reasoning("medium"), sampling=Sampling(max_output_tokens=most))

    assert body["max_tokens"] == sent


def test_a_schema_is_a_part_of_the_output_configuration() -> None:
    """Beside the effort; JSON without a schema is nothing that Anthropic knows."""
    schema = {"type": "json_schema", "schema": msgspec.json.decode(SCHEMA)}

    assert _asked(response_format=ResponseFormat(SCHEMA, "city")) == {"output_config": {"format": schema}}
    assert _asked(NEW, response_format=ResponseFormat(SCHEMA), reasoning=Reasoning("low"))["output_config"] == {
        "effort": "low",
        "format": schema,
    }
    assert _asked(response_format=ResponseFormat()) == {}


def test_thoughts_are_given_back_unmodified() -> None:
    """Sealed or signed, where they stood: a loop of tools is refused without them."""
    assert _said(
        _assistant(Thinking("hm", "c2ln"), Thinking("", redacted="YQ"), Thinking("", "c2ln"), ToolCall("a", "f", "{}"))
    )[0]["content"][:3] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "YQ"},
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
    ]


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("unsigned"),
        Thinking("", redacted='{"type":"reasoning.encrypted"}'),
        Thinking("", redacted="gAAAAABpEg"),
        Thinking("hm", signature="gAAAAABpEg"),
    ],
)
def test_thoughts_of_other_providers_are_left_out(thought: Thinking) -> None:
    """Anthropic refuses a signature that is not its own; those of DeepSeek have none, OpenAI's are sealed."""
    assert _said(_assistant(thought, Text("Hi"))) == [{"role": "assistant", "content": "Hi"}]


def test_the_end_user_and_extras_have_their_places() -> None:
    """What only Anthropic knows stands at the top as it is."""
    assert _asked(safety_user="u1", extras={"service_tier": msgspec.Raw(b'"standard_only"')}) == {
        "metadata": {"user_id": "u1"},
        "service_tier": "standard_only",
    }
