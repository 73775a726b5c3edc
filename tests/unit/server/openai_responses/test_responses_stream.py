"""A streamed response: which events there are, in which order, and that they add up to the response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from synapse.domain.answer import Collector
from synapse.domain.errors import InvalidRequest, ProviderFailed, QueueFull, SynapseError, WaitTooLong
from synapse.domain.events import CallDelta, Delta, Error, Event, Finish, FinishReason, Logprobs, Thought
from synapse.domain.usage import Usage
from synapse.server.http.openai.responses_object import answered, encode_object

if TYPE_CHECKING:
    from conftest import Write

Json = dict[str, Any]

STOP = Finish(FinishReason.STOP, Usage(3, 5))
TEXT = ["output_item.added", "content_part.added", *["output_text.delta"] * 2]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]
CALL = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
THOUGHTS = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"]
THOUGHTS_END = ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
SEALED = ["output_item.added", "output_item.done"]
TOKEN = {"token": "Hel", "logprob": -0.5, "bytes": [72], "top_logprobs": []}

_event = TypeAdapter[ResponseStreamEvent](ResponseStreamEvent)


def kinds(events: list[Json]) -> list[str]:
    """Return the types of events, without what all of them begin with."""
    return [event["type"].removeprefix("response.") for event in events]


def only(events: list[Json], kind: str) -> list[Json]:
    """Return the events of one type."""
    return [event for event in events if event["type"] == f"response.{kind}"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([Delta("Hel"), Delta("lo")], [*TEXT, *TEXT_END]),
        ([CallDelta(0, "c", "f", "{}")], CALL),
        ([CallDelta(0, "c", "f", "{}"), CallDelta(1, "d", "g", "{}")], [*CALL, *CALL]),
        ([Thought("Hm."), Delta("Hel"), Delta("lo")], [*THOUGHTS, *THOUGHTS_END, *TEXT, *TEXT_END]),
        ([Thought("Hm.", "sig"), Thought("So.", "gis")], [*THOUGHTS, *THOUGHTS_END] * 2),
        ([Thought("", redacted="x"), CallDelta(0, "c", "f", "{}")], [*SEALED, *CALL]),
        ([Delta("Hel"), Delta("lo"), CallDelta(0, "c", "f", "{}")], [*TEXT, *TEXT_END, *CALL]),
        ([Delta("")], ["output_item.added", "content_part.added", *TEXT_END]),
        ([], ["output_item.added", "content_part.added", *TEXT_END]),
    ],
    ids=[
        "text",
        "call",
        "two calls",
        "thoughts and text",
        "two blocks of thoughts",
        "sealed thoughts and a call",
        "text and a call",
        "no words",
        "nothing",
    ],
)
def test_events_come_in_order(asking: Write, answer: list[Event], expected: list[str]) -> None:
    """Each item begins, goes on and ends before the next one does; calls have no content parts."""
    events = asking().events([*answer, STOP])

    assert kinds(events) == ["created", "in_progress", *expected, "completed"]


def test_all_events_of_a_text_are_what_they_are(asking: Write) -> None:
    """Key by key."""
    events = asking().events([Delta("Hel"), Delta("lo"), STOP])

    place = {"item_id": "msg_1f_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    item = {"id": "msg_1f_0", "type": "message", "role": "assistant"}
    whole = {**item, "status": "completed", "content": [{**part, "text": "Hello"}]}
    for event in events:
        del event["type"], event["sequence_number"]
    assert events[2:-1] == [
        {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {**place, "part": {**part, "text": ""}},
        {**place, "delta": "Hel", "logprobs": []},
        {**place, "delta": "lo", "logprobs": []},
        {**place, "text": "Hello", "logprobs": []},
        {**place, "part": {**part, "text": "Hello"}},
        {"output_index": 0, "item": whole},
    ]
    first, last = events[0]["response"], events[-1]["response"]
    assert events[1]["response"] == first
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert (last["status"], last["output"], last["completed_at"]) == ("completed", [whole], 2000)


def test_all_events_of_a_call_are_what_they_are(asking: Write) -> None:
    """Key by key. Its name and what joins it to its result are in the first one."""
    events = asking().events(
        [CallDelta(0, "c", "f"), CallDelta(0, arguments='{"a"'), CallDelta(0, arguments=":1}"), STOP]
    )

    item = {"id": "fc_1f_0", "type": "function_call", "call_id": "c", "name": "f"}
    place = {"item_id": "fc_1f_0", "output_index": 0}
    for event in events:
        del event["type"], event["sequence_number"]
    assert events[2:-1] == [
        {"output_index": 0, "item": {**item, "status": "in_progress", "arguments": ""}},
        {**place, "delta": '{"a"'},
        {**place, "delta": ":1}"},
        {**place, "arguments": '{"a":1}'},
        {"output_index": 0, "item": {**item, "status": "completed", "arguments": '{"a":1}'}},
    ]


def test_all_events_of_thoughts_are_what_they_are(asking: Write) -> None:
    """Key by key. What must come back with them is in the last one."""
    events = asking().events([Thought("Hm"), Thought(".", "sig"), STOP])

    item = {"id": "rs_1f_0", "type": "reasoning", "content": []}
    place = {"item_id": "rs_1f_0", "output_index": 0, "summary_index": 0}
    whole = {"type": "summary_text", "text": "Hm."}
    for event in events:
        del event["type"], event["sequence_number"]
    assert events[2:-1] == [
        {"output_index": 0, "item": {**item, "summary": [], "encrypted_content": None}},
        {**place, "part": {"type": "summary_text", "text": ""}},
        {**place, "delta": "Hm"},
        {**place, "delta": "."},
        {**place, "text": "Hm."},
        {**place, "part": whole},
        {"output_index": 0, "item": {**item, "summary": [whole], "encrypted_content": "sig"}},
    ]


def test_a_call_without_an_id_gets_one_that_stays(asking: Write) -> None:
    """It is made from the task's id and the call's place among the calls."""
    events = asking().events([CallDelta(0, None, "f", "{}"), CallDelta(4, None, "g", "{}"), STOP])

    assert [each["item"]["call_id"] for each in only(events, "output_item.added")] == ["call_1f_0", "call_1f_1"]
    assert [each["call_id"] for each in events[-1]["response"]["output"]] == ["call_1f_0", "call_1f_1"]


def test_the_proof_that_goes_with_a_call_is_shown(asking: Write) -> None:
    """In the field where Google's models' clients look for it."""
    events = asking().events([CallDelta(0, "c", "f", "{}"), CallDelta(0, signature="sig"), STOP])

    assert events[-1]["response"]["output"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
    ],
)
@pytest.mark.parametrize("first", [Delta("Hel"), CallDelta(0, "c", "f", "{")], ids=["text", "call"])
def test_there_is_no_finish_reason_but_a_status(
    asking: Write, first: Event, reason: FinishReason, status: str, details: object
) -> None:
    """An answer that was cut is incomplete, and so is its last item; one that ends in calls is complete."""
    events = asking().events([Thought("Hm."), first, Finish(reason, Usage(3, 5))])

    response = events[-1]["response"]
    assert kinds(events)[-1] == status
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][1]["status"] == status
    assert only(events, "output_item.done")[-1]["item"] == response["output"][1]
    assert (response["completed_at"] is None) == (status == "incomplete")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderFailed("it is ill"), "server_error"),
        (InvalidRequest("too long"), "invalid_prompt"),
        (QueueFull("full"), "rate_limit_exceeded"),
        (WaitTooLong("later"), "rate_limit_exceeded"),
    ],
)
def test_a_failure_is_the_last_event(asking: Write, error: SynapseError, code: str) -> None:
    """With the response as far as it came. Nothing that was begun is said to have ended."""
    written = asking()
    events = written.events([CallDelta(0, "c", "f", "{}"), Delta("Hel")], [Error(error)])

    assert kinds(events)[-4:] == ["output_item.added", "content_part.added", "output_text.delta", "failed"]
    response = events[-1]["response"]
    assert (response["status"], response["error"]) == ("failed", {"code": code, "message": error.message})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert written.stream.over


def test_a_failure_before_any_word_comes_after_the_beginning(asking: Write) -> None:
    """The official client's helper refuses a stream that does not begin with `response.created`."""
    events = asking().events([Error(ProviderFailed("it is ill"))])

    assert kinds(events) == ["created", "in_progress", "failed"]
    assert events[-1]["response"]["output"] == []


def test_nothing_is_written_while_nothing_comes(asking: Write) -> None:
    """The port shows by a comment that the stream lives."""
    written = asking()
    assert (written.write([]), written.stream.over) == (b"", False)


def test_there_is_no_done_mark_and_no_id_line(asking: Write) -> None:
    """`[DONE]` is of chat completions; after an `id:` the official client takes a comment for an event."""
    data = asking().write([Delta("Hel"), STOP])

    assert b"[DONE]" not in data
    assert {line.partition(b":")[0] for line in data.split(b"\n")} == {b"", b"event", b"data"}


def test_an_event_is_one_line_whatever_is_passed_on(asking: Write) -> None:
    """Schemas come as callers lay them out, and logprobs as providers do."""
    raw = msgspec.Raw(msgspec.json.encode({"type": "object"}).replace(b":", b":\r\n  "))
    tools = [{"type": "function", "name": "f", "parameters": raw}]
    text = {"format": {"type": "json_schema", "name": "n", "schema": raw}}
    logprobs = Logprobs(msgspec.Raw(b"[\n" + msgspec.json.encode(TOKEN) + b"\n]"))

    events = asking(tools=tools, text=text).events([Delta("Hel"), logprobs], [logprobs, STOP])

    assert events[-1]["response"]["tools"][0]["parameters"] == {"type": "object"}
    assert events[-1]["response"]["text"]["format"]["schema"] == {"type": "object"}
    assert [each["logprobs"] for each in only(events, "output_text.delta")] == [[TOKEN], [TOKEN]]


def test_logprobs_are_in_the_event_of_their_text(asking: Write) -> None:
    """Where that has gone already they come with no text; all of them are in the end."""
    probable = Logprobs(msgspec.Raw(msgspec.json.encode([TOKEN])))
    events = asking().events([Delta("Hel"), probable, Delta("lo")], [probable, STOP])

    deltas = [(each["delta"], each["logprobs"]) for each in only(events, "output_text.delta")]
    assert deltas == [("Hel", [TOKEN]), ("lo", []), ("", [TOKEN])]
    assert only(events, "output_text.done")[0]["logprobs"] == [TOKEN, TOKEN]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [TOKEN, TOKEN]


def test_a_fallback_is_named_in_the_end(asking: Write) -> None:
    """The response's id stays what it was: the official client's helper insists on that."""
    events = asking().events([Delta("Hel"), Finish(FinishReason.STOP, Usage(), "b")])

    assert [event["response"]["model"] for event in events if "response" in event] == ["m", "m", "b"]
    assert {event["response"]["id"] for event in events if "response" in event} == {"resp_1f"}


def test_events_that_come_together_are_written_together(asking: Write) -> None:
    """And what has been written is not written again."""
    written = asking()
    first, second = written.write([Delta("Hel"), Delta("lo")]), written.write([STOP])

    assert first.count(b"event: ") == 6
    assert second.count(b"event: ") == 4


EVENTS = st.lists(
    st.one_of(
        st.builds(Delta, st.text(min_size=1, max_size=4)),
        st.builds(Thought, st.text(max_size=4), st.none() | st.text(min_size=1, max_size=3)),
        st.builds(lambda sealed: Thought("", redacted=sealed), st.text(min_size=1, max_size=3)),
        st.builds(
            lambda position, name, arguments, proof: CallDelta(position, f"c{position}", name, arguments, proof),
            st.integers(0, 2),
            st.just("f"),
            st.text(max_size=4),
            st.none() | st.just("proof"),
        ),
    ),
    max_size=12,
)


def rebuilt(events: list[Json]) -> list[Json]:
    """Put the output together from its pieces, as clients do that look at nothing but those."""
    output: list[Json] = []
    for event in events:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert event["output_index"] == len(output)
                output.append(event["item"])
            case "content_part.added":
                output[event["output_index"]]["content"].append(event["part"])
            case "output_text.delta":
                output[event["output_index"]]["content"][event["content_index"]]["text"] += event["delta"]
            case "function_call_arguments.delta":
                output[event["output_index"]]["arguments"] += event["delta"]
            case "reasoning_summary_part.added":
                output[event["output_index"]]["summary"].append(event["part"])
            case "reasoning_summary_text.delta":
                output[event["output_index"]]["summary"][event["summary_index"]]["text"] += event["delta"]
    return output


def without(item: Json, *names: str) -> Json:
    """Return an item without what is known only at its end."""
    return {name: value for name, value in item.items() if name not in names}


@given(EVENTS, st.sampled_from(FinishReason), st.lists(st.integers(0, 12), max_size=4))
def test_the_pieces_add_up_to_the_response(
    asking: Write, answer: list[Event], reason: FinishReason, cuts: list[int]
) -> None:
    """However they come, and the same that is answered where nothing is streamed."""
    written = asking()
    log = [*answer, Finish(reason, Usage(3, 5))]
    places = sorted({*cuts, len(log)})
    batches = [log[start:end] for start, end in zip([0, *places], places, strict=False)]

    events = written.events(*batches)

    final = events[-1]["response"]
    late = ("status", "encrypted_content", "extra_content")
    assert [without(item, *late) for item in rebuilt(events)] == [without(item, *late) for item in final["output"]]
    assert [each["item"] for each in only(events, "output_item.done")] == final["output"]
    collector = Collector()
    whole = [answer for answer in map(collector.add, log) if answer is not None]
    assert final == msgspec.json.decode(encode_object(answered(written.task, written.body, whole[0], 2000.5)))
    for event in events:
        _event.validate_python(event, strict=True)
    assert Response.model_validate(final, strict=True).status == final["status"]
