"""What was answered comes back in the next request as it was: whole or streamed, nothing of it is lost."""

from __future__ import annotations

import itertools
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.answer import Answer, Block
from synapse.domain.events import CallDelta, Delta, Event, Finish, FinishReason, Thought
from synapse.domain.request import (
    Image,
    ImageUrl,
    Message,
    Part,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    prompt_request,
)
from synapse.domain.task import Task
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires.openai import WIRE
from synapse.server.http.openai.chat_answer import encode_answers
from synapse.server.http.openai.chat_request import chat_request, decode_body
from synapse.server.http.openai.chat_stream import ChatStream

TASK = Task("task_1", prompt_request("m", "Why?", stream=True), "up", "m", 0.0, 600.0, 3600.0)
FINISH = Finish(FinishReason.STOP)

words = st.text(min_size=1, max_size=20)
objects = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3).map(json.dumps)
signed = st.builds(Thinking, st.text(max_size=20), words) | st.builds(Thinking, st.just(""), redacted=words)
thoughts = st.lists(signed, max_size=3) | st.lists(st.builds(Thinking, words), min_size=1, max_size=1)
"""Unsigned thoughts are no more than a text: blocks of them have no ends."""


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Block, ...]:
    """Draw an answer that the format can carry: thoughts, then a text, then calls."""
    texts = draw(st.lists(st.builds(Text, words), max_size=1))
    calls = [
        ToolCall(f"call_{index}", draw(words), draw(objects), draw(st.none() | words))
        for index in range(draw(st.integers(0, 3)))
    ]
    return (*draw(thoughts), *texts, *calls)


answers = blocks().filter(bool)


def answer(found: tuple[Block, ...]) -> Answer:
    """Return the answer that consists of these blocks."""
    return Answer("".join(block.text for block in found if isinstance(block, Text)), FINISH, found)


def sent_back(message: dict[str, object]) -> tuple[Part, ...]:
    """Send a message of the assistant's back, with results for its calls; return what is understood."""
    calls: list[dict[str, str]] = message.get("tool_calls") or []  # type: ignore[assignment]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in calls]
    turns = [{"role": "user", "content": "Why?"}, message, *results]
    heard = chat_request(decode_body(msgspec.json.encode({"model": "m", "messages": turns})))
    assert heard.messages[1].role is Role.ASSISTANT
    return heard.messages[1].parts


@given(answers)
def test_a_whole_answer_comes_back_as_it_was(found: tuple[Block, ...]) -> None:
    """Thoughts with their signatures, the text, and the calls with theirs."""
    body = json.loads(encode_answers([TASK], [answer(found)]))

    assert sent_back(body["choices"][0]["message"]) == found


@given(answers, st.data())
def test_a_streamed_answer_comes_back_as_it_was(found: tuple[Block, ...], data: st.DataObject) -> None:
    """Whatever pieces it came in, and whatever came together."""
    events = [event for block in found for event in _pieces(block, found, data)]
    stream = ChatStream([TASK], include_usage=False)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    ends = [0, *cuts, len(events)]

    written = b"".join(
        stream.encode([(0, [((1, 1), event) for event in events[start:end]])])
        for start, end in itertools.pairwise(ends)
    )

    assert sent_back(_joined(written)) == found


def _pieces(block: Block, found: tuple[Block, ...], data: st.DataObject) -> list[Event]:
    """Cut a block into the events that it comes as."""
    match block:
        case Text(text):
            return [Delta(piece) for piece in _cut(text, data)]
        case Thinking(text, signature, redacted):
            if redacted is not None:
                return [Thought("", redacted=redacted)]
            return [*[Thought(piece) for piece in _cut(text, data)], *([Thought("", signature)] if signature else [])]
        case ToolCall(id, name, arguments, signature):
            position = [each for each in found if isinstance(each, ToolCall)].index(block)
            first, *rest = _cut(arguments, data)
            return [
                CallDelta(position, id, name, first, signature),
                *[CallDelta(position, arguments=piece) for piece in rest],
            ]


def _cut(text: str, data: st.DataObject) -> list[str]:
    place = data.draw(st.integers(0, len(text)))
    return [text[:place], text[place:]]


def _joined(written: bytes) -> dict[str, object]:
    """Put a message together as the official client does: texts joined, items of lists told apart by their index."""
    message: dict[str, object] = {}
    for line in written.decode().split("\n\n")[:-1]:
        _accumulate(message, json.loads(line.removeprefix("data: "))["choices"][0]["delta"])
    return message


def _accumulate(message: dict[str, object], delta: dict[str, object]) -> None:
    for key, value in delta.items():
        known = message.get(key)
        if known is None or key in {"index", "type"}:
            message[key] = value
        elif isinstance(known, str) and isinstance(value, str):
            message[key] = known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            _accumulate(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            for item in value:
                if item["index"] < len(known):
                    _accumulate(known[item["index"]], item)
                else:
                    known.append(item)


plain = st.builds(Message, st.sampled_from(Role), st.builds(Text, words).map(lambda text: (text,)), st.none() | words)


@given(st.lists(plain, min_size=1, max_size=5))
def test_plain_messages_are_read_as_they_were_written(found: list[Message]) -> None:
    """Whoever speaks."""
    turns = [
        {"role": message.role, "content": message.parts[0].text, "name": message.name}  # type: ignore[union-attr]
        for message in found
    ]

    heard = chat_request(decode_body(msgspec.json.encode({"model": "m", "messages": turns})))

    assert heard == Request("m", tuple(found))


finite = st.floats(0, 1, width=32)
pictures = st.binary(max_size=9).map(lambda rest: Image("image/png", b"\x89PNG\r\n\x1a\n" + rest))
said = st.lists(
    st.builds(Text, words) | pictures | st.builds(ImageUrl, words.map(lambda path: f"https://example.com/{path}")),
    min_size=1,
    max_size=3,
)
asking = st.builds(Message, st.just(Role.USER), said.map(tuple), st.none() | words)
schemas = st.dictionaries(words, st.integers(), max_size=2).map(lambda each: msgspec.Raw(msgspec.json.encode(each)))
tools = st.lists(st.builds(Tool, words, st.none() | words, schemas, st.none() | st.booleans()), max_size=2)


@st.composite
def calling(draw: st.DrawFn) -> tuple[Message, Message]:
    """Draw tool calls and what they gave back."""
    calls = [
        ToolCall(f"call_{index}", draw(words), draw(objects), draw(st.none() | words))
        for index in range(draw(st.integers(1, 3)))
    ]
    results = [ToolResult(call.id, (Text(draw(words)),), call.name) for call in draw(st.permutations(calls))]
    text = draw(st.lists(st.builds(Text, words), max_size=1))
    return Message(Role.ASSISTANT, (*text, *calls)), Message(Role.USER, tuple(results))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a request that the format can carry; a model of Google's wants its proofs back over it."""
    turns = draw(st.lists(plain.map(lambda one: (one,)) | asking.map(lambda one: (one,)) | calling(), min_size=1))
    known = tuple(draw(tools))
    mode = draw(st.sampled_from(ToolMode))
    only = (draw(st.sampled_from(known)).name,) if known and mode is ToolMode.REQUIRED else ()
    return Request(
        "gemini",
        tuple(message for turn in turns for message in turn),
        draw(
            st.builds(
                Sampling,
                *[st.none() | finite] * 2,
                *[st.none() | st.integers(1, 100)] * 2,
                st.lists(words, max_size=3).map(tuple),
                st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
                *[st.none() | finite] * 2,
                st.none() | st.integers(0, 20),
            )
        ),
        draw(st.booleans()),
        known,
        draw(st.none() | st.builds(ToolChoice, st.just(mode), st.just(only), st.booleans())) if known else None,
        draw(st.none() | st.just(ResponseFormat()) | st.builds(ResponseFormat, schemas, words, st.none() | words)),
        draw(st.sampled_from([None, Reasoning("none"), Reasoning("low", show=True)])),
        safety_user=draw(st.none() | words),
    )


@given(requests())
def test_what_is_sent_to_a_provider_of_this_dialect_is_read_as_it_was_meant(request: Request) -> None:
    """Another Synapse may be that provider."""
    written = WIRE.encode(request, "gemini", None).body

    assert _plain(chat_request(decode_body(written))) == _plain(request)


def _plain(request: Request) -> object:
    """Return a request in a form that can be compared, schemas included."""
    return msgspec.json.decode(msgspec.json.encode(request))
