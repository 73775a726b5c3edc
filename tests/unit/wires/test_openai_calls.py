"""Tool calls and their probabilities in what servers that speak like OpenAI answer: how each of them sends calls."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Text, ToolCall
from synapse.providers.wires import openai
from synapse.providers.wires.openai_answer import OpenAIDecoder

if TYPE_CHECKING:
    from synapse.providers.base import Signal

DONE = "[DONE]"
BERLIN = '{"city":"Berlin"}'


def _chunk(delta: object, reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def _calls(*calls: object, reason: str | None = None) -> dict[str, object]:
    return _chunk({"role": "assistant", "content": None, "tool_calls": calls}, reason)


def _plain(message: object, reason: str | None = "tool_calls") -> dict[str, object]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def _piece(arguments: object = "", index: int | None = 0, **more: object) -> dict[str, object]:
    """Make a fragment as most servers send it: `name` goes where it belongs."""
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return {"function": function} | ({} if index is None else {"index": index}) | more


def _signals(*events: object) -> list[Signal]:
    ids = (f"made-up-{number}" for number in count(1))
    decoder = OpenAIDecoder(lambda: next(ids))
    found: list[Signal] = []
    for event in events:
        found += decoder.feed(event.encode() if isinstance(event, str) else json.dumps(event).encode())
        if found and isinstance(found[-1], Failure):
            return found
    return [*found, decoder.end()]


def _answer(*events: object) -> Answer:
    collector = Collector()
    for signal in _signals(*events):
        assert isinstance(signal, CallDelta | Delta | Finish), signal
        answer = collector.add(signal)
    assert answer is not None
    return answer


def _called(*events: object) -> list[tuple[str, str, str]]:
    answer = _answer(*events)
    assert answer.finish.reason is FinishReason.TOOL_CALLS
    return [(call.id, call.name, call.arguments) for call in answer.calls]


def test_a_call_comes_in_fragments_of_which_only_the_first_has_id_and_name() -> None:
    """As OpenAI sends it; each fragment is told as it comes."""
    assert _signals(
        _calls(_piece("", id="call_1", type="function", name="weather")),
        _calls(_piece('{"ci')),
        _calls(_piece('ty":"Berlin"}')),
        _chunk({}, "tool_calls"),
        DONE,
    ) == [
        CallDelta(0, "call_1", "weather", ""),
        CallDelta(0, arguments='{"ci'),
        CallDelta(0, arguments='ty":"Berlin"}'),
        Finish(FinishReason.TOOL_CALLS),
    ]


def test_parallel_calls_come_one_after_the_other_by_index() -> None:
    """The second begins with an index of its own."""
    assert _called(
        _calls(_piece("", 0, id="a", name="f")),
        _calls(_piece("{}", 0)),
        _calls(_piece("", 1, id="b", name="g")),
        _calls(_piece(BERLIN, 1)),
        _chunk({}, "tool_calls"),
    ) == [("a", "f", "{}"), ("b", "g", BERLIN)]


def test_a_whole_call_may_stand_in_one_delta() -> None:
    """As Ollama and Groq send it, several at once too."""
    assert _called(
        _calls(_piece(BERLIN, 0, id="a", name="f"), _piece("{}", 1, id="b", name="g")), _chunk({}, "stop"), DONE
    ) == [("a", "f", BERLIN), ("b", "g", "{}")]


def test_calls_may_lack_index_and_id() -> None:
    """As Google's port for this dialect sends them: each with a name is a call, and is given an id."""
    assert _called(
        _calls(_piece("{}", None, id="", name="f")), _calls(_piece(BERLIN, None, id="", name="g"), reason="stop")
    ) == [
        ("made-up-1", "f", "{}"),
        ("made-up-2", "g", BERLIN),
    ]


def test_fragments_without_an_index_go_on_with_the_last_call() -> None:
    """Nothing in them says whose they are."""
    assert _called(
        _calls(_piece("", None, id="a", name="f")),
        _calls(_piece('{"x":', None)),
        _calls(_piece("1}", None), reason="stop"),
    ) == [("a", "f", '{"x":1}')]


def test_fragments_may_be_told_by_their_id_alone() -> None:
    """Where there is no index, the same id means the same call."""
    assert _called(
        _calls(_piece("{", None, id="a", name="f")), _calls(_piece("}", None, id="a", name="f"), reason="stop")
    ) == [("a", "f", "{}")]


def test_a_repeated_index_with_a_new_id_is_a_new_call() -> None:
    """As some versions of vLLM number parallel calls: 0 and 0."""
    assert _called(
        _calls(_piece("{}", 0, id="a", name="f")), _calls(_piece(BERLIN, 0, id="b", name="f")), _chunk({}, "tool_calls")
    ) == [("a", "f", "{}"), ("b", "f", BERLIN)]


def test_a_new_id_for_each_fragment_is_no_new_call() -> None:
    """Other versions of vLLM make up an id for every fragment; only the first has a name."""
    assert _called(
        _calls(_piece("", 0, id="a", name="f")),
        _calls(_piece("{", 0, id="b")),
        _calls(_piece("}", 0, id="c"), reason="stop"),
    ) == [("a", "f", "{}")]


def test_id_and_name_repeated_in_each_fragment_are_told_once() -> None:
    """Readers that put fragments together would repeat them: `call_1call_1`."""
    piece = {"id": "call_1", "name": "f"}

    assert _signals(_calls(_piece("{", **piece)), _calls(_piece("}", **piece), reason="tool_calls")) == [
        CallDelta(0, "call_1", "f", "{"),
        CallDelta(0, arguments="}"),
        Finish(FinishReason.TOOL_CALLS),
    ]


def test_a_name_may_come_after_the_id() -> None:
    """A call is begun by either."""
    assert _called(_calls(_piece("", id="a")), _calls(_piece("{}", name="f"), reason="stop")) == [("a", "f", "{}")]


def test_arguments_may_be_an_object_instead_of_its_text() -> None:
    """As Ollama's own API has them; what is in the object is not touched."""
    raw = b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"x": 1.50, "y": {}}}}]}}]}'

    assert [arguments for _, _, arguments in _called(raw.decode())] == ['{"x": 1.50, "y": {}}']


@pytest.mark.parametrize("arguments", ["", None])
def test_a_call_without_arguments_has_an_empty_object_of_them(arguments: str | None) -> None:
    """Nobody sends it, and whoever reads the call takes an object for granted."""
    begun = _piece(arguments, id="a", name="f")

    assert _called(_calls(begun), _chunk({}, "tool_calls"), DONE) == [("a", "f", "{}")]
    assert _called(_calls(begun), DONE) == [("a", "f", "{}")]
    assert _called(_plain({"content": None, "tool_calls": [begun]})) == [("a", "f", "{}")]
    assert _called(_calls(begun), _calls(_piece(BERLIN, 1, id="b", name="g"), reason="stop"))[0] == ("a", "f", "{}")
    assert _called(_calls({"id": "a", "index": 0, "function": {"name": "f"}}), DONE) == [("a", "f", "{}")]


def test_text_after_a_call_ends_it() -> None:
    """Then nothing is missing in the call, and the text stands behind it."""
    answer = _answer(_calls(_piece("", id="a", name="f")), _chunk({"content": "Wait."}), _chunk({}, "tool_calls"))

    assert answer.blocks == (ToolCall("a", "f", "{}"), Text("Wait."))


def test_empty_content_and_empty_fragments_between_those_of_a_call_are_nothing() -> None:
    """As OpenRouter sends them: content is an empty string in the chunks of a call, its first arguments are empty."""
    assert _signals(
        _chunk({"content": "", "tool_calls": [_piece("", id="a", name="f")]}),
        _chunk({"content": "", "tool_calls": [_piece("")]}),
        _chunk({"content": "", "tool_calls": [_piece("{}")]}),
        _chunk({"content": ""}, "tool_calls"),
        _chunk({"content": ""}, "tool_calls"),
    ) == [CallDelta(0, "a", "f", ""), CallDelta(0, arguments="{}"), Finish(FinishReason.TOOL_CALLS)]


def test_all_calls_of_a_plain_answer_are_calls_of_their_own() -> None:
    """Whatever their numbers and ids: they are not fragments."""
    calls = [_piece("{}", 0, id="", name="f"), _piece(BERLIN, 0, id="", name="f")]

    assert _called(_plain({"content": None, "tool_calls": calls})) == [
        ("made-up-1", "f", "{}"),
        ("made-up-2", "f", BERLIN),
    ]


def test_the_old_form_of_a_call_is_one() -> None:
    """`function_call`, whole or in fragments: it has no id."""
    assert _called(_plain({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call")) == [
        ("made-up-1", "f", "{}")
    ]
    assert _called(
        _chunk({"function_call": {"name": "f", "arguments": ""}}),
        _chunk({"function_call": {"arguments": "{}"}}),
        _chunk({}, "function_call"),
    ) == [("made-up-1", "f", "{}")]


def test_calls_that_end_as_stop_end_as_tool_calls() -> None:
    """Ollama and others say `stop` whatever they did; an answer cut off by its length stays so."""
    call = _piece(BERLIN, id="a", name="f")

    assert _answer(_calls(call), _chunk({}, "stop")).finish.reason is FinishReason.TOOL_CALLS
    assert _answer(_plain({"tool_calls": [call]}, "stop")).finish.reason is FinishReason.TOOL_CALLS
    assert _answer(_calls(call), _chunk({}, "length")).finish.reason is FinishReason.LENGTH


def test_a_whole_message_behind_the_deltas_of_a_call_is_not_told_again() -> None:
    """Some servers close a stream with all of the answer."""
    call = _piece(BERLIN, id="a", name="f")

    assert _called(_calls(call), _plain({"content": None, "tool_calls": [call]}), DONE) == [("a", "f", BERLIN)]


def test_google_signs_calls_or_the_message_that_has_them() -> None:
    """The signature of thoughts goes with the first call, and has to come back with it."""
    signed = {"google": {"thought_signature": "c2ln"}}
    call, other = _piece("{}", 0, id="a", name="f"), _piece("{}", 1, id="b", name="g")

    own = _answer(_calls({**call, "extra_content": signed}, other, reason="tool_calls"))
    shared = _answer(
        _plain({"tool_calls": [call, other], "extra_content": {"google": {"thought": True, **signed["google"]}}})
    )

    assert [each.signature for each in own.calls] == ["c2ln", None]
    assert shared.calls == own.calls


def test_fragments_that_are_mixed_up_are_a_failure() -> None:
    """Calls come one after the other here; arguments put together wrongly would be worse than another try."""
    (*_, end) = _signals(
        _calls(_piece("{", 0, id="a", name="f")), _calls(_piece("{", 1, id="b", name="g")), _calls(_piece("}", 0))
    )

    assert end == Failure(FailureClass.TRANSIENT, "the provider mixed up the fragments of several tool calls")


def test_a_call_that_names_no_tool_is_a_failure() -> None:
    """Nobody could answer it."""
    first = _signals(_calls(_piece("{}", 0, id="a")), _calls(_piece("{}", 1, id="b", name="g"), reason="tool_calls"))[
        -1
    ]
    last = _signals(_calls(_piece("{}", 0, id="a")), DONE)[-1]

    assert isinstance(first, Failure)
    assert first == last
    assert first.kind is FailureClass.TRANSIENT


def test_a_call_that_cannot_be_read_is_a_failure() -> None:
    """A part of the answer would be lost."""
    (end,) = _signals(_calls({"index": 0, "id": "a", "function": "f"}))

    assert isinstance(end, Failure)
    assert end.kind is FailureClass.TRANSIENT


def test_ids_that_are_made_up_differ() -> None:
    """Two turns of a conversation must not have the same."""
    body = json.dumps(_plain({"tool_calls": [_piece("{}", None, name="f")]})).encode()
    ids = {
        signal.id for _ in range(100) for signal in openai.WIRE.decoder().feed(body) if isinstance(signal, CallDelta)
    }

    assert len(ids) == 100
    assert all(each is not None and each.startswith("call_") for each in ids)
