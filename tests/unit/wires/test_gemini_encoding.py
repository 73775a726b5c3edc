"""What is sent to Gemini: addresses, keys, sampling, formats, tools. What was said has tests of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.domain.credential import Credential
from synapse.domain.request import Request, ResponseFormat, Sampling, prompt_request
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires import gemini

KEY = Credential("project", "AIza-a-key")
SCHEMA = b'{"type":"object","properties":{"city":{"$ref":"#/$defs/c"}},"additionalProperties":false}'
WEATHER = Tool("get_weather", "Tells the weather.", msgspec.Raw(SCHEMA))
TIME = Tool("get_time")


def _body(request: Request, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(gemini.WIRE.encode(request, model, KEY).body)
    return body


def _asking(**fields: object) -> Request:
    return msgspec.structs.replace(prompt_request("code", "Hi"), **fields)


def test_a_prompt_is_one_user_turn_and_nothing_else() -> None:
    """What a caller leaves open is left to the provider: no empty configuration, no nulls."""
    assert _body(prompt_request("code", "Hi")) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash"])
def test_the_path_names_the_providers_model(model: str) -> None:
    """The prefix `models/` may be there or not."""
    call = gemini.WIRE.encode(prompt_request("code", "Hi"), model, KEY)

    assert call.path == "/v1beta/models/gemini-2.5-flash:generateContent"


def test_streams_ask_for_server_sent_events() -> None:
    """Without `alt=sse` Gemini streams a JSON array."""
    call = gemini.WIRE.encode(prompt_request("code", "Hi", stream=True), "gemini-2.5-flash", KEY)

    assert call.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_a_model_name_cannot_change_the_address() -> None:
    """What means something in an address is escaped; a slash is part of some names."""
    assert gemini.WIRE.encode(prompt_request("code", "Hi"), "a/b", None).path == "/v1beta/models/a/b:generateContent"
    assert gemini.WIRE.encode(prompt_request("code", "Hi"), "a?b#c%d", None).path.startswith(
        "/v1beta/models/a%3Fb%23c%25d:"
    )


def test_the_key_is_a_header() -> None:
    """The key goes into `x-goog-api-key`, and without a credential there is no such header."""
    request = prompt_request("code", "Hi")

    assert gemini.WIRE.encode(request, "m", KEY).headers == {
        "content-type": "application/json",
        "x-goog-api-key": "AIza-a-key",
    }
    assert gemini.WIRE.encode(request, "m", None).headers == {"content-type": "application/json"}


def test_all_sampling_reaches_gemini() -> None:
    """Each choice has its place in generationConfig."""
    sampling = Sampling(
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        max_output_tokens=100,
        stop=("a", "b", "c", "d", "e"),
        seed=-(2**31),
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logprobs=20,
    )

    assert _body(prompt_request("code", "Hi", sampling=sampling)) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {
            "temperature": 0.0,
            "topP": 0.9,
            "topK": 40,
            "maxOutputTokens": 100,
            "stopSequences": ["a", "b", "c", "d", "e"],
            "seed": -(2**31),
            "presencePenalty": 0.5,
            "frequencyPenalty": -0.5,
            "responseLogprobs": True,
            "logprobs": 20,
        },
    }


def test_sampling_is_sent_to_models_that_take_no_notice_of_it() -> None:
    """Gemini 3.6 Flash and its like ignore temperature, top_p and top_k: whether they refuse them is theirs to say."""
    sampling = Sampling(temperature=0.2, top_p=0.9, top_k=40)

    sent = _body(_asking(sampling=sampling), "gemini-3.6-flash")

    assert sent["generationConfig"] == {"temperature": 0.2, "topP": 0.9, "topK": 40}
    assert gemini.WIRE.unsupported(_asking(sampling=sampling), "gemini-3.6-flash") == ()


def test_logprobs_of_no_others_are_asked_for_without_a_number() -> None:
    """Gemini knows numbers of others from 1 on."""
    assert _body(_asking(sampling=Sampling(logprobs=0)))["generationConfig"] == {"responseLogprobs": True}


def test_one_choice_of_sampling_is_sent_alone() -> None:
    """A temperature of 0 is a choice; what is None is not there."""
    assert _body(_asking(sampling=Sampling(temperature=0.0)))["generationConfig"] == {"temperature": 0.0}


def test_json_is_asked_for_by_its_type() -> None:
    """Any JSON object: a type and no schema."""
    sent = _body(_asking(response_format=ResponseFormat()))

    assert sent["generationConfig"] == {"responseMimeType": "application/json"}


def test_a_schema_goes_as_json_schema_beside_the_type() -> None:
    """It needs the type, goes as it is, and its name, its description and its strictness have no place there."""
    form = ResponseFormat(msgspec.Raw(SCHEMA), "city", "A city.", strict=True)

    sent = _body(_asking(response_format=form))

    assert sent["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": msgspec.json.decode(SCHEMA),
    }


def test_tools_are_declared_in_one_tool_with_json_schemas() -> None:
    """The field `parameters` refuses much of JSON Schema, `parametersJsonSchema` takes it as it is."""
    sent = _body(_asking(tools=(WEATHER, TIME)))

    assert sent["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "Tells the weather.",
                    "parametersJsonSchema": msgspec.json.decode(SCHEMA),
                },
                {"name": "get_time", "description": ""},
            ]
        }
    ]
    assert "toolConfig" not in sent


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.REQUIRED, ("get_time",)), {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
        (
            ToolChoice(ToolMode.REQUIRED, ("get_time", "get_weather")),
            {"mode": "ANY", "allowedFunctionNames": ["get_time", "get_weather"]},
        ),
        (ToolChoice(ToolMode.AUTO, ("get_time",)), {"mode": "VALIDATED", "allowedFunctionNames": ["get_time"]}),
        (ToolChoice(None, ("get_time",)), {"mode": "VALIDATED", "allowedFunctionNames": ["get_time"]}),
    ],
)
def test_a_choice_of_tools_is_a_mode_and_names(choice: ToolChoice, config: dict[str, object]) -> None:
    """Names may only stand beside ANY and VALIDATED, so the latter is AUTO among some."""
    sent = _body(_asking(tools=(WEATHER, TIME), tool_choice=choice))

    assert sent["toolConfig"] == {"functionCallingConfig": config}


@pytest.mark.parametrize("choice", [None, ToolChoice(), ToolChoice(parallel=True)])
def test_no_choice_of_tools_is_left_to_gemini(choice: ToolChoice | None) -> None:
    """AUTO is what it does by itself."""
    assert "toolConfig" not in _body(_asking(tools=(TIME,), tool_choice=choice))


def test_a_choice_without_tools_is_not_sent() -> None:
    """Gemini refuses one: there is nothing to choose from."""
    assert "toolConfig" not in _body(_asking(tool_choice=ToolChoice(ToolMode.AUTO)))


@pytest.mark.parametrize(
    ("mode", "sent"), [(None, "VALIDATED"), (ToolMode.AUTO, "VALIDATED"), (ToolMode.REQUIRED, "ANY")]
)
def test_strict_tools_are_validated(mode: ToolMode | None, sent: str) -> None:
    """AUTO does not hold arguments to their schema; VALIDATED does, and so does ANY."""
    strict = msgspec.structs.replace(WEATHER, strict=True)

    body = _body(_asking(tools=(TIME, strict), tool_choice=None if mode is None else ToolChoice(mode)))

    assert body["toolConfig"] == {"functionCallingConfig": {"mode": sent}}


def test_the_number_of_candidates_is_never_sent() -> None:
    """One task is one answer, whatever is asked for by Gemini's own names."""
    extras = {"google": msgspec.Raw(b'{"candidateCount":3,"generation_config":{"candidate_count":3,"topK":1}}')}

    assert _body(_asking(extras=extras))["generationConfig"] == {"topK": 1}


def test_encoding_a_request_twice_does_not_change_it() -> None:
    """What is sent depends on the request alone."""
    request = _asking(tools=(WEATHER,), sampling=Sampling(top_p=0.5), response_format=ResponseFormat())

    assert _body(request) == _body(request)
