"""A whole response, as clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from openai.types.responses import Response

from synapse.domain.answer import Answer
from synapse.domain.caller import Band
from synapse.domain.events import Finish, FinishReason
from synapse.domain.request import Text, ToolCall
from synapse.domain.usage import Usage
from synapse.server.http.openai.responses_object import answered, encode_object

if TYPE_CHECKING:
    from conftest import Write, Written

UNSET = {
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "temperature",
    "top_p",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "frequency_penalty",
    "presence_penalty",
}
KEYS = UNSET | {
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "background",
    "metadata",
    "model",
    "output",
    "parallel_tool_calls",
    "reasoning",
    "service_tier",
    "store",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "truncation",
    "usage",
}


def whole(written: Written, answer: Answer) -> dict[str, Any]:
    """Write a whole answer."""
    response: dict[str, Any] = msgspec.json.decode(encode_object(answered(written.task, written.body, answer, 2000.5)))
    Response.model_validate(response, strict=True)
    return response


def stopped(usage: Usage | None = None) -> Finish:
    """Return the end of a whole answer."""
    return Finish(FinishReason.STOP, usage or Usage())


def test_every_key_is_present_and_null_when_unset(asking: Write) -> None:
    """What clients read, they read unchecked."""
    response = whole(asking(), Answer("Hi.", stopped()))

    assert set(response) == KEYS
    assert (response["id"], response["object"], response["created_at"]) == ("resp_1f", "response", 1000)
    assert (response["metadata"], response["tools"], response["tool_choice"]) == ({}, [], "auto")
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert response["reasoning"] == {"effort": None, "summary": None}
    assert {name for name in KEYS if response[name] is None} == UNSET


def test_output_is_a_list_even_of_nothing(asking: Write) -> None:
    """The official client's `output_text` raises a TypeError at null; an answer of nothing is an empty message."""
    response = whole(asking(), Answer("", stopped()))

    assert Response.model_validate(response).output_text == ""
    assert [item["type"] for item in response["output"]] == ["message"]


def test_what_was_asked_is_told_again(asking: Write) -> None:
    """As it was understood: nothing is kept, and nothing is cut."""
    asked = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 7,
        "max_tool_calls": 2,
        "top_logprobs": 3,
        "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
    }
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    response = whole(asking(**asked, tools=[tool], store=True, truncation="auto"), Answer("Hi.", stopped()))

    assert {name: response[name] for name in asked} == asked
    assert response["tools"] == [{**tool, "description": None, "strict": None}]
    assert (response["store"], response["background"], response["truncation"]) == (False, False, "disabled")


@pytest.mark.parametrize(("band", "tier"), [(Band.BATCH, "flex"), (Band.STANDARD, "default")])
def test_the_tier_is_that_of_the_band(asking: Write, band: Band, tier: str) -> None:
    """In which the task was queued, whatever was asked."""
    written = asking()
    written.task = msgspec.structs.replace(written.task, band=band)

    assert whole(written, Answer("Hi.", stopped()))["service_tier"] == tier


def test_usage_has_its_details(asking: Write) -> None:
    """By this API's names, with the cost where it is known."""
    usage = Usage(10, 20, thinking_tokens=5, cached_tokens=4, cache_write_tokens=3)
    counts = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 30,
    }

    assert whole(asking(), Answer("Hi.", stopped(usage)))["usage"] == counts
    usage = msgspec.structs.replace(usage, cost=0.25, total_tokens=33)
    assert whole(asking(), Answer("Hi.", stopped(usage)))["usage"] == {**counts, "total_tokens": 33, "cost": 0.25}


def test_only_the_last_item_of_a_cut_answer_is_incomplete(asking: Write) -> None:
    """What came before it had ended."""
    blocks = (Text("So."), ToolCall("c", "f", "{"))
    response = whole(asking(), Answer("So.", Finish(FinishReason.LENGTH), blocks))

    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert [item["id"] for item in response["output"]] == ["msg_1f_0", "fc_1f_1"]
