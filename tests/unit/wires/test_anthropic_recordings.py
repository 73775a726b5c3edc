"""Real traffic of Anthropic's, where it is at hand: everything that its answers hold, and its requests written again.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for, and without that these tests are skipped. What is expected is read in the JSON by this module.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought
from synapse.domain.failure import FailureClass
from synapse.domain.quota import Measure
from synapse.domain.request import (
    Document,
    Image,
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
from synapse.providers.wires import anthropic
from synapse.providers.wires.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[4] / "shared" / "recordings")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
)

Json = dict[str, Any]


def _load(path: Path) -> Json:
    recording: Json = json.loads(path.read_text(encoding="utf-8"))
    return recording


RECORDED = {path.stem: _load(path) for path in sorted((FOLDER / "anthropic").glob("*.json"))}


def _is_message(recording: Json) -> bool:
    return recording["request"]["url"].partition("?")[0].endswith("/v1/messages")


SENT = [name for name, each in RECORDED.items() if _is_message(each)]
ANSWERED = [name for name in SENT if RECORDED[name]["response"]["status"] == 200]
OTHERS = {
    "count-tokens-1",
    "count-tokens-2",
    "error-404-count-tokens",
    "message-batch-create",
    "message-batch-ended",
    "message-batch-results",
}
"""Of other APIs, which this wire does not speak."""


def test_no_recording_is_left_out() -> None:
    """Every one is of an API that is known here."""
    assert set(RECORDED) - set(SENT) == OTHERS
    assert len(ANSWERED) > 15


# --- answers


def _events(body: str) -> list[Json]:
    return [json.loads(line.removeprefix("data: ")) for line in body.split("\n") if line.startswith("data: ")]


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
            yield _collected([json.dumps(response["body"], indent=indent, ensure_ascii=indent is None).encode()])
        return
    for pieces in _pieces(response["body"].encode()):
        stream = EventStream()
        yield _collected([*(data for piece in pieces for data in stream.feed(piece)), *stream.end()])


def _collected(events: Iterable[bytes]) -> Answer:
    decoder, collector = anthropic.WIRE.decoder(), Collector()
    for event in events:
        for signal in decoder.feed(event):
            assert isinstance(signal, Delta | Thought | CallDelta), signal
            collector.add(signal)
    end = decoder.end()
    assert isinstance(end, Finish), end
    answer = collector.add(end)
    assert answer is not None
    return answer


def _whole(response: Json) -> Json:
    """Put the message of a stream together as its documentation says."""
    if response["body_kind"] == "json":
        message: Json = response["body"]
        return message
    whole: Json = {}
    pieces: dict[int, list[str]] = {}
    for event in _events(response["body"]):
        match event["type"]:
            case "message_start":
                whole = {**event["message"], "content": []}
            case "content_block_start":
                whole["content"].append(event["content_block"])
            case "content_block_delta":
                _add(whole["content"][event["index"]], event["delta"], pieces.setdefault(event["index"], []))
            case "message_delta":
                whole |= event["delta"]
                whole["usage"] |= event["usage"]
            case _:
                pass
    for index, written in pieces.items():
        if whole["content"][index]["type"] == "tool_use":
            whole["content"][index]["input"] = json.loads("".join(written) or "{}")
    return whole


def _add(block: Json, delta: Json, pieces: list[str]) -> None:
    match delta["type"]:
        case "input_json_delta":
            pieces.append(delta["partial_json"])
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case _:
            pass


def _block(block: Json) -> object:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "thinking":
            return Thinking(block["thinking"], block["signature"])
        case "redacted_thinking":
            return Thinking("", redacted=block["data"])
        case _:
            return (block["id"], block["name"], block["input"])


def _readable(block: object) -> object:
    return (block.id, block.name, json.loads(block.arguments)) if isinstance(block, ToolCall) else block


def _usage(counts: Json) -> Usage:
    written, read = counts["cache_creation_input_tokens"], counts["cache_read_input_tokens"]
    taken, given = counts["input_tokens"] + written + read, counts["output_tokens"]
    thought = (counts.get("output_tokens_details") or {}).get("thinking_tokens", 0)
    return Usage(taken, given, thought, read, taken + given, written)


REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
}


def _check(response: Json) -> None:
    message = _whole(response)
    expected = [_block(block) for block in message["content"]]
    text = "".join(block.text for block in expected if isinstance(block, Text))
    finish = Finish(REASONS[message["stop_reason"]], _usage(message["usage"]), stop_sequence=message["stop_sequence"])

    for answer in _answers(response):
        assert (answer.text, answer.finish) == (text, finish)
        if answer.blocks:
            assert [_readable(block) for block in answer.blocks] == expected
        else:
            assert all(isinstance(block, Text) for block in expected)


@pytest.mark.parametrize("name", ANSWERED)
def test_everything_in_an_answer_is_told(name: str) -> None:
    """Text, thoughts, calls, the end and what it took are those of the JSON, in order, however it is cut."""
    _check(RECORDED[name]["response"])


def test_the_message_in_a_batchs_results_is_an_answer_too() -> None:
    """It is the same as that of a request by itself."""
    result = RECORDED["message-batch-results"]["response"]["body"]["result"]

    _check({"body_kind": "json", "body": result["message"]})


def test_the_recordings_hold_everything_that_is_looked_for() -> None:
    """Each kind of block is in some of them, and each end, so that nothing is compared in vain."""
    messages = [_whole(RECORDED[name]["response"]) for name in ANSWERED]

    kinds = [block["type"] for message in messages for block in message["content"]]
    assert {kind: kinds.count(kind) > 1 for kind in kinds} == dict.fromkeys(
        ("text", "thinking", "redacted_thinking", "tool_use"), True
    )
    assert {message["stop_reason"] for message in messages} == {"end_turn", "stop_sequence", "tool_use"}
    assert any(message["usage"].get("output_tokens_details") for message in messages)


ERRORS = {
    "error-400-effort": (FailureClass.CALLER_FAULT, "does not support effort level 'xhigh'"),
    "error-400-too-long": (FailureClass.CALLER_FAULT, "prompt is too long: 3333404 tokens > 200000 maximum"),
    "error-401": (FailureClass.CREDENTIAL_DEAD, "invalid x-api-key"),
    "error-404-count-tokens": (FailureClass.MODEL_GONE, "model: claude-does-not-exist"),
    "error-404-model": (FailureClass.MODEL_GONE, "model: claude-sonet-4-5"),
}


def test_every_recorded_error_teaches_what_it_ought_to() -> None:
    """The class, the status and Anthropic's own words; there is no other error among the recordings."""
    assert {name for name, each in RECORDED.items() if each["response"]["status"] >= 400} == set(ERRORS)
    for name, (kind, words) in ERRORS.items():
        response = RECORDED[name]["response"]

        failure = anthropic.WIRE.classify(
            response["status"], response["headers"], json.dumps(response["body"]).encode()
        )

        assert (failure.kind, failure.status, failure.retry_after) == (kind, response["status"], None)
        assert words in failure.message


def test_recorded_headers_tell_of_limits() -> None:
    """Of requests and of input, with the seconds until they are whole again."""
    assert anthropic.WIRE.headroom is not None
    told = {name: anthropic.WIRE.headroom(RECORDED[name]["response"]["headers"]) for name in ANSWERED}

    assert sum(bool(each) for each in told.values()) > 10
    for name, headroom in told.items():
        headers = RECORDED[name]["response"]["headers"]
        named = (("requests", Measure.RPM), ("input-tokens", Measure.TPM))
        for each, (what, measure) in zip(headroom, named, strict=bool(headroom)):
            assert (each.measure, each.limit) == (measure, int(headers[f"anthropic-ratelimit-{what}-limit"]))
            assert each.remaining == int(headers[f"anthropic-ratelimit-{what}-remaining"])
            assert each.resets_in is not None
            assert 0 <= each.resets_in < 60


# --- requests


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _part(block: Json) -> Part:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "image":
            return Image(block["source"]["media_type"], b64decode(block["source"]["data"]))
        case "document":
            return Document("text/plain", block["source"]["data"].encode(), block["title"])
        case "thinking":
            return Thinking(block["thinking"], block["signature"])
        case "tool_use":
            return ToolCall(block["id"], block["name"], json.dumps(block["input"]))
        case _:
            content = block["content"]
            texts = [content] if isinstance(content, str) else [each["text"] for each in content]
            return ToolResult(block["tool_use_id"], tuple(Text(text) for text in texts))


def _reasoning(body: Json) -> Reasoning | None:
    thinking, effort = body.get("thinking"), body.get("output_config", {}).get("effort")
    if thinking is None:
        return None if effort is None else Reasoning(effort)
    shown = {"summarized": True, "omitted": False}.get(thinking.get("display", ""))
    return Reasoning(effort, -1 if thinking["type"] == "adaptive" else thinking["budget_tokens"], shown)


def _read(body: Json) -> Request:
    schema = body.get("output_config", {}).get("format")
    system = [Message(Role.SYSTEM, (Text(block["text"]),)) for block in body.get("system", ())]
    return Request(
        "code",
        (*system, *(Message(Role(each["role"]), tuple(map(_part, each["content"]))) for each in body["messages"])),
        Sampling(
            body.get("temperature"),
            max_output_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences", ())),
        ),
        stream=body["stream"],
        tools=tuple(
            Tool(tool["name"], tool["description"], _raw(tool["input_schema"])) for tool in body.get("tools", ())
        ),
        tool_choice=ToolChoice(ToolMode(body["tool_choice"]["type"])) if "tool_choice" in body else None,
        response_format=None if schema is None else ResponseFormat(_raw(schema["schema"])),
        reasoning=_reasoning(body),
    )


def _tidy(block: Json) -> Json:
    """Return what a block comes to: a string is one text, and a citation is not to be asked for here."""
    if block["type"] == "tool_result" and isinstance(block["content"], str):
        return {**block, "content": [{"type": "text", "text": block["content"]}]}
    return {name: value for name, value in block.items() if name != "citations"}


def _expected(body: Json) -> Json:
    messages = [{**message, "content": [_tidy(block) for block in message["content"]]} for message in body["messages"]]
    for message in messages:
        blocks = message["content"]
        if len(blocks) == 1 and blocks[0]["type"] == "text":
            message["content"] = blocks[0]["text"]
    return {name: value for name, value in {**body, "messages": messages}.items() if value is not False}


UNKNOWN_EFFORT = "error-400-effort"
"""Refused for an effort that the model does not have: here the nearest one is asked for, and the model is to think."""


@pytest.mark.parametrize("name", [name for name in SENT if name != UNKNOWN_EFFORT])
def test_a_request_is_written_as_it_was_sent(name: str) -> None:
    """What was asked of Anthropic can be said here, and comes to the same."""
    body = RECORDED[name]["request"]["body"]

    written = json.loads(anthropic.WIRE.encode(_read(body), body["model"], None).body)

    assert written == _expected(body)


def test_the_effort_that_was_refused_is_not_asked_for() -> None:
    """The nearest one that the model has is."""
    body = RECORDED[UNKNOWN_EFFORT]["request"]["body"]

    written = json.loads(anthropic.WIRE.encode(_read(body), body["model"], None).body)

    assert written == {**_expected(body), "output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}}


def test_what_was_answered_is_not_named_as_unsupported() -> None:
    """A request that went well must not be refused here."""
    for name in ANSWERED:
        body = RECORDED[name]["request"]["body"]
        assert anthropic.WIRE.unsupported(_read(body), body["model"]) == ()
