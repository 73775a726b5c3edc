"""A whole answer, as OpenAI's clients read it."""

from __future__ import annotations

import json

import msgspec
import pytest

from synapse.domain.answer import Answer
from synapse.domain.caller import Band
from synapse.domain.events import Finish, FinishReason
from synapse.domain.request import Text, Thinking, ToolCall, prompt_request
from synapse.domain.task import Task
from synapse.domain.usage import Usage
from synapse.server.http.openai.chat_answer import encode_answers

FINISH = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))


def make_task(number: int = 1, **fields: object) -> Task:
    """Make a task."""
    task = Task(f"task_{number}", prompt_request("m", "Why?"), "up", "real-m", 1754688929.9, 600.0, 3600.0)
    return msgspec.structs.replace(task, **fields)


def encode(*answers: Answer, **fields: object) -> dict[str, object]:
    """Write answers, and read them again."""
    body: dict[str, object] = json.loads(
        encode_answers([make_task(number, **fields) for number, _ in enumerate(answers, 1)], answers)
    )
    return body


def message(answer: Answer) -> dict[str, object]:
    """Return the message of an answer."""
    choice = encode(answer)["choices"][0]  # type: ignore[index]
    body: dict[str, object] = choice["message"]
    return body


def test_every_key_is_there() -> None:
    """The official client checks no answer: what is missing fails later, in the code of its user."""
    assert encode(Answer("Because.", FINISH)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1754688929,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Because.", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 5,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


@pytest.mark.parametrize("reason", list(FinishReason))
def test_each_reason_has_its_name(reason: FinishReason) -> None:
    """They are the same words."""
    assert encode(Answer("", Finish(reason)))["choices"][0]["finish_reason"] == reason.value  # type: ignore[index]


def test_content_is_null_where_there_are_only_calls() -> None:
    """An empty answer without them has empty content."""
    call = ToolCall("call_1", "look", '{"x":1}')
    written = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}

    only_calls = message(Answer("", FINISH, (call,)))
    both = message(Answer("So.", FINISH, (Text("So."), call)))

    assert (only_calls["content"], only_calls["tool_calls"]) == (None, [written])
    assert (both["content"], both["tool_calls"]) == ("So.", [written])
    assert message(Answer("", FINISH))["content"] == ""
    assert message(Answer("", FINISH, (Thinking("Hm."),)))["content"] == ""


def test_a_call_has_an_id_and_keeps_its_proof() -> None:
    """One is made where the provider gave none: no two calls share it."""
    calls = (ToolCall("", "look", "{}", "c2ln"), ToolCall("", "look", "{}"))

    written = message(Answer("", FINISH, calls))["tool_calls"]

    assert [call["id"] for call in written] == ["call_1_0", "call_1_1"]  # type: ignore[attr-defined]
    assert [call.get("extra_content") for call in written] == [  # type: ignore[attr-defined]
        {"google": {"thought_signature": "c2ln"}},
        None,
    ]


def test_thoughts_are_beside_the_content() -> None:
    """Unsigned ones as text alone: nobody wants them back."""
    written = message(Answer("So.", FINISH, (Thinking("Hm. "), Thinking("Hm!"), Text("So."))))

    assert (written["reasoning_content"], written["content"]) == ("Hm. Hm!", "So.")
    assert "reasoning_details" not in written
    assert "tool_calls" not in written


def test_thoughts_that_must_be_given_back_are_there_in_detail() -> None:
    """All blocks in order, signed ones with their signature and sealed ones as they are."""
    blocks = (Thinking("Hm.", "c2ln"), Thinking("", redacted="c2VhbGVk"), Thinking("", "bm8gdGV4dA=="), Text("So."))

    written = message(Answer("So.", FINISH, blocks))

    assert written["reasoning_content"] == "Hm."
    assert written["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "c2ln"},
        {"type": "reasoning.encrypted", "index": 1, "data": "c2VhbGVk"},
        {"type": "reasoning.text", "index": 2, "text": "", "signature": "bm8gdGV4dA=="},
    ]


def test_probabilities_are_one_list() -> None:
    """However many pieces they came in."""
    pieces = (msgspec.Raw(b'[{"token":"a"},{"token":"b"}]'), msgspec.Raw(b"[]"), msgspec.Raw(b'[{"token":"c"}]'))

    body = encode(Answer("abc", FINISH, logprobs=pieces))

    assert body["choices"][0]["logprobs"] == {  # type: ignore[index]
        "content": [{"token": "a"}, {"token": "b"}, {"token": "c"}],
        "refusal": None,
    }


def test_several_answers_are_choices_of_one() -> None:
    """With one id, that of the first task; what they took is added up."""
    body = encode(Answer("A", FINISH), Answer("B", Finish(FinishReason.LENGTH, Usage(3, 7, 2, 1, 10, 4))))

    choices: list[dict[str, object]] = body["choices"]  # type: ignore[assignment]
    usage: dict[str, object] = body["usage"]  # type: ignore[assignment]
    assert body["id"] == "chatcmpl-1"
    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [(0, "A"), (1, "B")]  # type: ignore[index]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "length"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (6, 12, 18)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 1, "cache_write_tokens": 4, "audio_tokens": 0}
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2  # type: ignore[index]


def test_the_model_is_the_one_that_answered() -> None:
    """A fallback, where it was that."""
    assert encode(Answer("A", Finish(FinishReason.STOP, fallen_to="b")))["model"] == "b"


def test_what_was_queued_as_batch_work_had_the_flexible_tier() -> None:
    """As OpenAI calls it."""
    assert encode(Answer("A", FINISH), band=Band.BATCH)["service_tier"] == "flex"
