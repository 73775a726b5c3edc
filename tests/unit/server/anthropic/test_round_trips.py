"""What this port and Anthropic's wire both know goes through one and comes back through the other as it was."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import CallDelta, Delta, Event, Finish, FinishReason, Restart, Thought
from synapse.domain.request import (
    Document,
    Image,
    ImageUrl,
    Message,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.domain.task import Task
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.domain.usage import Usage
from synapse.providers.wires.anthropic import WIRE
from synapse.server.http.anthropic.answer import message
from synapse.server.http.anthropic.body import MessagesBody, messages_request
from synapse.server.http.anthropic.stream import MessageStream, encode_start

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
"""With more than spaces in them: the provider refuses others, and so they are left out."""
CACHES = st.sampled_from([None, "5m", "1h"])
SCHEMAS = st.sampled_from([msgspec.Raw(b'{"type":"object"}'), msgspec.Raw(b'{"type":"object","properties":{"a":{}}}')])
PICTURES = st.builds(lambda tail: b"\x89PNG\r\n\x1a\n" + tail, st.binary(max_size=20))
IMAGES = st.builds(Image, st.just("image/png"), PICTURES, cache=CACHES)
IMAGE_URLS = st.builds(ImageUrl, st.just("https://example.com/a.png"), cache=CACHES)
DOCUMENTS = st.one_of(
    st.builds(Document, st.just("application/pdf"), st.binary(max_size=20), st.none() | TEXTS, CACHES),
    st.builds(Document, st.just("text/plain"), TEXTS.map(str.encode), st.none() | TEXTS, CACHES),
)
SPOKEN = st.builds(Text, TEXTS, CACHES)
THOUGHTS = st.one_of(
    st.builds(Thinking, TEXTS, TEXTS),
    st.builds(Thinking, st.just(""), st.none(), TEXTS),
)
ARGUMENTS = st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3).map(json.dumps)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns that take turns, each call answered in the next."""
    messages = [Message(Role.SYSTEM, tuple(draw(st.lists(SPOKEN, min_size=1, max_size=2))))] * draw(st.integers(0, 1))
    open_calls: list[ToolCall] = []
    for turn in range(draw(st.integers(1, 4))):
        results = [_result(draw, call) for call in open_calls]
        said = draw(st.lists(SPOKEN | IMAGES | IMAGE_URLS | DOCUMENTS, min_size=1, max_size=3))
        messages.append(Message(Role.USER, (*results, *said)))
        names = draw(st.lists(st.sampled_from(["a", "b"]), max_size=2))
        open_calls = [ToolCall(f"c{turn}_{i}", name, draw(ARGUMENTS)) for i, name in enumerate(names)]
        spoken = draw(st.lists(THOUGHTS | SPOKEN, min_size=1, max_size=3))
        messages.append(Message(Role.ASSISTANT, (*spoken, *open_calls)))
    if open_calls:
        messages.append(Message(Role.USER, tuple([_result(draw, call) for call in open_calls])))
    return tuple(messages)


def _result(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    inner = st.builds(Text, TEXTS) | st.builds(Image, st.just("image/png"), PICTURES)
    content = tuple(draw(st.lists(inner, max_size=2)))
    return ToolResult(call.id, content, call.name, is_error=draw(st.booleans()), cache=draw(CACHES))


TOOLS = st.builds(Tool, st.sampled_from(["a", "b"]), st.none() | TEXTS, SCHEMAS, st.none() | st.booleans(), CACHES)
CHOICES = st.none() | st.sampled_from(
    [
        ToolChoice(ToolMode.AUTO),
        ToolChoice(ToolMode.AUTO, (), parallel=False),
        ToolChoice(ToolMode.REQUIRED),
        ToolChoice(ToolMode.REQUIRED, ("a",), parallel=False),
        ToolChoice(ToolMode.NONE),
    ]
)
REQUESTS = st.builds(
    Request,
    st.just("claude"),
    conversations(),
    st.builds(
        Sampling,
        st.none() | st.floats(0, 1),
        st.none() | st.floats(0, 1),
        st.none() | st.integers(0, 100),
        st.integers(1, 10_000),
        st.lists(TEXTS, max_size=2).map(tuple),
    ),
    st.booleans(),
    st.lists(TOOLS, max_size=2).map(lambda tools: (Tool("a", schema=msgspec.Raw(b"{}")), *tools)),
    CHOICES,
    st.none() | st.builds(ResponseFormat, SCHEMAS, strict=st.sampled_from([True])),
    safety_user=st.none() | TEXTS,
)


@given(REQUESTS)
def test_a_request_through_the_wire_and_this_port_is_itself(request: Request) -> None:
    """All that Anthropic's format can carry: what one writes the other reads."""
    body = WIRE.encode(request, "claude", None).body

    assert messages_request(msgspec.json.decode(body, type=MessagesBody)) == request


PIECES = st.one_of(
    TEXTS.map(Delta),
    TEXTS.map(Thought),
    st.builds(Thought, st.just("") | TEXTS, TEXTS),
    st.builds(Thought, st.just(""), st.none(), TEXTS),
    st.just(CallDelta(-1, "", "weather", "")),
)
USAGES = st.builds(
    Usage,
    st.integers(20, 99),
    st.integers(10, 99),
    st.integers(0, 9),
    st.integers(0, 9),
    cache_write_tokens=st.integers(0, 9),
)
FINISHES = st.builds(Finish, st.sampled_from(FinishReason), USAGES) | st.builds(
    Finish, st.just(FinishReason.STOP), USAGES, stop_sequence=TEXTS
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Return the log of an answer; each call in it has a JSON object for its arguments, in pieces."""
    events: list[Event] = []
    calls = 0
    for piece in draw(st.lists(PIECES, max_size=8)):
        if not isinstance(piece, CallDelta):
            events.append(piece)
            continue
        arguments = draw(ARGUMENTS)
        cut = draw(st.integers(0, len(arguments)))
        events.append(CallDelta(calls, f"toolu_{calls}", "weather", arguments[:cut]))
        events.append(CallDelta(calls, arguments=arguments[cut:]))
        calls += 1
    return [*events, draw(FINISHES)]


def collect(events: list[Event]) -> Answer:
    """Put an answer together."""
    entries = [((1, seq), event) for seq, event in enumerate(events, 1)]
    answer = Collector().add_all(entries)
    assert answer is not None
    return answer


def task() -> Task:
    """Return the task that is answered."""
    return Task("task_1", Request("claude", ()), "p", "claude", 0.0, 1.0, 1.0)


def seen(answer: Answer) -> object:
    """Return what of an answer both formats carry: not the total; and where there are calls, that they are the end."""
    blocks = answer.blocks or ((Text(answer.text),) if answer.text else ())
    usage = msgspec.structs.replace(answer.finish.usage, total_tokens=0)
    reason = answer.finish.reason
    if answer.calls and reason is FinishReason.STOP:
        return blocks, usage, FinishReason.TOOL_CALLS, None
    return blocks, usage, reason, answer.finish.stop_sequence


def read(data: list[bytes]) -> Answer:
    """Read an answer as the wire does."""
    decoder = WIRE.decoder()
    signals = [signal for piece in data for signal in decoder.feed(piece)]
    return collect([*signals, decoder.end()])  # type: ignore[list-item] - a failure would not collect


@given(answers())
def test_a_whole_answer_through_this_port_and_the_wire_is_itself(events: list[Event]) -> None:
    """Text, thoughts, calls, usage and the reason for its end."""
    answer = collect(events)

    assert seen(read([msgspec.json.encode(message(task(), answer))])) == seen(answer)


@given(answers(), st.integers(1, 4))
def test_a_streamed_answer_through_this_port_and_the_wire_is_itself(events: list[Event], together: int) -> None:
    """However many of its events are written together; every event has its line, and blocks are one after the other."""
    stream = MessageStream(task())
    entries = [((1, seq), event) for seq, event in enumerate([Restart("again"), *events], 1)]
    written = encode_start(task(), 7) + b"".join(
        [stream.encode(entries[at : at + together]) for at in range(0, len(entries), together)]
    )
    frames = [frame.split("\n") for frame in written.decode().removesuffix("\n\n").split("\n\n")]
    data = [json.loads(line.removeprefix("data: ")) for _, line in frames]

    assert [name for name, _ in frames] == [f"event: {each['type']}" for each in data]
    assert stream.over
    assert _in_order(data)
    assert seen(read([json.dumps(each).encode() for each in data])) == seen(collect(events))


def _in_order(data: list[dict[str, object]]) -> bool:
    """Tell whether blocks begin and end one after the other, by index from 0, inside one message."""
    index, is_open = -1, False
    for each in data[1:-2]:
        match each["type"]:
            case "content_block_start":
                index += 1
                if is_open or each["index"] != index:
                    return False
                is_open = True
            case "content_block_stop":
                if not is_open or each["index"] != index:
                    return False
                is_open = False
            case _:
                if not is_open or each["index"] != index:
                    return False
    return not is_open and [data[0]["type"], data[-2]["type"], data[-1]["type"]] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
