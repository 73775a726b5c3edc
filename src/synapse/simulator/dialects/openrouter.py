"""OpenRouter's chat completions, embeddings and models: OpenAI's, with differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.quota import Measure
from synapse.simulator.dialects import chat, chat_embeddings
from synapse.simulator.dialects.base import (
    Ask,
    Form,
    Generate,
    Headers,
    Models,
    Refusal,
    Reply,
    Request,
    Stream,
    Target,
)
from synapse.simulator.dialects.openrouter_answer import COMMENT, DONE, STREAM_HEADERS, Chunks, plain
from synapse.simulator.faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.simulator.quota import Standing, Violation
    from synapse.simulator.text import Answer

NAME = "openrouter"
ZONE = "UTC"
MODELS_NEED_KEY = False

_JSON: Headers = [(b"content-type", b"application/json")]
_NAMES = ("anthropic/claude-haiku-4.5", "google/gemini-2.5-flash", "openai/gpt-5-mini", "z-ai/glm-4.5-air:free")
_UPSTREAM = {"provider_name": "Simulator", "raw": "The model is rate-limited upstream for now. Please retry shortly."}
_FAULTS: dict[FaultKind, tuple[int, str, dict[str, object] | None]] = {
    FaultKind.RATE_LIMITED: (429, "Provider returned error", {**_UPSTREAM}),
    FaultKind.INTERNAL: (500, "Internal Server Error", None),
    FaultKind.UNAVAILABLE: (503, "No provider is available", {"error_type": "provider_overloaded"}),
}
FREE = ":free"
"""Ends the names of free models, and is the name of them all together where limits span them."""
_QUOTAS = {
    Measure.RPM: "requests-per-min.",
    Measure.TPM: "tokens-per-min.",
    Measure.RPD: "requests-per-day.",
    Measure.TPD: "tokens-per-day.",
    Measure.CONCURRENCY: "concurrent-requests.",
}
_FREE_QUOTAS = _QUOTAS | {
    Measure.RPM: "free-models-per-min.",
    Measure.RPD: "free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
}


def route(request: Request) -> Target | None:
    """Find the routes of chat completions below `/api/v1/`."""
    return chat.route(request) if "/api/v1/" in request.path else None


key = chat.bearer


def refuse(_target: Target, found: str | None) -> Reply:
    """Give the error of a request without a key, or with one that nobody has."""
    return error(401, "User not found." if found else "Missing Authentication header")


def span(model: str) -> str:
    """Return the name of all free models for one of them: they share their limits."""
    return FREE if model.endswith(FREE) else model


def read(_request: Request, target: Generate, body: bytes) -> Ask:
    """Read a request, letting unknown fields pass."""
    take = chat_embeddings.read if target.vectors else chat.read
    ask = take(body, lambda mistake: Refusal(error(400, mistake.message)))
    if ask.model.startswith("missing"):
        raise Refusal(error(400, f"{ask.model} is not a valid model ID"))
    return ask


def reply(ask: Ask, answer: Answer) -> Reply:
    """Give the answer in one piece."""
    return Reply(200, plain(ask, answer), [*_JSON, _generation_id(answer)])


def embed(ask: Ask) -> Reply:
    """Give the vectors of texts."""
    return _reply(200, chat_embeddings.answer(ask))


def stream(ask: Ask, answer: Answer) -> Stream:
    """Give the answer token by token, with comments for as long as there is none, and some between."""
    chunks = Chunks(ask, answer)
    return Stream(
        [*STREAM_HEADERS, _generation_id(answer)],
        chunks.deltas(),
        answer.output_tokens,
        opening=COMMENT,
        tail=[*chunks.ends(), chunks.usage(), DONE],
        heartbeat=COMMENT,
    )


def broken(_form: Form) -> bytes:
    """Return a chunk that breaks off."""
    return b'data: {"id":"gen-","provider":"Simul\n\n'


def fault(_ask: Ask, kind: FaultKind) -> Reply:
    """Give an error status that has nothing to do with the request; its 429 comes from a provider behind it."""
    status, message, metadata = _FAULTS[kind]
    return error(status, message, metadata)


def over_quota(ask: Ask, violations: Sequence[Violation], _standing: Standing, now: float) -> Reply:
    """Give the 429 of OpenRouter's own limits, whose headers are in the body too."""
    last = max(violations, key=lambda violation: violation.opens_in)
    told = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(round((now + last.opens_in) * 1000))}
    if last.limit is not None:
        told = {"X-RateLimit-Limit": str(last.limit), **told}
    names = _FREE_QUOTAS if span(ask.model) == FREE else _QUOTAS
    refusal = error(429, f"Rate limit exceeded: {names[last.measure]}", {"headers": told})
    refusal.headers = [*refusal.headers, *((name.lower().encode(), value.encode()) for name, value in told.items())]
    return refusal


def allowance(_standing: Standing, _now: float) -> Headers:
    """Return no headers: only a 429 tells what is left."""
    return []


def not_found(_target: Target, _form: Form, message: str) -> Reply:
    """Give the 404 of a model that is not there."""
    return error(404, message)


def models(_request: Request, target: Models, recorded: bytes | None) -> Reply:
    """Give the models, or one of them. No key is needed for it."""
    if recorded is not None:
        return Reply(200, recorded, _JSON)
    if target.name is None:
        entries = [_entry(name) for name in _NAMES]
        return _reply(200, {"data": entries, "total_count": len(entries), "links": {"next": None}})
    if target.name.startswith("missing"):
        return error(404, "Model not found")
    return _reply(200, {"data": _entry(target.name)})


def error(status: int, message: str, metadata: dict[str, object] | None = None) -> Reply:
    """Give an error: its code is a number, and it has no type."""
    content: dict[str, object] = {"message": message, "code": status}
    if metadata is not None:
        content["metadata"] = metadata
    return _reply(status, {"error": content})


def _generation_id(answer: Answer) -> tuple[bytes, bytes]:
    return b"x-generation-id", b"gen-%d-%b" % (answer.created, answer.id[:20].encode())


def _entry(name: str) -> dict[str, object]:
    return {
        "id": name,
        "canonical_slug": name,
        "name": name,
        "created": 1700000000,
        "description": "A model of the simulator",
        "context_length": 1048576,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"], "tokenizer": "Other"},
        "pricing": {"prompt": "0", "completion": "0"},
        "top_provider": {"context_length": 1048576, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["max_tokens", "stop", "temperature", "top_p"],
        "expiration_date": None,
    }


def _reply(status: int, content: object) -> Reply:
    return Reply(status, msgspec.json.encode(content), [*_JSON])
