"""Recorded answers of real providers, through the whole server: what comes out is what the test reads in them itself.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import pytest_asyncio
from callers import EVERY_WAY, calling, post
from dialect import USAGE
from stack import configuration, synapse

from synapse.simulator import Options, Simulator

if TYPE_CHECKING:
    from stack import Stack

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
    ),
]

Json = dict[str, Any]

PATHS = ("/chat/completions", ":generateContent", ":streamGenerateContent")
BASES = {"gemini": ("gemini", ""), "openrouter": ("openrouter", "/api/v1"), "openai-compatible": ("openai", "/v1")}
"""By folder: the type of provider, and where below the simulator its API is."""
BROKEN = {
    "openai-compatible/groq-stream-tool-error-1": "provider_failed",  # an error within the stream
    "openrouter/stream-midstream-error": "invalid_request",  # likewise, but one of code 400
}
"""Answers that begin well, and what becomes of them."""
ERRORS = {
    "gemini/error-400-invalid-api-key": ("no_credentials", 503, grpc.StatusCode.FAILED_PRECONDITION),
    "gemini/error-404-unknown-model": ("provider_failed", 502, grpc.StatusCode.UNAVAILABLE),
    "gemini/error-429-quota-input-tokens": ("wait_too_long", 429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "openrouter/error-400-context-length": ("invalid_request", 400, grpc.StatusCode.INVALID_ARGUMENT),
    "openrouter/error-401": ("no_credentials", 503, grpc.StatusCode.FAILED_PRECONDITION),
    "openrouter/error-429-provider": ("wait_too_long", 429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "openai-compatible/azure-error-429-with-ratelimit-headers": (
        "wait_too_long",
        429,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ),
    "openai-compatible/deepseek-error-400-context": ("invalid_request", 400, grpc.StatusCode.INVALID_ARGUMENT),
    "openai-compatible/deepseek-error-401": ("no_credentials", 503, grpc.StatusCode.FAILED_PRECONDITION),
    "openai-compatible/groq-error-400-tool-use-failed": ("provider_failed", 502, grpc.StatusCode.UNAVAILABLE),
    "openai-compatible/groq-error-404": ("provider_failed", 502, grpc.StatusCode.UNAVAILABLE),
    "openai-compatible/ollama-cloud-error-400": ("invalid_request", 400, grpc.StatusCode.INVALID_ARGUMENT),
    "openai-compatible/ollama-cloud-error-401": ("no_credentials", 503, grpc.StatusCode.FAILED_PRECONDITION),
    "openai-compatible/openai-error-400-image-download": ("invalid_request", 400, grpc.StatusCode.INVALID_ARGUMENT),
    "openai-compatible/openai-error-400-unsupported-role": ("invalid_request", 400, grpc.StatusCode.INVALID_ARGUMENT),
    "openai-compatible/openai-error-401": ("no_credentials", 503, grpc.StatusCode.FAILED_PRECONDITION),
    "openai-compatible/openai-error-404-model": ("provider_failed", 502, grpc.StatusCode.UNAVAILABLE),
}
"""Refusals: the error's type, its status over REST, and the one over gRPC."""
NO_WORDS_SHOWN = frozenset({"wait_too_long"})
"""Errors that are Synapse's own: the provider's words for a spent quota are the log's business."""


def recorded() -> dict[str, Json]:
    """Read the recordings of requests for text, by name."""
    files = [file for folder in BASES for file in sorted((FOLDER / folder).glob("*.json"))]
    recordings = {file.relative_to(FOLDER).with_suffix("").as_posix(): json.loads(file.read_text()) for file in files}
    return {name: each for name, each in recordings.items() if each["request"]["url"].partition("?")[0].endswith(PATHS)}


RECORDED = recorded()
ANSWERS = [name for name, each in RECORDED.items() if each["response"]["status"] == 200 and name not in BROKEN]


def base(name: str) -> tuple[str, str]:
    """Return the type of provider that a recording is of, and where its API is below the simulator."""
    if "/openai/chat/" in RECORDED[name]["request"]["url"]:
        return "openai", "/v1"
    return BASES[name.partition("/")[0]]


def provider(name: str, url: str, code: str) -> Json:
    """Return a provider of its own for a recording, so that what its key suffers is its own affair."""
    kind, path = base(name)
    return {"type": kind, "base_url": url + path, "api_keys_env": "KEYS", "codes": [{"code": code, "model": name}]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a single Synapse in front of the recordings; each has a model code for each way to ask for it."""
    async with Simulator(Options(port=0, replay=FOLDER)).serve() as url:
        codes = [(f"{name}@{way}", name) for name in RECORDED for way in EVERY_WAY]
        models = {f"p{number}": provider(name, url, code) for number, (code, name) in enumerate(codes)}
        tree = configuration(models, queue={"max_wait": 0.5, "timeout": 20})
        async with synapse(tree, tmp_path_factory.mktemp("real"), environ={"KEYS": "one-key-for-all"}) as stack:
            yield stack


def pieces(response: Json) -> list[Json]:
    """Return the JSON objects that an answer consists of, however it is framed."""
    if response["body_kind"] == "json":
        return [response["body"]]
    if response["body_kind"] == "json-array-stream":
        array: list[Json] = json.loads(response["body"])
        return array
    lines = response["body"].splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line[5:].strip() != "[DONE]"]


def of_gemini(answers: list[Json]) -> Json:
    """Read what an answer of Gemini says."""
    candidates = [answer["candidates"][0] for answer in answers if answer.get("candidates")]
    parts = [part for each in candidates for part in each.get("content", {}).get("parts", ())]
    reason = [each["finishReason"] for each in candidates if "finishReason" in each][-1]
    counts = [answer["usageMetadata"] for answer in answers if "usageMetadata" in answer][-1]
    reasons = {"STOP": "tool_calls" if any("functionCall" in part for part in parts) else "stop"}
    thoughts = counts.get("thoughtsTokenCount", 0)
    taken = counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    given = counts.get("candidatesTokenCount", 0) + thoughts
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "finish_reason": {**reasons, "MAX_TOKENS": "length", "SAFETY": "content_filter"}[reason],
        "usage": {
            "input_tokens": taken,
            "output_tokens": given,
            "thinking_tokens": thoughts,
            "cached_tokens": counts.get("cachedContentTokenCount", 0),
            "total_tokens": counts.get("totalTokenCount", taken + given),
            "cache_write_tokens": 0,
            "cost": None,
        },
    }


def of_openai(answers: list[Json]) -> Json:
    """Read what an answer in OpenAI's dialect says."""
    choices = [answer["choices"][0] for answer in answers if answer.get("choices")]
    words = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    reason = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")][-1]
    reasons = {"stop": "tool_calls" if any(each.get("tool_calls") for each in words) else "stop"}
    told = [answer.get("usage") or (answer.get("x_groq") or {}).get("usage") for answer in answers]
    counts: Json = ([usage for usage in told if usage] or [{}])[-1]
    taken, given = counts.get("prompt_tokens", 0), counts.get("completion_tokens", 0)
    inputs, outputs = counts.get("prompt_tokens_details") or {}, counts.get("completion_tokens_details") or {}
    return {
        "text": "".join(each.get("content") or "" for each in words),
        "finish_reason": {**reasons, "length": "length", "tool_calls": "tool_calls"}[reason],
        "usage": {
            "input_tokens": taken,
            "output_tokens": given,
            "thinking_tokens": outputs.get("reasoning_tokens") or 0,
            "cached_tokens": inputs.get("cached_tokens") or counts.get("prompt_cache_hit_tokens") or 0,
            "total_tokens": counts.get("total_tokens") or taken + given,
            "cache_write_tokens": inputs.get("cache_write_tokens") or 0,
            "cost": counts.get("cost"),
        },
    }


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_recorded_answer_comes_out_as_it_was_given(one: Stack, name: str) -> None:
    """Text, finish reason and usage, over REST and gRPC, streamed and not."""
    read = of_gemini if base(name)[0] == "gemini" else of_openai
    expected = read(pieces(RECORDED[name]["response"]))

    outcomes = await asyncio.gather(*(ask(one, model=f"{name}@{way}") for way, ask in EVERY_WAY.items()))

    for way, outcome in zip(EVERY_WAY, outcomes, strict=True):
        assert outcome.error is None, way
        assert {"text": outcome.text, "finish_reason": outcome.finish_reason, "usage": outcome.usage} == expected, way


@pytest.mark.parametrize("name", BROKEN)
async def test_a_recorded_answer_that_breaks_off_is_an_error(one: Stack, name: str) -> None:
    """Whatever of it was shown: it does not pass for a whole answer."""
    outcomes = await asyncio.gather(*(ask(one, model=f"{name}@{way}") for way, ask in EVERY_WAY.items()))

    assert [outcome.failed.type for outcome in outcomes] == [BROKEN[name]] * len(EVERY_WAY)


def words(name: str) -> str:
    """Return the beginning of what the provider said; keys, which may stand further behind, are not shown."""
    body = RECORDED[name]["response"]["body"]
    error = (body[0] if isinstance(body, list) else body)["error"]
    said: str = error if isinstance(error, str) else error["message"]
    return said[:20]


@pytest.mark.parametrize("name", ERRORS)
async def test_a_recorded_error_comes_out_with_its_type_and_words(one: Stack, name: str) -> None:
    """The status is that of the error's type on each port, and what the provider said can be read in it."""
    kind, status, code = ERRORS[name]
    bodies = [
        {"prompt": "Say it.", "model_code": f"{name}@rest{s and '-stream'}", "stream": bool(s)} for s in ("", "s")
    ]
    calls = [calling(one, model_code=f"{name}@grpc{s and '-stream'}", stream=bool(s)) for s in ("", "s")]

    answers = await asyncio.gather(*(post(one, body) for body in bodies))
    results = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)

    assert [(answer.status, answer.error.type) for answer in answers] == [(status, kind)] * 2
    assert [isinstance(result, grpc.aio.AioRpcError) and result.code() for result in results] == [code] * 2
    details = [result.details() for result in results]
    if kind not in NO_WORDS_SHOWN:
        for message in (*(answer.error.message for answer in answers), *details):
            assert words(name) in message


async def test_every_recording_of_a_request_for_text_is_asked_for() -> None:
    """Nothing was recorded that these tests pass over."""
    assert set(RECORDED) == {*ANSWERS, *BROKEN, *ERRORS}
    assert len(ANSWERS) > 90
    assert USAGE.keys() == of_openai([{"choices": [{"message": {}, "finish_reason": "stop"}]}])["usage"].keys()
