"""What servers that speak like OpenAI answer, and what they surprise with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.providers.wires import openai
from synapse.testing.wire_contract import Heard, hear, hear_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE = "[DONE]"
USAGE = {"prompt_tokens": 11, "completion_tokens": 8, "total_tokens": 19}
COUNTED = Usage(input_tokens=11, output_tokens=8, total_tokens=19)
STOP = Finish(FinishReason.STOP)


def _chunk(delta: Mapping[str, object] | None = None, reason: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason}], **more}


def _said(text: str) -> dict[str, object]:
    return _chunk({"content": text})


def _stream(*events: object) -> Heard:
    lines = (item if isinstance(item, str) else json.dumps(item) for item in events)
    return hear(openai.WIRE, [b"".join(b"data: " + line.encode() + b"\n\n" for line in lines)])


def _plain(message: Mapping[str, object], reason: str | None = "stop", **more: object) -> Heard:
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": reason}], **more}
    return hear_plain(openai.WIRE, json.dumps(answer).encode())


def _failure_of(heard: Heard) -> Failure:
    assert isinstance(heard.end, Failure)
    return heard.end


def test_a_stream_ends_with_its_reason_and_usage() -> None:
    """The order OpenAI sends: role, text, reason, usage without choices, the mark of the end."""
    heard = _stream(
        _chunk({"role": "assistant", "content": ""}, usage=None),
        _said("Hel"),
        _said("lo"),
        _chunk({}, "stop"),
        {"choices": [], "usage": USAGE},
        DONE,
    )

    assert heard == Heard("Hello", Finish(FinishReason.STOP, COUNTED))


def test_usage_may_stand_in_the_finishing_chunk() -> None:
    """As DeepSeek and Together send it."""
    assert _stream(_said("Hi"), _chunk({"content": ""}, "stop", usage=USAGE), DONE).end == Finish(
        FinishReason.STOP, COUNTED
    )


def test_usage_may_stand_in_a_field_of_groq() -> None:
    """As Groq sends it where nobody asked."""
    assert _stream(_said("Hi"), _chunk({}, "stop", x_groq={"id": "req", "usage": USAGE}), DONE).end == Finish(
        FinishReason.STOP, COUNTED
    )


def test_groqs_field_may_say_why_a_stream_was_stopped() -> None:
    """An error there is one, though no other field says so."""
    heard = _stream(_said("Hi"), _chunk({}, "stop", x_groq={"id": "req", "error": "over capacity"}), DONE)

    assert heard == Heard("Hi", Failure(FailureClass.TRANSIENT, "over capacity"))


def test_groqs_field_without_usage_is_nothing() -> None:
    """The first chunk has only an id there."""
    assert (
        _stream(_chunk({"content": "Hi"}, x_groq={"id": "req", "seed": 1, "error": None}), _chunk({}, "stop")).end
        == STOP
    )


def test_the_last_usage_counts_and_a_later_null_does_not() -> None:
    """Cumulative counts in every chunk, then null or nothing."""
    early = {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}

    heard = _stream(
        _chunk({"content": "Hi"}, usage=early), _chunk({}, "stop", usage=USAGE), _chunk(usage=None), _chunk(usage={})
    )

    assert heard.end == Finish(FinishReason.STOP, COUNTED)


@pytest.mark.parametrize(
    ("more", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4}}, 4),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 3}, 3),
        ({"cached_tokens": 5}, 5),
        ({"prompt_tokens_details": None}, 0),
    ],
)
def test_cached_input_has_three_places(more: dict[str, object], cached: int) -> None:
    """OpenAI's, DeepSeek's and Together's."""
    heard = _plain({"content": "Hi"}, usage={**USAGE, **more})

    assert heard.end == Finish(
        FinishReason.STOP, Usage(input_tokens=11, output_tokens=8, cached_tokens=cached, total_tokens=19)
    )


def test_thinking_is_part_of_the_output() -> None:
    """`completion_tokens` has it in already; a missing total is the sum."""
    usage = {"prompt_tokens": 11, "completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 5}}

    assert _plain({"content": "Hi"}, usage=usage).end == Finish(
        FinishReason.STOP, Usage(input_tokens=11, output_tokens=8, thinking_tokens=5, total_tokens=19)
    )


def test_counts_may_be_null_and_the_total_is_the_servers_own() -> None:
    """Google's port counts thinking in the total alone."""
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    nothing = {
        "prompt_tokens": None,
        "completion_tokens": None,
        "completion_tokens_details": {"reasoning_tokens": None},
    }

    assert _plain({"content": "Hi"}, usage=usage).end == Finish(
        FinishReason.STOP, Usage(input_tokens=35, output_tokens=12, total_tokens=109)
    )
    assert _plain({"content": "Hi"}, usage=nothing).end == STOP


@pytest.mark.parametrize("usage", [None, {}, [], "?", {"prompt_tokens": []}])
def test_a_usage_that_cannot_be_read_does_not_spoil_the_answer(usage: object) -> None:
    """No counts are better than no answer."""
    assert _plain({"content": "Hi"}, usage=usage) == Heard("Hi", STOP)


def test_a_finish_reason_twice_is_one_end() -> None:
    """As OpenRouter sends it: once before the usage, once with it."""
    heard = _stream(_said("Hi"), _chunk({"content": ""}, "stop"), _chunk({"content": ""}, "stop", usage=USAGE), DONE)

    assert heard == Heard("Hi", Finish(FinishReason.STOP, COUNTED))


def test_a_null_after_the_finish_reason_takes_nothing_back() -> None:
    """As OpenRouter sent it in 2025: the chunk with usage has a null behind a `length`."""
    assert _stream(_said("Hi"), _chunk({}, "length"), _chunk({}, None, usage=USAGE), DONE).end == Finish(
        FinishReason.LENGTH, COUNTED
    )


def test_a_stream_may_lack_the_mark_of_its_end() -> None:
    """A finish reason is enough."""
    assert _stream(_said("Hi"), _chunk({}, "stop")) == Heard("Hi", STOP)


def test_the_mark_of_the_end_may_lack_a_finish_reason() -> None:
    """Text and `[DONE]` make an answer."""
    assert _stream(_said("Hi"), DONE) == Heard("Hi", STOP)


def test_a_mark_of_the_end_behind_nothing_ends_nothing() -> None:
    """Neither text nor reason: there was no answer."""
    assert _failure_of(_stream(_chunk({"role": "assistant"}), DONE)).kind is FailureClass.TRANSIENT


def test_a_stream_without_reason_or_mark_was_cut() -> None:
    """A clean end of the connection proves nothing."""
    heard = _stream(_said("Hi"))

    assert heard.text == "Hi"
    assert _failure_of(heard).kind is FailureClass.TRANSIENT
    assert "cut short" in _failure_of(heard).message


def test_a_plain_answer_is_whole_without_a_reason() -> None:
    """It could be read, so nothing is missing; but an empty one with no reason is none."""
    assert _plain({"content": "Hi"}, None) == Heard("Hi", STOP)
    assert isinstance(_plain({"content": None}, None).end, Failure)


@pytest.mark.parametrize(
    ("said_reason", "meant"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("function_call", FinishReason.TOOL_CALLS),
        ("eos_of_next_year", FinishReason.STOP),
    ],
)
def test_every_finish_reason_is_an_end(said_reason: str, meant: FinishReason) -> None:
    """Known reasons have their meaning, unknown ones are an ordinary end."""
    assert _plain({"content": "Hi"}, said_reason) == Heard("Hi", Finish(meant))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("error", FailureClass.TRANSIENT),
        ("abort", FailureClass.TRANSIENT),
        ("insufficient_system_resource", FailureClass.OVERLOADED),
    ],
)
def test_a_breakdown_is_no_answer(reason: str, kind: FailureClass) -> None:
    """A server that gave up did not finish, whatever it had said."""
    failure = _failure_of(_stream(_said("Hi"), _chunk({}, reason), DONE))

    assert failure.kind is kind
    assert reason in failure.message


TOOL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_tool_calls_end_as_tool_calls() -> None:
    """Also where the server says stop, and where the call comes in fragments."""
    assert _stream(_chunk({"content": None, "tool_calls": [TOOL]}), _chunk({}, "stop"), DONE).end == Finish(
        FinishReason.TOOL_CALLS
    )
    assert _plain({"content": None, "tool_calls": [TOOL]}, "tool_calls").end == Finish(FinishReason.TOOL_CALLS)
    assert _plain({"content": None, "function_call": {"name": "f"}}).end == Finish(FinishReason.TOOL_CALLS)


def test_a_tool_call_needs_no_text_and_no_reason_to_be_an_answer() -> None:
    """The mark of the end behind a call ends it; one that was cut off by length ends by length."""
    assert _stream(_chunk({"tool_calls": [TOOL]}), DONE).end == Finish(FinishReason.TOOL_CALLS)
    assert _stream(_chunk({"tool_calls": [TOOL]}, "length"), DONE).end == Finish(FinishReason.LENGTH)


@pytest.mark.parametrize("none", [None, []])
def test_no_tool_calls_are_none(none: object) -> None:
    """An empty list and a null call nothing."""
    assert _plain({"content": "Hi", "tool_calls": none, "function_call": None}) == Heard("Hi", STOP)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thinking_is_never_text(name: str) -> None:
    """It stands in a field of its own, under either name."""
    assert (
        _stream(_chunk({"content": "", name: "hm"}), _chunk({"content": None, name: "so"}), _said("Hi"), DONE).text
        == "Hi"
    )
    assert _plain({"content": "Hi", name: "hm"}).text == "Hi"


def test_content_may_come_in_pieces() -> None:
    """A list of typed pieces; those of thinking are left out."""
    pieces = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "reasoning", "text": "hm"},
        {"type": "text", "text": "H"},
        {"type": "text", "text": None},
        {"type": "text", "text": "i"},
    ]

    assert _plain({"content": pieces}).text == "Hi"


def test_an_answer_that_google_marks_as_thought_is_text() -> None:
    """Google's port for this dialect sets a mark of thought on ordinary answers: it means the signature beside it."""
    message = {"content": "Noon.", "extra_content": {"google": {"thought": True, "thought_signature": "x"}}}

    assert _plain(message) == Heard("Noon.", STOP)


def test_text_beside_the_delta_is_not_said_again() -> None:
    """As Together sends it: the same words in `text` and in `delta`."""
    twice = {"choices": [{"index": 0, "text": "Hi", "delta": {"content": "Hi"}, "finish_reason": "stop"}]}

    assert _stream(twice, DONE) == Heard("Hi", STOP)


def test_a_whole_message_behind_deltas_is_not_said_again() -> None:
    """Some servers close a stream with all of the answer."""
    summary = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}

    assert _stream(_said("Hi"), summary, DONE) == Heard("Hi", STOP)


def test_chunks_may_have_no_choices() -> None:
    """Missing, null, empty, or without words."""
    assert _stream(
        {},
        {"choices": [{"index": 0, "finish_reason": None}]},
        {"choices": None},
        {"choices": []},
        _said("Hi"),
        _chunk({}, "stop"),
    ) == Heard("Hi", STOP)


def test_only_the_first_choice_is_the_answer() -> None:
    """Other indices are other answers."""
    other = {"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}

    assert _stream({"choices": [other]}, _said("Hi"), _chunk({}, "stop"), {"choices": [other]}) == Heard("Hi", STOP)


def test_an_error_inside_a_stream_is_a_failure_whatever_the_reason_before_it() -> None:
    """As OpenRouter was recorded: two finish reasons, then an error with its code."""
    heard = _stream(
        _chunk({"content": "Hi"}),
        _chunk({}, "length"),
        _chunk({}, None, error={"code": 400, "message": "Token limit reached"}, usage=USAGE),
        DONE,
    )

    assert heard == Heard("Hi", Failure(FailureClass.CALLER_FAULT, "Token limit reached"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "m", "metadata": {"provider_name": "Google"}}, FailureClass.RATE_LIMITED),
        ({"code": 502, "message": "m"}, FailureClass.TRANSIENT),
        ({"code": 503, "message": "m"}, FailureClass.OVERLOADED),
        ({"code": "503", "message": "m"}, FailureClass.OVERLOADED),
        ({"code": "server_error", "message": "m"}, FailureClass.TRANSIENT),
        ({"message": "m", "type": "BadRequestError", "param": None, "code": 400}, FailureClass.CALLER_FAULT),
        ({"message": "m", "type": "invalid_request_error", "code": None}, FailureClass.CALLER_FAULT),
        ({"message": "m", "code": "tool_use_failed", "status_code": 400}, FailureClass.TRANSIENT),
        ({"message": "m", "status_code": 404}, FailureClass.MODEL_GONE),
        ({"message": "m", "status": 503}, FailureClass.OVERLOADED),
        ({"message": "m", "code": "context_length_exceeded"}, FailureClass.CALLER_FAULT),
        ({"message": "m", "type": "overloaded_error"}, FailureClass.OVERLOADED),
        ({"message": "m", "code": "rate_limit_exceeded"}, FailureClass.QUOTA_MINUTE),
        ({"message": "m", "code": "insufficient_quota", "type": "insufficient_quota"}, FailureClass.CREDENTIAL_DEAD),
        ("m", FailureClass.TRANSIENT),
    ],
)
def test_errors_inside_streams_are_told_by_code_or_name(error: object, kind: FailureClass) -> None:
    """A code may be a number or a name, or stand in `status_code`; an error may be mere text."""
    assert _failure_of(_stream(_said("Hi"), {"error": error})) == Failure(kind, "m")
    assert _failure_of(hear_plain(openai.WIRE, json.dumps({"error": error}).encode())).kind is kind


def test_an_error_may_stand_in_the_choice() -> None:
    """As OpenRouter puts it into a plain 200."""
    broken = {
        "choices": [
            {"index": 0, "message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "m"}}
        ]
    }

    assert _failure_of(hear_plain(openai.WIRE, json.dumps(broken).encode())) == Failure(FailureClass.TRANSIENT, "m")


@pytest.mark.parametrize("nothing", [None, False, {}, "", [], 0])
def test_no_error_is_no_error(nothing: object) -> None:
    """Some servers send a null in every chunk."""
    assert _stream(_chunk({"content": "Hi"}, error=nothing), _chunk({}, "stop", error=nothing)) == Heard("Hi", STOP)


def test_an_error_may_be_wrapped_in_a_list() -> None:
    """As Google's port for this dialect does."""
    error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}

    assert _failure_of(_stream([{"error": error}])).kind is FailureClass.OVERLOADED


def test_a_page_instead_of_an_answer_is_shown_in_part() -> None:
    """HTML with status 200 comes from something between us and the provider; its beginning says from what."""
    failure = _failure_of(hear_plain(openai.WIRE, b"<html>\n<title>Cloudflare</title>" + b"x" * 1000))

    assert failure.kind is FailureClass.TRANSIENT
    assert "<html> <title>Cloudflare</title>" in failure.message
    assert len(failure.message) < 300


def test_what_is_broken_behind_the_end_is_let_go() -> None:
    """A cut in the usage or in the mark of the end takes nothing from the text."""
    whole = b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in (_said("Hi"), _chunk({}, "stop")))

    for rest in (b'data: {"choices":[],"us', b"data: [DO"):
        assert hear(openai.WIRE, [whole + rest]) == Heard("Hi", STOP)


def test_empty_data_is_nothing() -> None:
    """An event without data keeps a connection alive and says nothing."""
    assert _stream("", _said("Hi"), _chunk({}, "stop")) == Heard("Hi", STOP)


def test_a_stream_sent_as_a_page_is_not_shown() -> None:
    """Events in a body of another type hold the answer, which no error may repeat."""
    failure = _failure_of(hear_plain(openai.WIRE, b"data: " + json.dumps(_said("my diary")).encode() + b"\n\n"))

    assert "data:" in failure.message
    assert "diary" not in failure.message


def test_a_broken_chunk_before_the_end_is_a_failure() -> None:
    """Text may be missing, so the answer is not taken, nor shown."""
    failure = _failure_of(hear(openai.WIRE, [b'data: {"choices":[{"delta":{"content":"my diary']))

    assert failure.kind is FailureClass.TRANSIENT
    assert "diary" not in failure.message


def test_text_comes_as_it_arrives() -> None:
    """Each chunk's text is passed on at once; a failure stays the end."""
    decoder = openai.WIRE.decoder()

    assert list(decoder.feed(json.dumps(_said("Hi")).encode())) == [Delta("Hi")]
    (failure,) = decoder.feed(b'{"error": {"message": "m"}}')
    assert decoder.end() == failure
