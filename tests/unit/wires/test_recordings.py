"""Real traffic, where it is at hand: what the wires hear is what stands in the recorded JSON.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for, and without that these tests are skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from synapse.domain.events import Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Violation
from synapse.domain.usage import Usage
from synapse.providers.wires import gemini, openai
from synapse.testing.wire_contract import Heard, hear, hear_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.providers.wires.base import Wire

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[4] / "shared" / "recordings")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
)

Json = dict[str, Any]
"""Recorded JSON, walked as the reader of a log would."""


def _load(name: str) -> Json:
    recording: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return recording


def _recorded(*actions: str) -> Iterator[tuple[str, int]]:
    for path in sorted(FOLDER.glob("*/*.json")):
        name = f"{path.parent.name}/{path.stem}"
        recording = _load(name)
        if any(action in recording["request"]["url"] for action in actions):
            yield name, recording["response"]["status"]


GEMINI = [name for name, status in _recorded(":generateContent", ":streamGenerateContent") if status == 200]
CHAT = [name for name, status in _recorded("chat/completions") if status == 200]


def objects(response: Json) -> list[Json]:
    """Return the JSON of an answer, whatever it was framed in."""
    body = response["body"]
    if response["body_kind"] == "json":
        return [body]
    if response["body_kind"] == "json-array-stream":
        return list(json.loads(body))
    lines = [
        line.removeprefix("data: ") for line in body.replace("\r\n", "\n").split("\n") if line.startswith("data: ")
    ]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def stream_of(response: Json) -> bytes | None:
    """Return the bytes of a stream as server-sent events; None for a plain answer."""
    if response["body_kind"] == "sse":
        return str(response["body"]).encode()
    if response["body_kind"] == "json-array-stream":
        return b"".join(b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in objects(response))
    return None


def check(wire: Wire, response: Json, expected: Heard) -> None:
    """Compare what is heard with what was expected: whole, byte by byte, and cut at random."""
    body = stream_of(response)
    if body is None:
        assert hear_plain(wire, json.dumps(response["body"]).encode()) == expected
        assert hear_plain(wire, json.dumps(response["body"], ensure_ascii=False, indent=2).encode()) == expected
        return
    assert hear(wire, [body]) == expected
    assert hear(wire, (body[place : place + 1] for place in range(len(body)))) == expected
    random = Random(len(body))  # noqa: S311 - repeatable cuts, no secret
    for _ in range(10):
        cuts = sorted(random.sample(range(len(body)), k=min(40, len(body))))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        assert hear(wire, pieces) == expected


def _heard_at_gemini(answers: list[Json]) -> Heard:
    parts: list[Json] = []
    reasons, usages = [], []
    for answer in answers:
        candidate = answer["candidates"][0]
        parts += candidate["content"].get("parts", [])
        reasons += [candidate["finishReason"]] if "finishReason" in candidate else []
        usages.append(answer["usageMetadata"])
    names = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}
    called = any("functionCall" in part for part in parts)
    reason = "tool_calls" if called and reasons[-1] == "STOP" else names[reasons[-1]]
    counts = usages[-1]
    taken = counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    thought = counts.get("thoughtsTokenCount", 0)
    given = counts.get("candidatesTokenCount", 0) + thought
    usage = Usage(
        input_tokens=taken,
        output_tokens=given,
        thinking_tokens=thought,
        cached_tokens=counts.get("cachedContentTokenCount", 0),
        total_tokens=counts.get("totalTokenCount", taken + given),
    )
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    return Heard(text, Finish(FinishReason(reason), usage))


@pytest.mark.parametrize("name", GEMINI)
def test_an_answer_of_gemini_is_heard_as_recorded(name: str) -> None:
    """Text, finish reason and usage are those of the recorded JSON, however the stream is cut."""
    response = _load(name)["response"]

    check(gemini.WIRE, response, _heard_at_gemini(objects(response)))


ENDED_BADLY = {
    "openrouter/stream-midstream-error": (FailureClass.CALLER_FAULT, "Token limit reached"),
    "openai-compatible/groq-stream-tool-error-1": (FailureClass.TRANSIENT, "Tool call validation failed"),
}


def _heard_in_chat(name: str, answers: list[Json]) -> Heard:
    text, reasons, called = "", [], False
    counts: Json = {}
    for answer in answers:
        if name in ENDED_BADLY and "error" in answer:
            return Heard(text, Failure(ENDED_BADLY[name][0], answer["error"]["message"]))
        counts = answer.get("usage") or answer.get("x_groq", {}).get("usage") or counts
        for choice in answer["choices"]:
            words = choice.get("delta") or choice.get("message") or {}
            text += words.get("content") or ""
            called = called or bool(words.get("tool_calls"))
            reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    reason = "tool_calls" if called and reasons[-1] == "stop" else reasons[-1]
    details = counts.get("prompt_tokens_details") or {}
    usage = Usage(
        input_tokens=counts.get("prompt_tokens", 0),
        output_tokens=counts.get("completion_tokens", 0),
        thinking_tokens=(counts.get("completion_tokens_details") or {}).get("reasoning_tokens", 0),
        cached_tokens=details.get("cached_tokens") or counts.get("prompt_cache_hit_tokens", 0),
        total_tokens=counts.get("total_tokens", 0),
        cache_write_tokens=details.get("cache_write_tokens", 0),
        cost=counts.get("cost"),
    )
    return Heard(text, Finish(FinishReason(reason), usage))


@pytest.mark.parametrize("name", CHAT)
def test_a_chat_completion_is_heard_as_recorded(name: str) -> None:
    """Text, finish reason and usage are those of the recorded JSON, however the stream is cut."""
    response = _load(name)["response"]
    expected = _heard_in_chat(name, objects(response))

    check(openai.WIRE, response, expected)
    assert (name in ENDED_BADLY) == isinstance(expected.end, Failure)


ERRORS: dict[str, tuple[FailureClass, float | None, str]] = {
    "gemini/error-400-invalid-api-key": (FailureClass.CREDENTIAL_DEAD, None, "API key not valid"),
    "gemini/error-404-counttokens": (FailureClass.MODEL_GONE, None, "is not found for API version"),
    "gemini/error-404-embed": (FailureClass.MODEL_GONE, None, "is not found for API version"),
    "gemini/error-404-unknown-model": (FailureClass.MODEL_GONE, None, "is not found for API version"),
    "gemini/error-429-quota-input-tokens": (FailureClass.QUOTA_MINUTE, 49.0, "Please retry in"),
    "openai-compatible/azure-error-429-with-ratelimit-headers": (FailureClass.QUOTA_MINUTE, 1.0, "exceeded rate limit"),
    "openai-compatible/deepseek-error-400-context": (FailureClass.CALLER_FAULT, None, "maximum context length"),
    "openai-compatible/deepseek-error-401": (FailureClass.CREDENTIAL_DEAD, None, "Authentication Fails"),
    "openai-compatible/groq-error-400-tool-use-failed": (FailureClass.TRANSIENT, None, "Tool call validation failed"),
    "openai-compatible/groq-error-404": (FailureClass.MODEL_GONE, None, "does not exist"),
    "openai-compatible/ollama-cloud-error-400": (FailureClass.CALLER_FAULT, None, "prompt too long"),
    "openai-compatible/ollama-cloud-error-401": (FailureClass.CREDENTIAL_DEAD, None, "Unauthorized"),
    "openai-compatible/openai-error-400-image-download": (FailureClass.CALLER_FAULT, None, "Error while downloading"),
    "openai-compatible/openai-error-400-responses-context-length": (FailureClass.CALLER_FAULT, None, "context window"),
    "openai-compatible/openai-error-400-unsupported-role": (FailureClass.CALLER_FAULT, None, "Unsupported value"),
    "openai-compatible/openai-error-401": (
        FailureClass.CREDENTIAL_DEAD,
        None,
        "Incorrect API key provided: [redacted]",
    ),
    "openai-compatible/openai-error-404-embedding-model": (FailureClass.MODEL_GONE, None, "does not exist"),
    "openai-compatible/openai-error-404-model": (FailureClass.MODEL_GONE, None, "does not exist"),
    "openai-responses/error-400": (FailureClass.CALLER_FAULT, None, "Invalid 'temperature'"),
    "openai-responses/error-401": (FailureClass.CREDENTIAL_DEAD, None, "Incorrect API key provided"),
    "openrouter/error-400-context-length": (FailureClass.CALLER_FAULT, None, "maximum context length"),
    "openrouter/error-401": (FailureClass.CREDENTIAL_DEAD, None, "Missing Authentication header"),
    "openrouter/error-429-provider": (FailureClass.RATE_LIMITED, None, "temporarily rate-limited upstream"),
}
"""What each recorded error teaches, after how many seconds to come back, and words of its message."""


@pytest.mark.parametrize("name", ERRORS)
def test_a_recorded_error_teaches_what_it_ought_to(name: str) -> None:
    """The class, the delay and the provider's own words."""
    response = _load(name)["response"]
    wire = gemini.WIRE if name.startswith("gemini/") else openai.WIRE
    kind, retry_after, words = ERRORS[name]

    failure = wire.classify(response["status"], response["headers"], json.dumps(response["body"]).encode())

    assert (failure.kind, failure.retry_after, failure.status) == (kind, retry_after, response["status"])
    assert words in failure.message


def test_the_recorded_quota_is_told_with_its_limit() -> None:
    """That of a minute's input tokens, in the paid tier; no other recorded error names a limit."""
    told = {}
    for name in ERRORS:
        response = _load(name)["response"]
        wire = gemini.WIRE if name.startswith("gemini/") else openai.WIRE
        failure = wire.classify(response["status"], response["headers"], json.dumps(response["body"]).encode())
        told[name] = failure.violations

    assert {name: violations for name, violations in told.items() if violations} == {
        "gemini/error-429-quota-input-tokens": (Violation(Measure.TPM, 1_000_000),)
    }


def test_recorded_answers_tell_of_tokens_where_their_resets_were_not_recorded() -> None:
    """Without a reset nothing tells a minute's requests from a day's."""
    told = {}
    for name, status in _recorded(""):
        if status == 200 and openai.WIRE.headroom is not None:
            told[name] = openai.WIRE.headroom(_load(name)["response"]["headers"])

    assert {name: headroom for name, headroom in told.items() if headroom} == {
        "openai-compatible/openai-embeddings-float": (Headroom(Measure.TPM, 1_000_000, 999_992),),
        "openai-compatible/openai-stream-tools-parallel-1": (Headroom(Measure.TPM, 160_000, 159_970),),
        "openai-compatible/openai-stream-tools-parallel-2": (Headroom(Measure.TPM, 50_000_000, 49_999_985),),
        "openai-responses/stream-tools-gpt5-nano": (Headroom(Measure.TPM, 2_000_000, 1_999_446),),
    }


def test_no_recording_of_these_dialects_is_left_out() -> None:
    """Every recorded error of these providers stands in the table, and there are answers of each kind."""
    errors = {name for name, status in _recorded("") if status >= 400 and not name.startswith("anthropic/")}
    kinds = {_load(name)["response"]["body_kind"] for name in GEMINI + CHAT}

    assert errors == set(ERRORS)
    assert kinds == {"json", "sse", "json-array-stream"}
    assert len(GEMINI) > 50
    assert len(CHAT) > 50
