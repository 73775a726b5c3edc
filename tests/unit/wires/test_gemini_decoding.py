"""What Gemini answers, and what it surprises with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from synapse.domain.answer import Collector
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Logprobs, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Text, Thinking, ToolCall
from synapse.domain.usage import Usage
from synapse.providers.wires import gemini
from synapse.providers.wires.gemini_answer import GeminiDecoder
from synapse.testing.wire_contract import Heard, hear, hear_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.domain.answer import Answer
    from synapse.providers.base import Signal


def _event(*parts: Mapping[str, object], reason: str | None = None, **more: object) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], **more}


def _stream(*events: object) -> Heard:
    body = b"".join(b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in events)
    return hear(gemini.WIRE, [body])


def _plain(answer: object) -> Heard:
    return hear_plain(gemini.WIRE, json.dumps(answer).encode())


def _signals(*events: object) -> list[Signal]:
    """Return all signals of a stream whose nameless calls are named `id-0`, `id-1` and so on."""
    numbers = iter(range(100))
    decoder = GeminiDecoder(lambda: f"id-{next(numbers)}")
    signals = [signal for item in events for signal in decoder.feed(json.dumps(item).encode())]
    return [*signals, decoder.end()]


def _answer(signals: Sequence[Signal]) -> Answer:
    collector = Collector()
    answers = [collector.add(signal) for signal in signals if not isinstance(signal, Failure)]  # type: ignore[arg-type]
    assert answers[-1] is not None
    return answers[-1]


def _failure_of(heard: Heard) -> Failure:
    assert isinstance(heard.end, Failure)
    return heard.end


TEXT = {"text": "Hello"}
CALL = {"functionCall": {"name": "f", "args": {}}}
THOUGHT = {"text": "Let me think.", "thought": True}


def test_the_end_of_the_connection_ends_the_stream() -> None:
    """There is no mark for the end: a finish reason seen makes the answer complete."""
    assert _stream(_event(TEXT), _event({"text": "!"}, reason="STOP")) == Heard("Hello!", Finish(FinishReason.STOP))


def test_a_stream_without_a_finish_reason_was_cut() -> None:
    """The protocol does not flag a cut stream; the missing reason does."""
    heard = _stream(_event(TEXT))

    assert heard.text == "Hello"
    assert _failure_of(heard).kind is FailureClass.TRANSIENT
    assert "cut short" in _failure_of(heard).message


def test_an_empty_stream_was_cut() -> None:
    """No event at all is no answer."""
    assert _failure_of(_stream()).kind is FailureClass.TRANSIENT


def test_usage_is_cumulative_and_counts_thoughts_as_output() -> None:
    """Each event repeats the counts so far: the last ones are taken, nothing is added up, the total is theirs."""
    first = _event(TEXT, usageMetadata={"promptTokenCount": 10, "totalTokenCount": 10})
    second = _event(TEXT, usageMetadata={"promptTokenCount": 10, "candidatesTokenCount": 3, "totalTokenCount": 13})
    last = _event(
        TEXT,
        reason="STOP",
        usageMetadata={
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 5,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 6,
            "thoughtsTokenCount": 7,
            "totalTokenCount": 30,
        },
    )

    assert _stream(first, second, last).end == Finish(
        FinishReason.STOP,
        Usage(input_tokens=15, output_tokens=13, thinking_tokens=7, cached_tokens=4, total_tokens=30),
    )


def test_missing_counts_are_zero_and_a_missing_total_is_the_sum() -> None:
    """Zeros are left out on this wire."""
    answer = _event(TEXT, reason="STOP", usageMetadata={"candidatesTokenCount": 18, "thoughtsTokenCount": 58})

    assert _plain(answer).end == Finish(FinishReason.STOP, Usage(output_tokens=76, thinking_tokens=58, total_tokens=76))


@pytest.mark.parametrize("counts", [None, [], {"promptTokenCount": "many"}, {"promptTokenCount": {}}])
def test_counts_that_cannot_be_read_do_not_spoil_the_answer(counts: object) -> None:
    """A usage of an unknown shape counts as none."""
    assert _plain(_event(TEXT, reason="STOP", usageMetadata=counts)) == Heard("Hello", Finish(FinishReason.STOP))


def test_several_text_parts_are_one_text() -> None:
    """Text may be split over parts of one event."""
    assert _plain(_event({"text": "a"}, {"text": "b"}, {"text": ""}, reason="STOP")).text == "ab"


def test_empty_text_is_progress_and_no_signal() -> None:
    """A worker sees that something came, and a reader nothing."""
    assert list(gemini.WIRE.decoder().feed(json.dumps(_event({"text": ""})).encode())) == []


def test_grounding_and_other_company_of_an_answer_change_nothing() -> None:
    """Fields that nobody asked for stand beside it."""
    event = _event(TEXT, reason="STOP", modelVersion="m", responseId="r", usageMetadata={})
    event["candidates"][0] |= {"groundingMetadata": {"a": [1]}, "finishMessage": "m", "avgLogprobs": -1}  # type: ignore[index]

    assert _plain(event) == Heard("Hello", Finish(FinishReason.STOP))


def test_events_end_in_crlf_and_hold_line_separators() -> None:
    """Splitting at LF LF would never fire, and at U+2028 in the middle of JSON; both stand in real streams."""
    answer = json.dumps(_event({"text": "a\u2028b\x85c"}, reason="STOP"), ensure_ascii=False).encode()

    assert hear(gemini.WIRE, [b"data: " + answer + b"\r\n\r\n"]).text == "a\u2028b\x85c"


def test_thoughts_are_never_text() -> None:
    """Parts marked as thought are thoughts, wherever they stand, and empty ones are nothing."""
    empty = {"text": "", "thought": True}

    signals = _signals(_event(THOUGHT), _event(THOUGHT, empty, TEXT), _event({"text": ""}, reason="STOP"))

    assert signals == [
        Thought("Let me think."),
        Thought("Let me think."),
        Delta("Hello"),
        Finish(FinishReason.STOP),
    ]


def test_a_signature_on_text_follows_it() -> None:
    """It proves the thoughts behind the text, and is not a part of it."""
    signed = {"text": "Hi", "thoughtSignature": "EsoG+/=="}

    assert _signals(_event(signed, reason="STOP")) == [
        Delta("Hi"),
        Thought("", "EsoG+/=="),
        Finish(FinishReason.STOP),
    ]


@pytest.mark.parametrize("last", [{"text": "", "thoughtSignature": "x+/"}, {"thoughtSignature": "x+/"}])
def test_a_signature_may_ride_on_nothing_at_the_end(last: Mapping[str, object]) -> None:
    """As it does in streams, with an empty text or, as empty values may be left out, without."""
    signals = _signals(_event(THOUGHT), _event(TEXT), _event(last, reason="STOP"))

    assert signals[2:] == [Thought("", "x+/"), Finish(FinishReason.STOP)]
    assert _answer(signals).blocks == (Thinking("Let me think."), Text("Hello"), Thinking("", "x+/"))


def test_signed_thoughts_keep_their_signature() -> None:
    """It ends them."""
    signals = _signals(_event(THOUGHT), _event({**THOUGHT, "thoughtSignature": "s"}, TEXT, reason="STOP"))

    assert _answer(signals).blocks == (Thinking("Let me think.Let me think.", "s"), Text("Hello"))


def test_the_signature_of_code_that_was_run_is_let_go() -> None:
    """The code is not passed on, so nothing could be given back with it."""
    ran = {"executableCode": {"language": "PYTHON", "code": "1+1"}, "thoughtSignature": "s"}
    outcome = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}

    assert _signals(_event(ran, {"text": ""}), _event(outcome), _event(TEXT, reason="STOP")) == [
        Delta("Hello"),
        Finish(FinishReason.STOP),
    ]


def test_calls_come_whole_with_growing_positions() -> None:
    """Several in one event, several events: the position counts on, and so do text and thoughts around them."""
    first = {"functionCall": {"name": "f", "args": {"x": [1.50, "é"]}}, "thoughtSignature": "s"}
    second = {"functionCall": {"id": "w71i0cbt", "name": "g"}}

    signals = _signals(_event(TEXT, first, second), _event(CALL), _event({"text": ""}, reason="STOP"))

    assert signals == [
        Delta("Hello"),
        CallDelta(0, "id-0", "f", '{"x":[1.5,"\\u00e9"]}', "s"),
        CallDelta(1, "w71i0cbt", "g", "{}"),
        CallDelta(2, "id-1", "f", "{}"),
        Finish(FinishReason.TOOL_CALLS),
    ]
    assert _answer(signals).calls == [
        ToolCall("id-0", "f", '{"x":[1.5,"\\u00e9"]}', "s"),
        ToolCall("w71i0cbt", "g", "{}"),
        ToolCall("id-1", "f", "{}"),
    ]


def test_the_signature_of_parallel_calls_is_on_the_first_one() -> None:
    """Each keeps what it came with: none, where it came with none."""
    signed = {**CALL, "thoughtSignature": "s"}

    calls = _answer(_signals(_event(signed, CALL, reason="STOP"))).calls

    assert [call.signature for call in calls] == ["s", None]


@pytest.mark.parametrize("args", [None, {}])
def test_a_call_may_come_without_arguments(args: object) -> None:
    """Empty or missing, they are an empty object."""
    answer = _answer(_signals(_event({"functionCall": {"name": "f", "args": args}}, reason="STOP")))

    assert answer.calls == [ToolCall("id-0", "f", "{}")]


def test_the_arguments_of_a_plain_answer_lose_their_spaces_only() -> None:
    """Numbers and escapes stay as they were written."""
    body = b"""{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {
      "x": 1.50e3,  "y": "a b \\u00e9"
    }}}]}, "finishReason": "STOP"}]}"""

    (call,) = GeminiDecoder().feed(body)

    assert isinstance(call, CallDelta)
    assert call.arguments == '{"x":1.50e3,"y":"a b \\u00e9"}'


def test_calls_without_an_id_get_different_ones() -> None:
    """Older models give none, and clients find their results by it."""
    event = json.dumps(_event(*[CALL] * 50, reason="STOP")).encode()

    ids = [signal.id for _ in range(20) for signal in GeminiDecoder().feed(event) if isinstance(signal, CallDelta)]

    assert len(set(ids)) == len(ids) == 1000
    assert all(each is not None and each.startswith("call_") and len(each) == 29 for each in ids)


def test_a_call_whose_arguments_cannot_be_read_is_a_failure() -> None:
    """A tool is not called with something else; nothing follows, and the text of the answer is not shown."""
    body = (
        b'{"candidates":[{"content":{"parts":[{"text":"my diary"},{"functionCall":{"name":"f","args":{"a":"\xff"}}},'
        b'{"text":"more"}]},"logprobsResult":{"chosenCandidates":[{"token":"a"}]},"finishReason":"STOP"}]}'
    )

    decoder = GeminiDecoder()
    *before, failure = decoder.feed(body)

    assert before == [Delta("my diary")]
    assert isinstance(failure, Failure)
    assert failure.kind is FailureClass.TRANSIENT
    assert "diary" not in failure.message
    assert decoder.end() is failure


def test_probabilities_are_told_as_openai_does() -> None:
    """What was chosen and what else was probable, each with its bytes; they follow their text."""
    result = {
        "chosenCandidates": [
            {"token": "Hé", "tokenId": 1, "logProbability": -0.5},
            {"token": "llo", "logProbability": 0},
        ],
        "topCandidates": [
            {"candidates": [{"token": "Hé", "logProbability": -0.5}, {"token": "Ho", "logProbability": -2}]}
        ],
        "logProbabilitySum": -0.5,
    }
    event = _event(TEXT, reason="STOP")
    event["candidates"][0]["logprobsResult"] = result  # type: ignore[index]

    text, logprobs, _ = _signals(event)

    assert text == Delta("Hello")
    assert isinstance(logprobs, Logprobs)
    assert json.loads(bytes(logprobs.content)) == [
        {
            "token": "Hé",
            "logprob": -0.5,
            "bytes": [72, 195, 169],
            "top_logprobs": [
                {"token": "Hé", "logprob": -0.5, "bytes": [72, 195, 169]},
                {"token": "Ho", "logprob": -2.0, "bytes": [72, 111]},
            ],
        },
        {"token": "llo", "logprob": 0.0, "bytes": [108, 108, 111], "top_logprobs": []},
    ]


@pytest.mark.parametrize("result", [None, {}, [], {"chosenCandidates": "a"}])
def test_probabilities_that_cannot_be_read_do_not_spoil_the_answer(result: object) -> None:
    """The text is what counts."""
    event = _event(TEXT, reason="STOP")
    event["candidates"][0]["logprobsResult"] = result  # type: ignore[index]

    assert _signals(event) == [Delta("Hello"), Finish(FinishReason.STOP)]


def test_a_blocked_prompt_is_a_content_filter() -> None:
    """With status 200 and no candidates, the block reason is the answer."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8}}

    expected = Heard("", Finish(FinishReason.CONTENT_FILTER, Usage(input_tokens=8, total_tokens=8)))

    assert _plain(blocked) == expected
    assert _stream(blocked) == expected


def test_feedback_without_a_block_is_no_end() -> None:
    """Ratings alone block nothing."""
    assert isinstance(_plain({"promptFeedback": {"safetyRatings": []}}).end, Failure)


@pytest.mark.parametrize("content", [{}, {"role": "model"}, None, {"parts": []}, {"parts": None}])
def test_content_may_have_no_parts(content: object) -> None:
    """A candidate without text still ends."""
    answer = {"candidates": [{"content": content, "finishReason": "SAFETY"}]}

    assert _plain(answer) == Heard("", Finish(FinishReason.CONTENT_FILTER))


def test_all_tokens_may_go_into_thinking() -> None:
    """MAX_TOKENS without any text is an answer of length nothing."""
    answer = {
        "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 15, "thoughtsTokenCount": 2, "totalTokenCount": 17},
    }

    assert _plain(answer) == Heard(
        "",
        Finish(FinishReason.LENGTH, Usage(input_tokens=15, output_tokens=2, thinking_tokens=2, total_tokens=17)),
    )


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("CONTINUATION", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("LANGUAGE", FinishReason.CONTENT_FILTER),
        ("BLOCKLIST", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("SPII", FinishReason.CONTENT_FILTER),
        ("MODEL_ARMOR", FinishReason.CONTENT_FILTER),
        ("ESCALATION", FinishReason.CONTENT_FILTER),
        ("PUP_LIMITED_DISABLED", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("IMAGE_PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("IMAGE_RECITATION", FinishReason.CONTENT_FILTER),
        ("IMAGE_OTHER", FinishReason.CONTENT_FILTER),
        ("SOMETHING_OF_NEXT_YEAR", FinishReason.STOP),
        ("MALFORMED_FUNCTION_CALL", FinishReason.STOP),
        ("OTHER", FinishReason.STOP),
    ],
)
def test_every_finish_reason_behind_text_is_an_end(said: str, meant: FinishReason) -> None:
    """Known reasons have their meaning, unknown ones are an ordinary end."""
    assert _plain(_event(TEXT, reason=said)) == Heard("Hello", Finish(meant))


@pytest.mark.parametrize(
    "reason",
    [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "NO_IMAGE",
        "OTHER",
    ],
)
def test_a_miscarriage_without_text_is_tried_again(reason: str) -> None:
    """Nothing was said, so another try loses nothing."""
    failure = _failure_of(_stream(_event(THOUGHT), _event(reason=reason)))

    assert failure.kind is FailureClass.TRANSIENT
    assert reason in failure.message


def test_function_calls_end_as_tool_calls() -> None:
    """Calls end with STOP on this wire, perhaps in a later event than theirs."""
    assert _stream(_event(CALL), _event(CALL), _event({"text": ""}, reason="STOP")).end == Finish(
        FinishReason.TOOL_CALLS
    )
    assert _plain(_event(TEXT, CALL, reason="STOP")) == Heard("Hello", Finish(FinishReason.TOOL_CALLS))


@pytest.mark.parametrize("reason", ["TOO_MANY_TOOL_CALLS", "UNEXPECTED_TOOL_CALL", "OTHER"])
def test_a_miscarriage_behind_calls_is_an_end(reason: str) -> None:
    """The calls have been told already."""
    assert _stream(_event(CALL, reason=reason)).end == Finish(FinishReason.TOOL_CALLS)


def test_a_function_call_cut_off_by_length_ends_by_length() -> None:
    """Only an ordinary end becomes one of tool calls."""
    assert _plain(_event(CALL, reason="MAX_TOKENS")).end == Finish(FinishReason.LENGTH)


def test_the_last_finish_reason_counts() -> None:
    """A repeated reason is one end; none is reported before the stream has ended."""
    heard = _stream(_event(TEXT, reason="STOP"), _event({"text": "!"}, reason="MAX_TOKENS"), {"usageMetadata": {}})

    assert heard == Heard("Hello!", Finish(FinishReason.LENGTH))


def test_only_the_first_candidate_is_the_answer() -> None:
    """Several candidates are not several texts in a row."""
    answer = {
        "candidates": [
            {"index": 1, "content": {"parts": [{"text": "other"}]}, "finishReason": "MAX_TOKENS"},
            {"content": {"parts": [TEXT]}, "finishReason": "STOP"},
        ]
    }

    assert _plain(answer) == Heard("Hello", Finish(FinishReason.STOP))


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


def test_an_error_inside_a_stream_is_classified() -> None:
    """The code in it stands for the status that has long been sent."""
    heard = _stream(_event(TEXT), ERROR)

    assert heard == Heard("Hello", Failure(FailureClass.OVERLOADED, "The model is overloaded."))


def test_an_error_may_be_bare_json_between_events() -> None:
    """Pretty-printed, without `data:`, over several lines."""
    body = b"data: " + json.dumps(_event(TEXT)).encode() + b"\r\n\r\n" + json.dumps(ERROR, indent=2).encode()

    assert _failure_of(hear(gemini.WIRE, [body])).kind is FailureClass.OVERLOADED


def test_an_error_may_be_wrapped_in_a_list() -> None:
    """As an event or as a body."""
    assert _failure_of(_stream([ERROR])).kind is FailureClass.OVERLOADED
    assert _failure_of(_plain([ERROR])).message == "The model is overloaded."


def test_a_whole_stream_in_one_array_is_an_answer() -> None:
    """The other framing of the same objects, should a proxy drop `alt=sse`."""
    assert _plain([_event(TEXT), _event({"text": "!"}, reason="STOP")]) == Heard("Hello!", Finish(FinishReason.STOP))


def test_an_array_ends_at_its_error() -> None:
    """Nothing follows a failure."""
    signals = gemini.WIRE.decoder().feed(json.dumps([_event(TEXT), ERROR, _event(TEXT, reason="STOP")]).encode())

    assert list(signals) == [Delta("Hello"), Failure(FailureClass.OVERLOADED, "The model is overloaded.")]


@pytest.mark.parametrize("nothing", [None, False, {}, "", [], 0])
def test_no_error_is_no_error(nothing: object) -> None:
    """An error that is null is none."""
    assert _plain({**_event(TEXT, reason="STOP"), "error": nothing}).end == Finish(FinishReason.STOP)


def test_an_error_that_cannot_be_read_is_a_failure() -> None:
    """Bytes that are no UTF-8 where an error stands are not skipped."""
    assert _failure_of(hear_plain(gemini.WIRE, b'{"error": {"message": "\xff"}}')).kind is FailureClass.TRANSIENT


def test_a_page_instead_of_an_answer_is_shown_in_part() -> None:
    """HTML with status 200 comes from something between us and Gemini; its beginning says from what."""
    failure = _failure_of(hear_plain(gemini.WIRE, b"<html>\n<title>Squid</title>" + b"x" * 1000))

    assert failure.kind is FailureClass.TRANSIENT
    assert "<html> <title>Squid</title>" in failure.message
    assert len(failure.message) < 300


def test_a_broken_event_never_shows_the_answer() -> None:
    """Half an event holds the caller's answer, which no error may repeat."""
    failure = _failure_of(hear(gemini.WIRE, [b'data: {"candidates":[{"content":{"parts":[{"text":"my diary']))

    assert "diary" not in failure.message


def test_what_is_broken_behind_the_end_is_let_go() -> None:
    """A cut behind the finish reason takes nothing from the text."""
    body = b"data: " + json.dumps(_event(TEXT, reason="STOP")).encode() + b'\r\n\r\ndata: {"usageMeta'

    assert hear(gemini.WIRE, [body]) == Heard("Hello", Finish(FinishReason.STOP))


def test_empty_data_is_nothing() -> None:
    """An event without data keeps a connection alive and says nothing."""
    body = b"data:\r\n\r\ndata: " + json.dumps(_event(TEXT, reason="STOP")).encode() + b"\r\n\r\n"

    assert hear(gemini.WIRE, [body]) == Heard("Hello", Finish(FinishReason.STOP))


def test_a_failure_stays_the_end() -> None:
    """Asking for the end after a failure gives that failure."""
    decoder = gemini.WIRE.decoder()

    (failure,) = decoder.feed(json.dumps(ERROR).encode())

    assert decoder.end() == failure


def test_text_comes_as_it_arrives() -> None:
    """Each event's text is passed on at once."""
    decoder = gemini.WIRE.decoder()

    assert list(decoder.feed(json.dumps(_event(TEXT)).encode())) == [Delta("Hello")]
    assert list(decoder.feed(json.dumps(_event({"text": "!"})).encode())) == [Delta("!")]
