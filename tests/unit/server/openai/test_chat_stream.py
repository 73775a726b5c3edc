"""The chunks of a streamed answer. How they are framed decides whether the official client survives."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec
import pytest

from synapse.domain.errors import ProviderFailed
from synapse.domain.events import (
    CallDelta,
    Delta,
    Error,
    Event,
    Finish,
    FinishReason,
    Logprobs,
    Restart,
    Thought,
)
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.domain.usage import Usage
from synapse.server.http.openai.chat_stream import ChatStream

FINISH = Finish(FinishReason.STOP, Usage(14, 8, total_tokens=22))
TOKEN = msgspec.Raw(b'[{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[]}]')


def make_task(number: int = 1, model: str = "m") -> Task:
    """Make a task."""
    request = prompt_request(model, "Why?", stream=True)
    return Task(f"task_{number}", request, "up", "real-m", 1754688929.9, 600.0, 3600.0)


def begin(count: int = 1, *, include_usage: bool = False, model: str = "m") -> ChatStream:
    """Begin to write the chunks of so many tasks."""
    return ChatStream([make_task(number, model) for number in range(1, count + 1)], include_usage=include_usage)


def encode(stream: ChatStream, *events: Event, index: int = 0) -> bytes:
    """Write events that came together."""
    return stream.encode([(index, [((1, place), event) for place, event in enumerate(events, 1)])])


def parse(data: bytes) -> list[dict[str, object]]:
    """Read events, which have one line each and nothing else; the end mark is left out."""
    blocks = data.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(re.fullmatch(r"data: [^\n\r]*", block) for block in blocks), blocks
    return [json.loads(block[6:]) for block in blocks if block != "data: [DONE]"]


def chunks(*events: Event, include_usage: bool = False) -> list[dict[str, object]]:
    """Return the chunks of one task's events."""
    return parse(encode(begin(include_usage=include_usage), *events))


def deltas(found: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return what the chunks of a single choice add."""
    return [chunk["choices"][0]["delta"] for chunk in found if chunk["choices"]]  # type: ignore[index]


def test_a_stream_is_what_openai_sends() -> None:
    """The role, the text, the reason, the mark of the end; nothing of the usage where nobody asked for it."""
    same = (
        b'"id":"chatcmpl-1","object":"chat.completion.chunk","created":1754688929,"model":"m",'
        b'"service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":'
    )

    assert encode(begin(), Delta("Hi"), FINISH).split(b"\n\n") == [
        b"data: {" + same + b'{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}',
        b"data: {" + same + b'{"content":"Hi"},"logprobs":null,"finish_reason":null}]}',
        b"data: {" + same + b'{},"logprobs":null,"finish_reason":"stop"}]}',
        b"data: [DONE]",
        b"",
    ]


def test_the_usage_comes_last_where_it_is_asked_for() -> None:
    """In a chunk without choices, with the key there; all others have null in its place."""
    found = chunks(Delta("Hi"), FINISH, include_usage=True)

    assert [chunk["usage"] for chunk in found[:-1]] == [None, None, None]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 22  # type: ignore[index]
    assert not any("usage" in chunk for chunk in chunks(Delta("Hi"), FINISH))


def test_id_instant_and_model_are_the_same_in_all_chunks() -> None:
    """Whatever the model is called."""
    task = make_task(model='100 % "m"\n')
    stream = ChatStream([task], include_usage=True)

    found = parse(encode(stream, Delta("50 %\n"), FINISH))

    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in found} == {
        ("chatcmpl-1", 1754688929, '100 % "m"\n')
    }
    assert [delta.get("content") for delta in deltas(found)] == ["", "50 %\n", None]


def test_the_last_chunks_name_the_fallback_that_answered() -> None:
    """Earlier nobody knows."""
    fallen = Finish(FinishReason.STOP, fallen_to="other")

    assert [chunk["model"] for chunk in chunks(Delta("Hi"), fallen, include_usage=True)] == ["m", "m", "other", "other"]


def test_no_line_but_data_is_ever_written() -> None:
    """After one `id:` the official client breaks at every comment; at `retry:` and empty data it breaks at once."""
    stream = begin(include_usage=True)

    written = encode(
        stream,
        Restart("the attempt before this one failed"),
        Thought("a\nid: 1\n\nevent: x\r\nretry: 3"),
        Delta("\n\ndata: x\n\nid: 1\n"),
        CallDelta(0, "c", "f", "\n\n"),
        FINISH,
    )

    assert all(line == "" or line.startswith("data: ") for line in written.decode().split("\n"))
    assert "\r" not in written.decode()
    parse(written)


def test_the_role_comes_once() -> None:
    """With the first that comes, whatever it is."""
    stream = begin()

    assert [parse(encode(stream, Delta(text))) for text in "ab"] == [
        chunks(Delta("a")),
        chunks(Delta("b"))[1:],
    ]


def test_a_tool_call_has_its_id_and_name_once() -> None:
    """The official client joins what is repeated: `call_1call_1`."""
    found = chunks(
        CallDelta(0, "call_1", "look", ""),
        CallDelta(0, arguments='{"a"'),
        CallDelta(0, "call_1", "look", ":1}"),
        CallDelta(1, "call_2", "find", "{}", "c2ln"),
        Finish(FinishReason.TOOL_CALLS),
    )

    assert [delta.get("tool_calls") for delta in deltas(found)] == [
        None,
        [{"function": {"arguments": "", "name": "look"}, "index": 0, "id": "call_1", "type": "function"}],
        [{"function": {"arguments": '{"a"'}, "index": 0}],
        [{"function": {"arguments": ":1}"}, "index": 0}],
        [
            {
                "function": {"arguments": "{}", "name": "find"},
                "index": 1,
                "id": "call_2",
                "type": "function",
                "extra_content": {"google": {"thought_signature": "c2ln"}},
            }
        ],
        None,
    ]
    assert deltas(found)[-1] == {}
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"  # type: ignore[index]


def test_content_is_null_where_the_answer_begins_with_a_call() -> None:
    """As OpenAI has it."""
    assert deltas(chunks(CallDelta(0, "c", "f")))[0] == {"role": "assistant", "content": None, "refusal": None}


def test_a_call_without_an_id_is_given_one() -> None:
    """The same that the whole answer has."""
    found = deltas(chunks(CallDelta(0, None, "f"), CallDelta(1, None, "f")))

    assert [delta["tool_calls"][0]["id"] for delta in found[1:]] == ["call_1_0", "call_1_1"]  # type: ignore[index]


def test_a_proof_that_comes_late_is_passed_on_alone() -> None:
    """Without repeating what the call is."""
    late = deltas(chunks(CallDelta(0, "c", "f", "{}"), CallDelta(0, signature="c2ln")))[-1]

    assert late["tool_calls"] == [
        {"function": {"arguments": ""}, "index": 0, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    ]


def test_thoughts_come_as_they_are_thought() -> None:
    """Unsigned ones in a field of their own, and nowhere else."""
    found = deltas(chunks(Thought("Hm"), Thought("."), Delta("So."), FINISH))

    assert found[1:] == [{"reasoning_content": "Hm"}, {"reasoning_content": "."}, {"content": "So."}, {}]


def test_a_block_of_thoughts_is_repeated_whole_when_it_is_signed() -> None:
    """Numbered, so that a client that joins pieces by index keeps them apart."""
    found = deltas(
        chunks(
            Thought("Hm"),
            Thought(".", "c2ln"),
            Thought("", redacted="c2VhbGVk"),
            Thought("Unsigned."),
            Delta("So."),
            Thought("", "bm8gdGV4dA=="),
        )
    )

    assert found[1:] == [
        {"reasoning_content": "Hm"},
        {
            "reasoning_content": ".",
            "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "c2ln"}],
        },
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "c2VhbGVk"}]},
        {"reasoning_content": "Unsigned."},
        {"content": "So."},
        {"reasoning_details": [{"type": "reasoning.text", "index": 2, "text": "", "signature": "bm8gdGV4dA=="}]},
    ]


def test_probabilities_are_in_the_chunk_of_their_text() -> None:
    """Where they came with it; else in one of their own."""
    stream = begin()

    together = parse(encode(stream, Delta("Hi"), Logprobs(TOKEN)))
    apart = parse(encode(stream, Delta("Hi"))) + parse(encode(stream, Logprobs(TOKEN), Logprobs(TOKEN)))

    logprobs = {"content": json.loads(bytes(TOKEN)), "refusal": None}
    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["logprobs"]) for chunk in together[1:] + apart] == [  # type: ignore[index]
        ({"content": "Hi"}, logprobs),
        ({"content": "Hi"}, None),
        ({"content": ""}, logprobs),
        ({"content": ""}, logprobs),
    ]


def test_a_failure_is_an_object_and_the_end() -> None:
    """The official client raises what it says; a mark of the end would call the text whole."""
    stream = begin(include_usage=True)

    written = encode(stream, Delta("Hi"), Error(ProviderFailed("it is on fire")))

    assert parse(written)[-1] == {
        "error": {"message": "it is on fire", "type": "server_error", "param": None, "code": "provider_failed"}
    }
    assert b"[DONE]" not in written
    assert stream.over


def test_a_failure_at_once_has_no_role_before_it() -> None:
    """There is no message."""
    assert [list(chunk) for chunk in chunks(Error(ProviderFailed("it is on fire")))] == [["error"]]


def test_choices_open_in_order_and_then_come_as_they_come() -> None:
    """The official client fails at an index that comes before the lower ones."""
    stream = begin(3, include_usage=True)

    written = encode(stream, Delta("c"), index=2) + encode(stream, Delta("a"), FINISH, index=0)
    written += encode(stream, Delta("b"), Finish(FinishReason.LENGTH, Usage(1, 1)), index=1)
    assert not stream.over
    written += encode(stream, FINISH, index=2)

    found = parse(written)
    choices = [chunk["choices"][0] for chunk in found[:-1]]  # type: ignore[index]
    assert [(choice["index"], choice["delta"].get("content")) for choice in choices] == [
        (0, ""), (1, ""), (2, ""), (2, "c"), (0, "a"), (0, None), (1, "b"), (1, None), (2, None),
    ]  # fmt: skip
    assert [choice["finish_reason"] for choice in choices] == [*[None] * 5, "stop", None, "length", "stop"]
    assert found[-1]["usage"]["total_tokens"] == 22 + 2 + 22  # type: ignore[index]
    assert {chunk["id"] for chunk in found} == {"chatcmpl-1"}
    assert written.endswith(b"\n\ndata: [DONE]\n\n")
    assert stream.over


def test_choices_are_over_when_one_of_them_fails() -> None:
    """What came from the others in the same moment is not written behind the failure."""
    stream = begin(2)

    written = stream.encode(
        [(0, [((1, 1), Delta("a")), ((1, 2), Error(ProviderFailed("it is on fire")))]), (1, [((1, 1), Delta("b"))])]
    )

    assert stream.over
    assert list(parse(written)[-1]) == ["error"]
    assert b'"b"' not in written


@pytest.mark.parametrize("text", ['"', "\\", "\x00", "\u2028", "😀", "</script>"])
def test_any_text_is_the_same_when_it_is_read(text: str) -> None:
    """Escaped where JSON wants that."""
    assert deltas(chunks(Delta(text)))[1] == {"content": text}
