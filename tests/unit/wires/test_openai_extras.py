"""What else servers that speak like OpenAI put into an answer: probabilities, refusals, stop texts, costs."""

from __future__ import annotations

import json

import msgspec
import pytest

from synapse.domain.events import Delta, Finish, FinishReason, Logprobs
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.providers.base import Signal
from synapse.providers.wires import openai
from synapse.testing.wire_contract import hear

STOP = Finish(FinishReason.STOP)
WEIGHED = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]


def _chunk(delta: object, reason: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, **more}]}


def _plain(message: object, reason: str | None = "stop", **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason, **more}]}


def _signals(*events: object) -> list[Signal]:
    decoder = openai.WIRE.decoder()
    found: list[Signal] = []
    for event in events:
        found += decoder.feed(json.dumps(event).encode())
    return [*found, decoder.end()]


def _usage(**counts: object) -> Usage:
    *_, end = _signals({**_plain({"content": "Hi"}), "usage": counts})
    assert isinstance(end, Finish)
    return end.usage


# --- probabilities


def test_probabilities_are_told_behind_their_text() -> None:
    """In a stream with each piece; the text itself is told as ever."""
    delta, weighed, end = _signals(
        _chunk({"content": "Hi"}, logprobs={"content": WEIGHED, "refusal": None}), _chunk({}, "stop")
    )

    assert (delta, end) == (Delta("Hi"), STOP)
    assert isinstance(weighed, Logprobs)
    assert msgspec.json.decode(weighed.content) == WEIGHED


def test_probabilities_of_a_plain_answer_are_told_once() -> None:
    """All of them stand in one list."""
    *_, weighed, _ = _signals(_plain({"content": "Hi"}, logprobs={"content": WEIGHED}))

    assert isinstance(weighed, Logprobs)
    assert msgspec.json.decode(weighed.content) == WEIGHED


@pytest.mark.parametrize(
    "none", [None, {}, [], [1], {"content": None}, {"content": []}, {"tokens": ["Hi"], "token_logprobs": [-0.5]}]
)
def test_what_is_no_list_of_probabilities_is_none(none: object) -> None:
    """As Together sends them, in another form; the answer is taken all the same."""
    assert _signals(_chunk({"content": "Hi"}, "stop", logprobs=none)) == [Delta("Hi"), STOP]


# --- refusals


def test_a_refusal_is_text_and_ends_as_filtered() -> None:
    """The caller is to read it; and to be told that it is no answer to the schema that was asked for."""
    refused = Finish(FinishReason.CONTENT_FILTER)

    assert _signals(_plain({"content": None, "refusal": "I cannot."})) == [Delta("I cannot."), refused]
    assert _signals(_chunk({"refusal": "I "}), _chunk({"refusal": "cannot."}), _chunk({}, "stop")) == [
        Delta("I "),
        Delta("cannot."),
        refused,
    ]


def test_no_refusal_is_none() -> None:
    """OpenAI sends the field with every answer, mostly null."""
    assert _signals(_plain({"content": "Hi", "refusal": None})) == [Delta("Hi"), STOP]
    assert _signals(_chunk({"role": "assistant", "content": "", "refusal": ""}), _chunk({"content": "Hi"}, "stop")) == [
        Delta("Hi"),
        STOP,
    ]


# --- the end


def test_vllm_says_which_text_ended_the_answer() -> None:
    """`stop_reason` stands beside the finish reason; a number there is that of a token."""
    met = Finish(FinishReason.STOP, stop_sequence="END")

    assert _signals(_plain({"content": "Hi"}, stop_reason="END"))[-1] == met
    assert _signals(_chunk({"content": "Hi"}, "stop", stop_reason="END"))[-1] == met
    assert _signals(_chunk({"content": "Hi"}), _chunk({}, "stop", stop_reason="END"))[-1] == met
    for token in (128009, None):
        assert _signals(_plain({"content": "Hi"}, stop_reason=token))[-1] == STOP


def test_llama_cpp_sent_errors_as_a_field_of_the_event() -> None:
    """Until October 2025: `error: {…}` in the place of `data: {"error": …}`, with status 200."""
    complaint = {
        "code": 400,
        "message": "the request exceeds the available context size",
        "type": "invalid_request_error",
    }
    stream = b"error: " + json.dumps(complaint).encode() + b"\n\ndata: [DONE]\n\n"

    assert hear(openai.WIRE, [stream]).end == Failure(
        FailureClass.CALLER_FAULT, "the request exceeds the available context size"
    )


def test_llama_cpp_answered_an_overflow_with_plain_json_although_a_stream_was_asked_for() -> None:
    """With status 200, until October 2025."""
    body = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_prompt_tokens": 9}}

    assert _signals(body)[-1] == Failure(FailureClass.CALLER_FAULT, "too long")


# --- what it took


def test_input_that_was_put_into_a_cache_is_counted() -> None:
    """As OpenRouter and OpenAI count it; it is a part of the input."""
    usage = _usage(
        prompt_tokens=9, completion_tokens=1, prompt_tokens_details={"cached_tokens": 2, "cache_write_tokens": 5}
    )

    assert usage == Usage(9, 1, cached_tokens=2, total_tokens=10, cache_write_tokens=5)


def test_openrouter_says_what_the_answer_cost() -> None:
    """In US dollars; a free one cost nothing, which is not the same as an unknown cost."""
    assert _usage(prompt_tokens=9, cost=0.0011).cost == 0.0011
    assert _usage(prompt_tokens=9, cost=0).cost == 0.0
    assert _usage(prompt_tokens=9, cost=None).cost is None
    assert _usage(prompt_tokens=9).cost is None


def test_numbers_may_be_text() -> None:
    """They are read all the same."""
    assert _usage(prompt_tokens="9", completion_tokens="1", cost="0.5") == Usage(9, 1, total_tokens=10, cost=0.5)


def test_a_cost_of_another_form_is_unknown() -> None:
    """Perplexity has an object there; the counts beside it are taken."""
    assert _usage(prompt_tokens=9, cost={"total_cost": 1.0}) == Usage(9, total_tokens=9)


def test_xai_counts_thoughts_in_the_total_alone() -> None:
    """Here they are a part of the output: nothing else would be paid for."""
    usage = _usage(
        prompt_tokens=32, completion_tokens=9, total_tokens=135, completion_tokens_details={"reasoning_tokens": 94}
    )

    assert usage == Usage(32, 103, thinking_tokens=94, total_tokens=135)


def test_others_count_thoughts_as_output_already() -> None:
    """The total tells the difference."""
    usage = _usage(
        prompt_tokens=32, completion_tokens=103, total_tokens=135, completion_tokens_details={"reasoning_tokens": 94}
    )

    assert usage == Usage(32, 103, thinking_tokens=94, total_tokens=135)
