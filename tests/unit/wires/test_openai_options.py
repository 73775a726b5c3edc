"""What is asked of servers that speak like OpenAI beside the conversation, and which of them takes it in which form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.domain.request import Request, ResponseFormat, Sampling, prompt_request
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires import openai
from synapse.providers.wires.base import Wire
from synapse.testing.wire_contract import check_classify, check_encode, check_garbage

SCHEMA = msgspec.Raw(b'{"type": "object", "properties": {"x": {"const": 1.50}}}')
F, G = Tool("f", "does f", SCHEMA, strict=True), Tool("g")
WRITTEN_F = {
    "type": "function",
    "function": {"name": "f", "description": "does f", "parameters": msgspec.json.decode(SCHEMA), "strict": True},
}
WRITTEN_G = {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}


def _sent(model: str = "m", *, wire: Wire = openai.WIRE, **asked: object) -> dict[str, Any]:
    request: Request = msgspec.structs.replace(prompt_request("code", "Hi"), **asked)
    body: dict[str, Any] = msgspec.json.decode(wire.encode(request, model, None).body)
    assert body.pop("model") == model
    assert body.pop("messages") == [{"role": "user", "content": "Hi"}]
    return body


@pytest.mark.parametrize("wire", openai.WIRES, ids=lambda wire: wire.name)
def test_every_dialect_keeps_the_contract(wire: Wire) -> None:
    """Keys stand in one header alone, garbage is a failure, and errors are classified."""
    check_encode(wire)
    check_garbage(wire)
    check_classify(wire)


def test_every_dialect_has_a_name_of_its_own() -> None:
    """They are found by it."""
    assert [wire.name for wire in openai.WIRES] == ["openai", "openrouter", "mistral", "deepseek"]


def test_all_sampling_is_asked_for_by_its_common_name() -> None:
    """Zero is not the same as nothing."""
    sampling = Sampling(
        temperature=0.0,
        stop=("END", "\n"),
        seed=0,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logprobs=2,
    )

    assert _sent(sampling=sampling) == {
        "temperature": 0.0,
        "stop": ["END", "\n"],
        "seed": 0,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logprobs": True,
        "top_logprobs": 2,
    }


def test_the_probability_of_the_token_alone_is_a_switch() -> None:
    """`top_logprobs` is of the others."""
    assert _sent(sampling=Sampling(logprobs=0)) == {"logprobs": True}


@pytest.mark.parametrize(
    "model", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.1", "gpt-6-mini", "openai/gpt-5", "ft:gpt-5:a::b"]
)
def test_openais_thinking_models_want_max_completion_tokens(model: str) -> None:
    """They refuse `max_tokens`."""
    assert _sent(model, sampling=Sampling(max_output_tokens=9)) == {"max_completion_tokens": 9}


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-3.5-turbo", "gpt-35-turbo", "gpt-oss-120b", "openai/gpt-oss-20b", "o200k", "olmo", "llama3.2"],
)
def test_everybody_else_knows_max_tokens(model: str) -> None:
    """Many know nothing else."""
    assert _sent(model, sampling=Sampling(max_output_tokens=9)) == {"max_tokens": 9}


# --- tools


def test_a_tool_without_a_schema_takes_an_empty_object() -> None:
    """Some servers want the schema whatever it is; that of a caller goes as it is."""
    assert _sent(tools=(F, G)) == {"tools": [WRITTEN_F, WRITTEN_G]}


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        (ToolChoice(), {}),
        (ToolChoice(ToolMode.AUTO), {"tool_choice": "auto"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(ToolMode.NONE, only=("f",)), {"tool_choice": "none"}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(ToolMode.REQUIRED, only=("f",)), {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (ToolChoice(parallel=False), {"parallel_tool_calls": False}),
        (ToolChoice(ToolMode.AUTO, parallel=True), {"tool_choice": "auto", "parallel_tool_calls": True}),
    ],
)
def test_every_choice_of_tools_has_its_form(choice: ToolChoice, asked: dict[str, object]) -> None:
    """What a caller leaves open is not said."""
    assert _sent(tools=(F, G), tool_choice=choice) == {"tools": [WRITTEN_F, WRITTEN_G], **asked}


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        (ToolChoice(only=("g",)), "auto"),
        (ToolChoice(ToolMode.AUTO, only=("g",)), "auto"),
        (ToolChoice(ToolMode.REQUIRED, only=("f", "g")), "required"),
    ],
)
def test_openais_models_are_told_which_tools_are_allowed(choice: ToolChoice, mode: str) -> None:
    """All tools stay in the request, so that its beginning stays in the cache."""
    allowed = [{"type": "function", "function": {"name": name}} for name in choice.only]

    assert _sent("gpt-5", tools=(F, G), tool_choice=choice) == {
        "tools": [WRITTEN_F, WRITTEN_G],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}},
    }


def test_others_are_shown_no_tools_but_those_allowed() -> None:
    """They know of no choice among some."""
    assert _sent(tools=(F, G), tool_choice=ToolChoice(only=("g",))) == {"tools": [WRITTEN_G]}
    assert _sent(tools=(F, G), tool_choice=ToolChoice(ToolMode.REQUIRED, only=("f", "g"))) == {
        "tools": [WRITTEN_F, WRITTEN_G],
        "tool_choice": "required",
    }


def test_no_tools_leave_nothing_to_choose() -> None:
    """OpenAI refuses a choice without them."""
    assert _sent(tool_choice=ToolChoice(ToolMode.AUTO, parallel=False)) == {}


# --- the form of the answer


def test_any_json_object_may_be_asked_for() -> None:
    """Where there is no schema."""
    assert _sent(response_format=ResponseFormat()) == {"response_format": {"type": "json_object"}}


def test_a_schema_has_a_name() -> None:
    """It is refused without one, so there is one for those that have none."""
    schema = msgspec.json.decode(SCHEMA)

    assert _sent(response_format=ResponseFormat(SCHEMA)) == {
        "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    }
    assert _sent(response_format=ResponseFormat(SCHEMA, "city", "A city.", strict=False)) == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": schema, "description": "A city.", "strict": False},
        }
    }


# --- the rest


def test_the_end_user_is_named_by_the_field_that_everybody_knows() -> None:
    """`user`; Mistral refuses it."""
    assert _sent(safety_user="u1") == {"user": "u1"}
    assert _sent(wire=openai.MISTRAL, safety_user="u1") == {}


def test_extras_stand_at_the_top_as_they_are() -> None:
    """What only one server knows is for it to judge; the rest of the request stays."""
    extras = {"provider": msgspec.Raw(b'{"sort": "price"}'), "logit_bias": msgspec.Raw(b'{"50256":-100}')}

    assert _sent(sampling=Sampling(temperature=0.5), extras=extras) == {
        "temperature": 0.5,
        "provider": {"sort": "price"},
        "logit_bias": {"50256": -100},
    }


def test_mistral_refuses_to_be_asked_for_the_usage_of_a_stream() -> None:
    """It tells it unasked; its seed has a name of its own."""
    assert _sent(wire=openai.MISTRAL, stream=True, sampling=Sampling(seed=7)) == {"stream": True, "random_seed": 7}
    assert _sent(wire=openai.DEEPSEEK, stream=True) == {"stream": True, "stream_options": {"include_usage": True}}
