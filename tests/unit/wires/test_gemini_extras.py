"""What callers ask of Gemini by its own names, and how it comes into a request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.domain.request import Reasoning, Request, Sampling, prompt_request
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.domain.unsupported import Unsupported
from synapse.providers.wires import gemini

SAFETY = [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_LOW_AND_ABOVE"}]


def _extras(**fields: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def _asking(extras: dict[str, msgspec.Raw], **fields: object) -> Request:
    return msgspec.structs.replace(prompt_request("code", "Hi"), extras=extras, **fields)


def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(gemini.WIRE.encode(request, "gemini-2.5-flash", None).body)
    return body


def _refused(request: Request) -> tuple[Unsupported, ...]:
    return gemini.WIRE.unsupported(request, "gemini-2.5-flash")


@pytest.mark.parametrize("under_google", [True, False])
def test_fields_of_gemini_stand_at_the_top(under_google: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Among the extras or under `google`, in either spelling."""
    fields = {
        "safety_settings": SAFETY,
        "cachedContent": "cachedContents/1",
        "labels": {"team_name": "a_b"},
        "serviceTier": "flex",
    }
    request = _asking(_extras(google=fields) if under_google else _extras(**fields))

    assert _body(request) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "safetySettings": SAFETY,
        "cachedContent": "cachedContents/1",
        "labels": {"team_name": "a_b"},
        "serviceTier": "flex",
    }
    assert _refused(request) == ()


def test_extras_of_other_wires_are_not_for_gemini() -> None:
    """It refuses unknown fields, and a fallback may lead here from anywhere."""
    request = _asking(_extras(store=True, service_tier="flex", logit_bias={"1": 2}, metadata={}, top_a=1, google=None))

    assert list(_body(request)) == ["contents"]
    assert _refused(request) == ()


def test_unknown_fields_under_google_are_sent() -> None:
    """Gemini says itself what it does not know; nothing is dropped silently."""
    assert _body(_asking(_extras(google={"someNewField": 1, "store": False})))["someNewField"] == 1


def test_what_belongs_to_the_generation_config_is_put_there() -> None:
    """Google's own port takes `thinking_config` beside `cached_content`; other fields stay as they are."""
    extras = _extras(google={"thinking_config": {"thinking_budget": 5}, "responseModalities": ["TEXT"]})

    sent = _body(_asking(extras, sampling=Sampling(top_k=3), reasoning=Reasoning(effort="low", show=True)))

    assert sent["generationConfig"] == {
        "topK": 3,
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 5},
        "responseModalities": ["TEXT"],
    }


def test_tools_of_gemini_stand_beside_functions() -> None:
    """Both are in one list."""
    extras = _extras(google={"tools": [{"googleSearch": {}}]})

    assert _body(_asking(extras))["tools"] == [{"googleSearch": {}}]
    assert _body(_asking(extras, tools=(Tool("f"),)))["tools"] == [
        {"functionDeclarations": [{"name": "f", "description": ""}]},
        {"googleSearch": {}},
    ]


def test_what_is_asked_for_by_name_is_stronger() -> None:
    """A field of the caller's replaces ours, down to the fields of a config."""
    extras = _extras(
        generationConfig={"temperature": 1.5},
        tool_config={"function_calling_config": {"mode": "NONE"}, "retrievalConfig": {}},
    )

    sent = _body(
        _asking(
            extras,
            sampling=Sampling(temperature=0.0, top_p=0.5),
            tools=(Tool("f"),),
            tool_choice=ToolChoice(ToolMode.REQUIRED, ("f",)),
        )
    )

    assert sent["generationConfig"] == {"temperature": 1.5, "topP": 0.5}
    assert sent["toolConfig"] == {
        "functionCallingConfig": {"mode": "NONE", "allowedFunctionNames": ["f"]},
        "retrievalConfig": {},
    }


@pytest.mark.parametrize("extras", [_extras(google=5), _extras(google="x"), _extras(generationConfig=[])])
def test_extras_that_are_no_objects_are_named(extras: dict[str, msgspec.Raw]) -> None:
    """They cannot be put anywhere; a fallback's request goes without them."""
    request = _asking(extras)

    assert [each.parameter for each in _refused(request)] == ["google"]
    assert list(_body(request)) == ["contents"]


@pytest.mark.parametrize("name", ["tools", "toolConfig"])
def test_fields_of_another_type_than_gemini_expects_are_sent(name: str) -> None:
    """Gemini says best what is wrong with them."""
    request = _asking(_extras(google={name: 5}), tools=(Tool("f"),), tool_choice=ToolChoice(ToolMode.REQUIRED))

    assert _body(request)[name] == 5


def test_a_number_of_candidates_is_refused_by_name() -> None:
    """It would be paid for and not heard."""
    for extras in (_extras(google={"candidateCount": 2}), _extras(generation_config={"candidate_count": 2})):
        (refused,) = _refused(_asking(extras))

        assert refused.parameter == "candidateCount"
        assert " n " in refused.hint
