"""What Anthropic answers, and what it surprises with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from synapse.domain.answer import Collector
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Text, Thinking, ToolCall
from synapse.domain.usage import Usage
from synapse.providers.base import Signal
from synapse.providers.wires import anthropic
from synapse.testing.wire_contract import Heard, check_headroom, check_wire, hear

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = "Grüße, 世界 \U0001f600\u2028!"
WORDS = ("Grüße, ", "世界 ", "\U0001f600\u2028!")
USAGE = {"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}
COUNTED = Usage(4, 9, total_tokens=13)
STOP = Finish(FinishReason.STOP)


def _start(**usage: object) -> dict[str, object]:
    return {"type": "message_start", "message": {"content": [], "stop_reason": None, "usage": usage or None}}


def _begin(block: Mapping[str, object], index: int = 0) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(delta: Mapping[str, object], index: int = 0) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stop(index: int = 0) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def _end(reason: str | None = "end_turn", stop_sequence: str | None = None, **usage: object) -> dict[str, object]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": stop_sequence},
        "usage": usage or None,
    }


def _said(text: str, index: int = 0) -> dict[str, object]:
    return _delta({"type": "text_delta", "text": text}, index)


def _message(*content: object, reason: str | None = "end_turn", **more: object) -> dict[str, object]:
    return {"type": "message", "role": "assistant", "content": content, "stop_reason": reason, **more}


def _signals(*events: object) -> list[Signal]:
    decoder = anthropic.WIRE.decoder()
    found: list[Signal] = []
    for event in events:
        found += decoder.feed(event.encode() if isinstance(event, str) else json.dumps(event).encode())
        if found and isinstance(found[-1], Failure):
            return found
    return [*found, decoder.end()]


def _blocks(*events: object) -> tuple[object, ...]:
    collector = Collector()
    for signal in _signals(*events):
        assert not isinstance(signal, Failure), signal
        answer = collector.add(signal)  # type: ignore[arg-type]
    assert answer is not None
    return answer.blocks


def test_anthropic_keeps_the_contract() -> None:
    """Its wire understands its answers however they are cut, and never takes a part for the whole.

    Events have names, which say nothing that their data does not; there may be spaces before the last brace.
    """
    events = [
        _start(input_tokens=4, output_tokens=1),
        _begin({"type": "text", "text": ""}),
        {"type": "ping"},
        *(_said(words) for words in WORDS),
        _stop(),
        _end("max_tokens", **USAGE),
        {"type": "message_stop"},
    ]
    written = [(event["type"], json.dumps(event, ensure_ascii=False)[:-1] + "   }") for event in events]

    check_wire(
        anthropic.WIRE,
        streamed="".join(f"event: {name}\ndata: {data}\n\n" for name, data in written).encode(),
        plain=json.dumps(_message({"type": "text", "text": TEXT}, reason="max_tokens", usage=USAGE)).encode(),
        text=TEXT,
        reason=FinishReason.LENGTH,
        usage=COUNTED,
    )


def test_text_comes_as_it_arrives() -> None:
    """Also where a block begins with some."""
    assert _signals(_start(), _begin({"type": "text", "text": "H"}), _said("i"), _said(""), _stop(), _end()) == [
        Delta("H"),
        Delta("i"),
        STOP,
    ]


# --- the end


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("pause_turn", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("something_new", FinishReason.STOP),
    ],
)
def test_every_stop_reason_is_an_end(said: str, meant: FinishReason) -> None:
    """Known reasons have their meaning, unknown ones are an ordinary end; an answer may be empty."""
    assert _signals(_message(reason=said)) == [Finish(meant)]
    assert _signals(_start(), _end(said), {"type": "message_stop"}) == [Finish(meant)]


def test_the_text_that_ended_the_answer_is_told() -> None:
    """In a plain answer and in a stream."""
    met = Finish(FinishReason.STOP, stop_sequence="END")

    assert _signals(_message(reason="stop_sequence", stop_sequence="END")) == [met]
    assert _signals(_end("stop_sequence", "END")) == [met]


def test_a_stream_without_a_reason_was_cut() -> None:
    """Whatever had been said; the mark of the end proves nothing by itself."""
    for events in ([_said("Hi")], [_said("Hi"), _stop(), {"type": "message_stop"}], [_message(reason=None)], []):
        end = _signals(*events)[-1]

        assert isinstance(end, Failure)
        assert (end.kind, end.message) == (
            FailureClass.TRANSIENT,
            "the answer was cut short: the stream ended with no stop reason",
        )


def test_the_mark_of_the_end_may_be_missing() -> None:
    """The reason is enough; what comes broken behind it takes nothing back."""
    assert _signals(_said("Hi"), _end()) == [Delta("Hi"), STOP]
    assert _signals(_said("Hi"), _end(), '{"type":"mess') == [Delta("Hi"), STOP]


def test_what_is_empty_or_of_another_dialect_is_nothing() -> None:
    """`[DONE]` ended streams in an earlier version, and others still send it."""
    assert _signals("", "  ", "[DONE]", _said("Hi"), _end(), "[DONE]") == [Delta("Hi"), STOP]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ping"},
        {"type": "something_new", "delta": {"type": "text_delta", "text": "no"}},
        {"type": "content_block_delta"},
        {"type": "content_block_start"},
        {"type": "message_delta"},
        {"type": "message_start"},
        _delta({"type": "citations_delta", "citation": {"cited_text": "no"}}),
        _delta({"type": "something_delta", "text": "no"}),
        _begin({"type": "web_search_tool_result", "content": []}),
        {"type": "error", "error": None},
    ],
)
def test_what_says_nothing_here_is_let_pass(event: Mapping[str, object]) -> None:
    """New kinds of events may come at any time, and a citation is no text."""
    assert _signals(_said("Hi"), event, _end()) == [Delta("Hi"), STOP]


# --- what it took


def test_the_last_counts_stand_in_the_place_of_the_first() -> None:
    """They are cumulative: those of `message_start` must not be added."""
    counts = _signals(_start(**{**USAGE, "output_tokens": 3}), _end(**USAGE))[-1]

    assert counts == Finish(FinishReason.STOP, COUNTED)


def test_what_the_last_counts_leave_out_was_said_at_the_start() -> None:
    """Older answers count the output alone at their end."""
    start = _start(input_tokens=4, cache_creation_input_tokens=5, cache_read_input_tokens=6, output_tokens=1)

    assert _signals(start, _end(output_tokens=9))[-1] == Finish(
        FinishReason.STOP, Usage(15, 9, cached_tokens=6, total_tokens=24, cache_write_tokens=5)
    )


def test_the_input_is_what_was_sent_and_what_was_cached() -> None:
    """Anthropic counts the three apart."""
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 300,
        "output_tokens": 4000,
    }

    assert _signals(_message(usage=usage))[-1] == Finish(
        FinishReason.STOP, Usage(321, 4000, cached_tokens=300, total_tokens=4321, cache_write_tokens=20)
    )


def test_thinking_is_a_part_of_the_output() -> None:
    """Newer answers say which; a later event without it takes nothing back."""
    details = {"output_tokens_details": {"thinking_tokens": 7}}

    assert _signals(_message(usage={**USAGE, **details}))[-1] == Finish(
        FinishReason.STOP, Usage(4, 9, thinking_tokens=7, total_tokens=13)
    )
    assert _signals(_end(None, **USAGE, **details), _end(**USAGE))[-1] == Finish(
        FinishReason.STOP, Usage(4, 9, thinking_tokens=7, total_tokens=13)
    )


# --- thoughts


def test_thoughts_end_with_their_signature() -> None:
    """It comes once, behind them; without it they would be refused when given back."""
    assert _signals(
        _begin({"type": "thinking", "thinking": "", "signature": ""}),
        _delta({"type": "thinking_delta", "thinking": "h"}),
        _delta({"type": "thinking_delta", "thinking": ""}),
        _delta({"type": "thinking_delta", "thinking": "m"}),
        _delta({"type": "signature_delta", "signature": "c2ln"}),
        _stop(),
        _said("Hi", 1),
        _end(),
    ) == [Thought("h"), Thought("m"), Thought("", signature="c2ln"), Delta("Hi"), STOP]


def test_thoughts_that_are_not_shown_have_a_signature_all_the_same() -> None:
    """Of a block with no text it is all that has to be given back."""
    shown = _begin({"type": "thinking", "thinking": "", "signature": ""})

    assert _blocks(
        shown, _delta({"type": "signature_delta", "signature": "c2ln"}), _stop(), _said("Hi", 1), _end()
    ) == (
        Thinking("", signature="c2ln"),
        Text("Hi"),
    )
    assert _blocks(
        _message({"type": "thinking", "thinking": "", "signature": "c2ln"}, {"type": "text", "text": "Hi"})
    ) == (
        Thinking("", signature="c2ln"),
        Text("Hi"),
    )


def test_sealed_thoughts_arrive_whole() -> None:
    """Where their block begins; several are several."""
    sealed = [{"type": "redacted_thinking", "data": data} for data in ("YQ", "Yg")]
    blocks = (Thinking("", redacted="YQ"), Thinking("", redacted="Yg"), Text("Hi"))

    assert _blocks(_begin(sealed[0]), _stop(), _begin(sealed[1], 1), _stop(1), _said("Hi", 2), _end()) == blocks
    assert _blocks(_message(*sealed, {"type": "text", "text": "Hi"})) == blocks


# --- tools


def _call(id: str = "toolu_1", name: str = "f", input: object = None) -> dict[str, object]:  # noqa: A002 - its name
    return {"type": "tool_use", "id": id, "name": name, "input": input or {}, "caller": {"type": "direct"}}


def _argued(piece: str, index: int = 0) -> dict[str, object]:
    return _delta({"type": "input_json_delta", "partial_json": piece}, index)


def test_a_call_is_told_as_it_comes() -> None:
    """Its block begins with an empty object, which is not its arguments."""
    assert _signals(_begin(_call()), _argued(""), _argued('{"x"'), _argued(": 1}"), _stop(), _end("tool_use")) == [
        CallDelta(0, "toolu_1", "f"),
        CallDelta(0, arguments='{"x"'),
        CallDelta(0, arguments=": 1}"),
        Finish(FinishReason.TOOL_CALLS),
    ]


def test_a_call_without_arguments_has_an_empty_object_of_them() -> None:
    """A tool that takes none sends an empty piece of them, or nothing at all."""
    for pieces in ([], [_argued("")]):
        assert _blocks(_begin(_call()), *pieces, _stop(), _end("tool_use")) == (ToolCall("toolu_1", "f", "{}"),)
    assert _blocks(_message(_call(), reason="tool_use")) == (ToolCall("toolu_1", "f", "{}"),)


def test_parallel_calls_stand_one_after_the_other() -> None:
    """Blocks never overlap; text may stand before them."""
    calls = (Text("Wait."), ToolCall("toolu_1", "f", '{"x": 1}'), ToolCall("toolu_2", "g", "{}"))

    assert (
        _blocks(
            _said("Wait."),
            _stop(),
            _begin(_call(), 1),
            _argued('{"x": 1}', 1),
            _stop(1),
            _begin(_call("toolu_2", "g"), 2),
            _stop(2),
            _end("tool_use"),
        )
        == calls
    )
    assert _blocks(_message({"type": "text", "text": "Wait."}, _call(input={"x": 1}), _call("toolu_2", "g"))) == calls


def test_the_arguments_of_a_plain_answer_are_not_touched() -> None:
    """They are an object there; its text is that of the answer."""
    call = '{"type":"tool_use","id":"a","name":"f","input":{"x": 1.50}}'
    body = f'{{"type":"message","content":[{call}],"stop_reason":"tool_use"}}'

    assert _blocks(body) == (ToolCall("a", "f", '{"x": 1.50}'),)


def test_what_anthropics_own_tools_are_called_with_is_no_call() -> None:
    """The provider answers those itself; their input comes in pieces as that of a caller's tool does."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}

    assert _signals(_begin(search), _argued('{"query": "x"}'), _stop(), _said("Hi", 1), _end()) == [Delta("Hi"), STOP]
    assert _blocks(
        _begin(_call()),
        _argued('{"x": 1}'),
        _stop(),
        _begin(search, 1),
        _argued('{"query": 1}', 1),
        _stop(1),
        _end("tool_use"),
    ) == (ToolCall("toolu_1", "f", '{"x": 1}'),)


# --- errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("overloaded_error", FailureClass.OVERLOADED),
        ("rate_limit_error", FailureClass.RATE_LIMITED),
        ("api_error", FailureClass.TRANSIENT),
        ("timeout_error", FailureClass.TRANSIENT),
        ("invalid_request_error", FailureClass.CALLER_FAULT),
        ("authentication_error", FailureClass.CREDENTIAL_DEAD),
        ("something_new", FailureClass.TRANSIENT),
    ],
)
def test_an_error_inside_a_stream_is_a_failure(error: str, kind: FailureClass) -> None:
    """With status 200, whatever had been said."""
    event = {"type": "error", "error": {"type": error, "message": "m"}}
    stream = (
        f"event: content_block_delta\ndata: {json.dumps(_said('Hi'))}\n\nevent: error\ndata: {json.dumps(event)}\n\n"
    )

    assert hear(anthropic.WIRE, [stream.encode()]) == Heard("Hi", Failure(kind, "m"))


def test_a_failure_stays_the_end() -> None:
    """Nothing that would follow makes it a good one."""
    decoder = anthropic.WIRE.decoder()

    (failure,) = decoder.feed(b'{"type": "error", "error": {"type": "overloaded_error", "message": "m"}}')

    assert decoder.end() == failure


def test_a_broken_event_before_the_end_is_a_failure() -> None:
    """Text may be missing, so the answer is not taken; nor is it shown."""
    (failure,) = _signals('{"type":"content_block_delta","delta":{"type":"text_delta","text":"my diary')

    assert isinstance(failure, Failure)
    assert failure.kind is FailureClass.TRANSIENT
    assert "diary" not in failure.message


LIMITS = {
    "date": "Sun, 05 Apr 2026 14:28:43 GMT",
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-04-05T14:28:44Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000",
    "anthropic-ratelimit-input-tokens-reset": "2026-04-05T14:28:45.500Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-tokens-limit": "38000",
}


def test_limits_are_read_as_the_contract_wants() -> None:
    """Whatever stands in one of the headers, it is no exception, and no limit that cannot be."""
    assert anthropic.WIRE.headroom is not None

    check_headroom(anthropic.WIRE, LIMITS, anthropic.WIRE.headroom(LIMITS))
