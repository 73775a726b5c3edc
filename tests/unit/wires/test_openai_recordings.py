"""Real traffic of servers that speak like OpenAI, where it is at hand: all their answers hold, and requests to them.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for, and without that these tests are skipped. What is expected is read in the JSON by this module.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from base64 import b64decode
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought, Vectors
from synapse.domain.failure import Failure
from synapse.domain.request import (
    Embedding,
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
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.domain.usage import Usage
from synapse.providers.wires import openai
from synapse.providers.wires.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from synapse.providers.wires.base import Wire

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[4] / "shared" / "recordings")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
)

Json = dict[str, Any]


def _load(path: Path) -> Json:
    recording: Json = json.loads(path.read_text(encoding="utf-8"))
    return recording


RECORDED = {
    f"{path.parent.name}/{path.stem}": _load(path)
    for folder in ("openai-compatible", "openrouter", "gemini")
    for path in sorted((FOLDER / folder).glob("*.json"))
}
"""Google has a port for this dialect, of which there are recordings too."""
SENT = [name for name, each in RECORDED.items() if "/chat/completions" in each["request"]["url"]]
ANSWERED = [name for name in SENT if RECORDED[name]["response"]["status"] == 200]
EMBEDDED = [name for name, each in RECORDED.items() if each["request"]["url"].endswith("/embeddings")]
BROKEN = {"openrouter/stream-midstream-error", "openai-compatible/groq-stream-tool-error-1"}
"""Those that end with an error inside the answer."""
OTHERS = {
    "openai-compatible/openai-error-400-responses-context-length",
    "openrouter/models-list",
    "openrouter/responses-api-stream-reasoning",
    "openrouter/responses-api-stream-text",
    "openrouter/responses-api-stream-tools-2",
    "openrouter/responses-api-stream-tools-3",
}
"""Of other APIs, which this wire does not speak."""


def test_no_recording_is_left_out() -> None:
    """Every one of these providers is of an API that is known here."""
    mine = {name for name in RECORDED if not name.startswith("gemini/")}

    assert mine - {*SENT, *EMBEDDED} == OTHERS
    assert len(ANSWERED) > 50
    assert len(EMBEDDED) > 5


# --- answers


def _chunks(response: Json) -> list[Json]:
    if response["body_kind"] == "json":
        return [response["body"]]
    lines = [line.removeprefix("data: ") for line in response["body"].split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _pieces(body: bytes) -> Iterator[Iterable[bytes]]:
    """Cut a body: not at all, at each byte, and at random."""
    yield [body]
    yield (body[place : place + 1] for place in range(len(body)))
    random = Random(len(body))  # noqa: S311 - repeatable cuts, no secret
    for _ in range(5):
        cuts = sorted(random.sample(range(len(body)), k=min(40, len(body))))
        yield [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def _answers(response: Json) -> Iterator[Answer]:
    if response["body_kind"] == "json":
        for indent in (None, 2):
            body = json.dumps(response["body"], indent=indent, ensure_ascii=indent is None).encode()
            yield _collected([body])
        return
    for pieces in _pieces(response["body"].encode()):
        stream = EventStream()
        yield _collected([*(data for piece in pieces for data in stream.feed(piece)), *stream.end()])


def _collected(events: Iterable[bytes]) -> Answer:
    decoder, collector = openai.WIRE.decoder(), Collector()
    for event in events:
        for signal in decoder.feed(event):
            assert isinstance(signal, Delta | Thought | CallDelta), signal
            collector.add(signal)
    end = decoder.end()
    assert isinstance(end, Finish), end
    answer = collector.add(end)
    assert answer is not None
    return answer


class Told(msgspec.Struct):
    """What an answer's JSON says, put together by hand."""

    text: str = ""
    thoughts: str = ""
    signatures: list[str] = []
    sealed: list[Json] = []
    calls: dict[int, list[str]] = {}
    reason: str = ""
    counts: Json = {}


def _told(chunks: list[Json]) -> Told:
    told = Told()
    for chunk in chunks:
        told.counts = chunk.get("usage") or chunk.get("x_groq", {}).get("usage") or told.counts
        for choice in chunk["choices"]:
            told.reason = choice["finish_reason"] or told.reason
            _add(told, choice.get("delta") or choice.get("message") or {})
    return told


def _add(told: Told, words: Json) -> None:
    told.text += words.get("content") or ""
    details = words.get("reasoning_details") or []
    shown = [detail.get("text") or detail.get("summary") or "" for detail in details]
    told.thoughts += "".join(shown) or words.get("reasoning") or words.get("reasoning_content") or ""
    told.signatures += [detail["signature"] for detail in details if detail.get("signature")]
    told.sealed += [detail for detail in details if "data" in detail]
    signed = words.get("extra_content", {}).get("google", {}).get("thought_signature")
    for place, call in enumerate(words.get("tool_calls") or []):
        known = told.calls.setdefault(call.get("index", place), ["", "", "", signed or ""])
        known[0] += call.get("id", "")
        known[1] += call["function"].get("name", "")
        known[2] += call["function"]["arguments"]


def _usage(counts: Json) -> Usage:
    inputs, outputs = counts.get("prompt_tokens_details") or {}, counts.get("completion_tokens_details") or {}
    return Usage(
        counts.get("prompt_tokens", 0),
        counts.get("completion_tokens", 0),
        outputs.get("reasoning_tokens", 0),
        inputs.get("cached_tokens") or counts.get("prompt_cache_hit_tokens") or counts.get("cached_tokens", 0),
        counts.get("total_tokens", 0),
        inputs.get("cache_write_tokens", 0),
        counts.get("cost"),
    )


@pytest.mark.parametrize("name", [name for name in ANSWERED if name not in BROKEN])
def test_everything_in_an_answer_is_told(name: str) -> None:
    """Text, thoughts with signatures and seals, calls, reason and usage are those of the JSON, however it is cut."""
    response = RECORDED[name]["response"]
    told = _told(_chunks(response))
    reason = "tool_calls" if told.calls else told.reason

    for answer in _answers(response):
        thoughts = [block for block in answer.blocks if isinstance(block, Thinking)]
        assert (answer.text, answer.thoughts) == (told.text, told.thoughts)
        assert [each.signature for each in thoughts if each.signature] == told.signatures
        assert [json.loads(each.redacted) for each in thoughts if each.redacted] == told.sealed
        assert len(answer.calls) == len(told.calls)
        for call, (known, tool, arguments, signature) in zip(answer.calls, told.calls.values(), strict=True):
            assert (call.name, call.arguments, call.signature or "") == (tool, arguments, signature)
            assert call.id == known or (not known and call.id.startswith("call_"))
            assert isinstance(json.loads(call.arguments), dict)
        assert answer.finish == Finish(FinishReason(reason), _usage(told.counts))


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_an_error_inside_an_answer_comes_after_all_that_was_said(name: str) -> None:
    """Its thoughts and text are told, then what went wrong."""
    chunks = _chunks(RECORDED[name]["response"])
    said = [chunk for chunk in chunks if "error" not in chunk]
    told = _told(said)

    decoder = openai.WIRE.decoder()
    signals = [signal for chunk in chunks for signal in decoder.feed(json.dumps(chunk).encode())]

    *before, end = signals
    assert isinstance(end, Failure)
    assert "".join(signal.text for signal in before if isinstance(signal, Thought)) == told.thoughts
    assert "".join(signal.text for signal in before if isinstance(signal, Delta)) == told.text
    assert decoder.end() == end


def test_the_recordings_hold_everything_that_is_looked_for() -> None:
    """Thoughts, signatures, seals, calls and costs are told in some of them, so that nothing is compared in vain."""
    told = [_told(_chunks(RECORDED[name]["response"])) for name in ANSWERED if name not in BROKEN]

    assert sum(bool(each.thoughts) for each in told) > 5
    assert sum(bool(each.signatures) for each in told) > 3
    assert sum(bool(each.sealed) for each in told) > 2
    assert sum(bool(each.calls) for each in told) > 10
    assert sum(len(each.calls) > 1 for each in told) > 2
    assert sum("cost" in each.counts for each in told) > 10


# --- requests


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _part(part: Json) -> Part:
    if part["type"] == "text":
        mark = part.get("cache_control")
        return Text(part["text"], None if mark is None else mark.get("ttl", "5m"))
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return ImageUrl(url)
    media_type, _, data = url.removeprefix("data:").partition(";base64,")
    return Image(media_type, b64decode(data))


def _content(message: Json) -> tuple[Part, ...]:
    content = message.get("content")
    if isinstance(content, list):
        return tuple(_part(part) for part in content)
    return (Text(content),) if content else ()


def _thinking(detail: Json) -> Thinking:
    if "data" in detail:
        return Thinking("", redacted=json.dumps(detail))
    return Thinking(detail.get("text", ""), detail.get("signature"))


def _message(message: Json) -> Message:
    role, name = message["role"], message.get("name")
    if role == "tool":
        return Message(Role.USER, (ToolResult(message["tool_call_id"], (Text(message["content"]),)),))
    thoughts = [_thinking(detail) for detail in message.get("reasoning_details") or []]
    calls = [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    ]
    return Message(Role(role), (*thoughts, *_content(message), *calls), name)


def _format(wanted: Json | None) -> ResponseFormat | None:
    if wanted is None:
        return None
    schema = wanted["json_schema"]
    return ResponseFormat(_raw(schema["schema"]), schema["name"], schema.get("description"), schema.get("strict"))


def _reasoning(body: Json) -> Reasoning | None:
    wanted = body.get("reasoning", {})
    effort = wanted.get("effort", body.get("reasoning_effort"))
    budget = wanted.get("max_tokens")
    if effort is None and budget is None:
        return Reasoning(budget=-1) if wanted.get("enabled") else None
    return Reasoning(effort, budget)


KNOWN = {
    "model", "messages", "stream", "stream_options", "n", "logprobs", "temperature", "max_tokens", "tools",
    "max_completion_tokens", "tool_choice", "response_format", "reasoning", "reasoning_effort",
}  # fmt: skip


def _read(body: Json) -> Request:
    functions = [tool["function"] for tool in body.get("tools", []) if tool["type"] == "function"]
    extras = {name: _raw(value) for name, value in body.items() if name not in KNOWN}
    if body.get("tools") and not functions:
        extras["tools"] = _raw(body["tools"])
    return Request(
        "code",
        tuple(_message(message) for message in body["messages"]),
        Sampling(body.get("temperature"), max_output_tokens=body.get("max_tokens", body.get("max_completion_tokens"))),
        stream=body.get("stream", False),
        tools=tuple(
            Tool(each["name"], each["description"], _raw(each["parameters"]), each.get("strict")) for each in functions
        ),
        tool_choice=ToolChoice(ToolMode(body["tool_choice"])) if "tool_choice" in body else None,
        response_format=_format(body.get("response_format")),
        reasoning=_reasoning(body),
        extras=extras or None,
    )


def _tidy(message: Json) -> Json:
    """Return what a message comes to: some say in more words what others leave out."""
    tidied = {name: value for name, value in message.items() if value is not None}
    # Thoughts that no server of the common dialect is given back.
    tidied = {name: value for name, value in tidied.items() if name not in {"reasoning", "reasoning_content"}}
    content = tidied.get("content") or None
    if isinstance(content, list):
        content = [
            {**part, "cache_control": {"type": "ephemeral"}} if part.get("cache_control") else part for part in content
        ]
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            content = content[0]["text"]
    return {**tidied, "content": content}


def _expected(body: Json) -> Json:
    wanted = {name: value for name, value in body.items() if name not in {"n", "logprobs", "stream_options"} and value}
    wanted |= {"temperature": body["temperature"]} if "temperature" in body else {}
    if body.get("stream"):
        wanted["stream_options"] = {"include_usage": True}
    if "max_completion_tokens" in body:
        wanted["max_tokens"] = wanted.pop("max_completion_tokens")
    if "effort" in body.get("reasoning", {}):
        wanted["reasoning"] = {"effort": body["reasoning"]["effort"]}
    return {**wanted, "messages": [_tidy(message) for message in body["messages"]]}


def _wire(name: str) -> Wire:
    return openai.OPENROUTER if name.startswith("openrouter/") else openai.WIRE


@pytest.mark.parametrize("name", SENT)
def test_a_request_is_written_as_it_was_sent(name: str) -> None:
    """What was asked of these servers can be said here, and comes to the same."""
    body = RECORDED[name]["request"]["body"]
    assert body.get("n", 1) == 1
    assert not body.get("logprobs")

    written = json.loads(_wire(name).encode(_read(body), body["model"], None).body)

    written["messages"] = [{**message, "content": message["content"] or None} for message in written["messages"]]
    assert written == _expected(body)


def test_requests_to_others_are_refused_by_none_of_the_dialects() -> None:
    """What was asked and answered is not named as unsupported."""
    for name in ANSWERED:
        body = RECORDED[name]["request"]["body"]
        assert _wire(name).unsupported(_read(body), body["model"]) == ()


# --- vectors


def _vectors(body: Json) -> Vectors:
    assert openai.WIRE.embeddings is not None
    decoder = openai.WIRE.embeddings.decoder()
    (vectors,) = decoder.feed(json.dumps(body).encode())
    usage = body["usage"]
    assert decoder.end() == Finish(
        FinishReason.STOP,
        Usage(usage["prompt_tokens"], total_tokens=usage["total_tokens"], cost=usage.get("cost")),
    )
    assert isinstance(vectors, Vectors)
    return vectors


GOOD_VECTORS = [name for name in EMBEDDED if RECORDED[name]["response"]["status"] == 200]


@pytest.mark.parametrize("name", [name for name in GOOD_VECTORS if "float64" not in name])
def test_recorded_vectors_are_told_in_order(name: str) -> None:
    """Lists of numbers, or base64 of numbers of four bytes: as many as were asked for, of length one."""
    body = RECORDED[name]["response"]["body"]
    expected = [
        tuple(array("f", b64decode(item["embedding"])) if isinstance(item["embedding"], str) else item["embedding"])
        for item in sorted(body["data"], key=lambda item: item["index"])
    ]

    found = _vectors(body).vectors

    assert list(found) == expected
    assert all(math.hypot(*vector) == pytest.approx(1, abs=0.01) for vector in found)
    dimensions = RECORDED[name]["request"]["body"].get("dimensions")
    assert dimensions in {None, len(found[0])}


def test_the_recorded_vector_of_vllm_has_numbers_of_eight_bytes() -> None:
    """4096 numbers in 32768 bytes, which are of length one only if they are read so."""
    body = RECORDED["openai-compatible/vllm-embeddings-base64-float64-bug"]["response"]["body"]

    (vector,) = _vectors(body).vectors

    assert list(vector) == list(array("d", b64decode(body["data"][0]["embedding"])))
    assert len(vector) == 4096
    assert math.hypot(*vector) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", GOOD_VECTORS)
def test_a_request_for_vectors_is_written_as_it_was_sent(name: str) -> None:
    """But for the encoding, which is always numbers in text."""
    body = RECORDED[name]["request"]["body"]
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    request = Request("code", (), embedding=Embedding(tuple(inputs), body.get("dimensions")))
    assert openai.WIRE.embeddings is not None

    written = json.loads(openai.WIRE.embeddings.encode(request, body["model"], None).body)

    assert written == {**body, "input": inputs, "encoding_format": "float"}
