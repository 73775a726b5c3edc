"""Real traffic of Gemini's, where it is at hand: everything that its answers hold, and its requests written again.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for, and without that these tests are skipped. What is expected is read in the JSON by this module.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import Finish, FinishReason, Vectors
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
from synapse.providers.wires import gemini
from synapse.providers.wires.gemini_answer import GeminiDecoder
from synapse.providers.wires.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[4] / "shared" / "recordings")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
)

Json = dict[str, Any]

NAMELESS = "nameless"


def _load(name: str) -> Json:
    recording: Json = json.loads((FOLDER / "gemini" / f"{name}.json").read_text(encoding="utf-8"))
    return recording


RECORDED = {path.stem: _load(path.stem) for path in sorted((FOLDER / "gemini").glob("*.json"))}


def _named(action: str, status: int | None = None) -> list[str]:
    return [
        name
        for name, each in RECORDED.items()
        if action in each["request"]["url"] and each["response"]["status"] == (status or each["response"]["status"])
    ]


ANSWERS = _named("enerateContent", 200)
REQUESTS = _named("enerateContent")
EMBEDDINGS = _named(":batchEmbedContents")
OTHERS = {
    "counttokens-1",
    "counttokens-2",
    "error-404-counttokens",
    "files-upload-start-and-finalize-1",
    "files-upload-start-and-finalize-2",
    "models-list",
    "openai-compat-endpoint-tools-1",
    "openai-compat-endpoint-tools-2",
}
"""Requests that a task never is; and Google's port for OpenAI's clients, which another wire speaks."""


def test_no_recording_is_left_out() -> None:
    """Each is an answer, a request, vectors, or something else on purpose."""
    assert set(RECORDED) == {*REQUESTS, *EMBEDDINGS, *OTHERS}
    assert len(ANSWERS) > 55
    assert len(EMBEDDINGS) == 3


# --- answers


def _objects(response: Json) -> list[Json]:
    body = response["body"]
    if response["body_kind"] == "json":
        return [body]
    if response["body_kind"] == "json-array-stream":
        array: list[Json] = json.loads(body)
        return array
    return [json.loads(line[6:]) for line in body.split("\r\n") if line.startswith("data: ")]


def _said(response: Json) -> Json:
    """Read what an answer says."""
    objects = _objects(response)
    parts = [part for each in objects for part in each["candidates"][0]["content"].get("parts", ())]
    (reason,) = {each["candidates"][0]["finishReason"] for each in objects if "finishReason" in each["candidates"][0]}
    calls = [part for part in parts if "functionCall" in part]
    counts = objects[-1]["usageMetadata"]
    thoughts = counts.get("thoughtsTokenCount", 0)
    taken = counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    given = counts.get("candidatesTokenCount", 0) + thoughts
    reasons = {"STOP": "tool_calls" if calls else "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "thoughts": "".join(part["text"] for part in parts if part.get("thought")),
        "calls": [
            (
                part["functionCall"].get("id", NAMELESS),
                part["functionCall"]["name"],
                part["functionCall"].get("args", {}),
                part.get("thoughtSignature"),
            )
            for part in calls
        ],
        "signatures": [part["thoughtSignature"] for part in parts if "thoughtSignature" in part and "text" in part],
        "finish": Finish(
            FinishReason(reasons[reason]),
            Usage(
                input_tokens=taken,
                output_tokens=given,
                thinking_tokens=thoughts,
                cached_tokens=counts.get("cachedContentTokenCount", 0),
                total_tokens=counts.get("totalTokenCount", taken + given),
            ),
        ),
    }


def _heard(events: Iterable[bytes]) -> Json:
    """Hear an answer, and put it as `_said` does."""
    decoder, collector = GeminiDecoder(lambda: NAMELESS), Collector()
    for event in events:
        for signal in decoder.feed(event):
            assert not isinstance(signal, Failure)
            assert collector.add(signal) is None  # type: ignore[arg-type]
    end = decoder.end()
    assert isinstance(end, Finish)
    answer = collector.add(end)
    assert isinstance(answer, Answer)
    return {
        "text": answer.text,
        "thoughts": answer.thoughts,
        "calls": [(call.id, call.name, json.loads(call.arguments), call.signature) for call in answer.calls],
        "signatures": [
            block.signature for block in answer.blocks if isinstance(block, Thinking) and block.signature is not None
        ],
        "finish": answer.finish,
    }


def _bodies(response: Json) -> Iterator[list[bytes]]:
    """Give the events of an answer: as it came, and cut in many ways."""
    if response["body_kind"] == "json":
        yield [json.dumps(response["body"]).encode()]
        yield [json.dumps(response["body"], indent=2, ensure_ascii=False).encode()]
        return
    body = response["body"].encode()
    if response["body_kind"] == "json-array-stream":
        yield [body]
        body = b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in _objects(response))
    random = Random(len(body))  # noqa: S311 - repeatable cuts, no secret
    for cuts in (0, 1, 7, 40, 40, min(len(body) - 1, 2000)):
        places = [0, *sorted(random.sample(range(1, len(body)), k=cuts)), len(body)]
        stream = EventStream()
        pieces = [body[a:b] for a, b in pairwise(places)]
        yield [event for piece in pieces for event in stream.feed(piece)] + stream.end()


@pytest.mark.parametrize("name", ANSWERS)
def test_everything_that_an_answer_holds_is_heard(name: str) -> None:
    """Text, thoughts, calls with ids and arguments, signatures, the reason of the end, counts, however it is cut."""
    response = RECORDED[name]["response"]
    said = _said(response)

    for events in _bodies(response):
        assert _heard(events) == said


def test_the_recordings_hold_what_there_is_to_hear() -> None:
    """Otherwise the test above would prove little."""
    said = [_said(RECORDED[name]["response"]) for name in ANSWERS]

    assert sum(bool(each["thoughts"]) for each in said) > 5
    assert sum(len(each["calls"]) > 1 for each in said) > 3
    assert sum(call[0] != NAMELESS for each in said for call in each["calls"]) > 3
    assert sum(call[3] is not None for each in said for call in each["calls"]) > 8
    assert sum(bool(each["signatures"]) for each in said) > 5
    assert {each["finish"].reason for each in said} == set(FinishReason)


# --- vectors


@pytest.mark.parametrize("name", [name for name in EMBEDDINGS if RECORDED[name]["response"]["status"] == 200])
def test_recorded_vectors_are_heard_as_they_were_given(name: str) -> None:
    """Each number, and the tokens where they are told."""
    wire = gemini.WIRE.embeddings
    assert wire is not None
    body = RECORDED[name]["response"]["body"]
    decoder = wire.decoder()

    signals = list(decoder.feed(json.dumps(body).encode()))

    tokens = body.get("usageMetadata", {}).get("promptTokenCount", 0)
    assert signals == [Vectors(tuple(tuple(each["values"]) for each in body["embeddings"]))]
    assert decoder.end() == Finish(FinishReason.STOP, Usage(input_tokens=tokens, total_tokens=tokens))


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_recorded_requests_for_vectors_are_written_again(name: str) -> None:
    """From what they ask for."""
    wire = gemini.WIRE.embeddings
    assert wire is not None
    recorded = RECORDED[name]["request"]["body"]
    first = recorded["requests"][0]
    inputs = tuple(each["content"]["parts"][0]["text"] for each in recorded["requests"])
    extras = {"taskType": _raw(first["taskType"])} if "taskType" in first else None
    request = Request("code", (), embedding=Embedding(inputs, first.get("outputDimensionality")), extras=extras)

    call = wire.encode(request, first["model"], None)

    assert json.loads(call.body) == recorded
    assert RECORDED[name]["request"]["url"].endswith(call.path)


# --- requests


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _camel(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Spell fields as Gemini does, but for the names that callers give: those of arguments, labels, schemas."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    spelled = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): each for name, each in value.items()}
    own = {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"}
    return {name: each if name in own else _camel(each) for name, each in spelled.items()}


def _bytes(data: str) -> bytes:
    return b64decode(data.replace("-", "+").replace("_", "/"))


def _part(part: Json) -> Part:
    match part:
        case {"text": text, "thoughtSignature": signature}:
            return Thinking(text, signature)
        case {"text": text}:
            return Text(text)
        case {"inlineData": {"mimeType": media_type, "data": data}}:
            return Image(media_type, _bytes(data))
        case {"fileData": {"fileUri": url}}:
            return ImageUrl(url)
        case {"functionCall": call}:
            return ToolCall(call.get("id", ""), call["name"], json.dumps(call["args"]), part.get("thoughtSignature"))
        case {"functionResponse": given}:
            return ToolResult(given.get("id", ""), (Text(json.dumps(given["response"])),), given["name"])
    raise AssertionError(part)


def _messages(body: Json) -> Iterator[Message]:
    roles = {"user": Role.USER, "model": Role.ASSISTANT}
    if "systemInstruction" in body:
        yield Message(Role.SYSTEM, tuple(_part(part) for part in body["systemInstruction"]["parts"]))
    for turn in body["contents"]:
        yield Message(roles[turn["role"]], tuple(_part(part) for part in turn["parts"]))


def _tools(body: Json) -> Iterator[Tool]:
    strict = True if body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode") == "VALIDATED" else None
    for tool in body.get("tools", ()):
        for each in tool.get("functionDeclarations", ()):
            schema = each.get("parametersJsonSchema", each.get("parameters"))
            yield Tool(each["name"], each["description"], None if schema is None else _raw(schema), strict)


def _choice(body: Json) -> ToolChoice | None:
    config = body.get("toolConfig", {}).get("functionCallingConfig")
    if config is None:
        return None
    modes = {"AUTO": ToolMode.AUTO, "VALIDATED": ToolMode.AUTO, "NONE": ToolMode.NONE, "ANY": ToolMode.REQUIRED}
    return ToolChoice(modes[config["mode"]], tuple(config.get("allowedFunctionNames", ())))


def _request(body: Json) -> Request:
    """Read a recorded request. What only Gemini knows becomes extras."""
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig")
    own = [tool for tool in body.get("tools", ()) if "functionDeclarations" not in tool]
    google = {
        "safetySettings": body.get("safetySettings"),
        "tools": own or None,
        "responseModalities": config.get("responseModalities"),
        "responseSchema": config.get("responseSchema"),
    }
    schema = config.get("responseJsonSchema")
    return Request(
        "code",
        tuple(_messages(body)),
        Sampling(
            temperature=config.get("temperature"),
            max_output_tokens=config.get("maxOutputTokens"),
            stop=tuple(config.get("stopSequences", ())),
        ),
        tools=tuple(_tools(body)),
        tool_choice=_choice(body),
        response_format=None
        if "responseMimeType" not in config
        else ResponseFormat(None if schema is None else _raw(schema)),
        reasoning=None
        if thinking is None
        else Reasoning(
            thinking["thinkingLevel"].lower() if "thinkingLevel" in thinking else None,
            thinking.get("thinkingBudget"),
            thinking.get("includeThoughts"),
        ),
        extras={"google": _raw({name: value for name, value in google.items() if value is not None})},
    )


EQUAL_BUDGETS = {"stream-reasoning-gemini35": {"thinkingLevel": "LOW"}}
"""Where a model that thinks on levels was given a budget: it is told the level instead."""


def _plain(body: Json, name: str) -> Json:
    """Leave out of a request what says nothing, and say in one way what can be said in several."""
    plain = {key: value for key, value in body.items() if value not in ({}, [])}
    if "systemInstruction" in plain:
        plain["systemInstruction"] = {"parts": plain["systemInstruction"]["parts"]}
    plain["contents"] = _plain_turns(body["contents"])
    for tool in plain.get("tools", ()):
        for each in tool.get("functionDeclarations", ()):
            each["description"] = each["description"] or ""
            if "parameters" in each:
                each["parametersJsonSchema"] = each.pop("parameters")
    thinking = plain.get("generationConfig", {}).get("thinkingConfig", {})
    if "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].upper()
    if name in EQUAL_BUDGETS:
        thinking.pop("thinkingBudget", None)
        thinking |= EQUAL_BUDGETS[name]
    return plain


def _plain_part(part: Json) -> Json:
    """Compare files by their bytes: they may be written in two alphabets."""
    if "inlineData" not in part:
        return part
    return {**part, "inlineData": {**part["inlineData"], "data": _bytes(part["inlineData"]["data"])}}


def _plain_turns(turns: list[Json]) -> list[Json]:
    """Leave out empty text, and make one of turns of one side."""
    plain: list[Json] = []
    for turn in turns:
        parts = [_plain_part(part) for part in turn["parts"] if part.get("text") != ""]
        if plain and plain[-1]["role"] == turn["role"]:
            plain[-1]["parts"] += parts
        elif parts:
            plain.append({"role": turn["role"], "parts": parts})
    return plain


@pytest.mark.parametrize("name", REQUESTS)
def test_a_recorded_request_is_written_again(name: str) -> None:
    """Read into what any caller could have asked for, it comes out with the same meaning; nothing of it is refused."""
    recorded = _camel(RECORDED[name]["request"]["body"])
    model = RECORDED[name]["request"]["url"].partition("/models/")[2].partition(":")[0]
    request = _request(recorded)

    sent = json.loads(gemini.WIRE.encode(request, model, None).body)

    assert _plain(sent, name) == _plain(recorded, name)
    assert gemini.WIRE.unsupported(request, model) == ()
