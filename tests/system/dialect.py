"""What providers say, written down by hand: the bytes of OpenAI's dialect and of Gemini's."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from synapse.testing.upstream import END, chunk, events, head, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synapse.testing.upstream import Call

USAGE = {
    "input_tokens": 3,
    "output_tokens": 5,
    "thinking_tokens": 0,
    "cached_tokens": 0,
    "total_tokens": 8,
    "cache_write_tokens": 0,
    "cost": None,
}
"""How the native API tells what every answer here took."""
_OPENAI_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
_GEMINI_USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8}


def delta(text: str) -> bytes:
    """Return the data of an event of OpenAI's dialect with a piece of the answer; UTF-8, nothing escaped."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=False).encode()


def ending() -> list[bytes]:
    """Return the data of the events that end a stream: the reason, the usage, the mark."""
    reason = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"id": "c", "choices": [], "usage": _OPENAI_USAGE}
    return [json.dumps(reason).encode(), json.dumps(usage).encode(), b"[DONE]"]


def said(*texts: str) -> list[bytes]:
    """Stream an answer of these pieces, well-behaved."""
    return [head(), *events(*(delta(text) for text in texts)), *finished()]


def finished() -> list[bytes]:
    """Return what ends a stream, up to the end of the HTTP body."""
    return [*events(*ending()), END]


def whole(text: str) -> list[bytes]:
    """Answer with the text as a whole."""
    return [plain(whole_body(text))]


def whole_body(text: str) -> bytes:
    """Return the body of a plain answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "choices": [choice], "usage": _OPENAI_USAGE}, ensure_ascii=False).encode()


def answering(text: str) -> Callable[[Call], list[bytes]]:
    """Answer with the text, word by word where a stream is asked for."""
    words = text.replace(" ", "\0 ").split("\0")
    return lambda call: said(*words) if b'"stream":true' in call.body else whole(text)


def refusal(code: int, message: str, **fields: object) -> list[bytes]:
    """Answer with an error."""
    return [plain(json.dumps({"error": {"message": message, **fields}}).encode(), code)]


def flood(text: str, count: int, *, at_once: int = 500) -> Iterator[bytes]:
    """Yield so many events of that text each, written many at once, as a fast provider's arrive."""
    many = b"".join(b"data: %b\n\n" % data for data in itertools.repeat(delta(text), at_once))
    return itertools.repeat(chunk(many), count // at_once)


def gemini_whole(text: str) -> list[bytes]:
    """Answer with the text as a whole, as Gemini does."""
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
    return [plain(json.dumps({"candidates": [candidate], "usageMetadata": _GEMINI_USAGE}).encode())]


def gemini_dead_key() -> list[bytes]:
    """Refuse the key for good."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    return _gemini_refusal(400, "INVALID_ARGUMENT", "API key not valid.", info)


def gemini_minute_spent(delay: str) -> list[bytes]:
    """Refuse for a quota of a minute that is used up, and say after how long it no longer is."""
    return _spent("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", delay)


def gemini_day_spent(delay: str) -> list[bytes]:
    """Refuse for a quota of a day that is used up, with a delay beside it that is not true."""
    return _spent("GenerateRequestsPerDayPerProjectPerModel-FreeTier", delay)


def _spent(quota_id: str, delay: str) -> list[bytes]:
    quota = {"quotaId": quota_id, "quotaValue": "10"}
    return _gemini_refusal(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota.",
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    )


def _gemini_refusal(code: int, status: str, message: str, *details: object) -> list[bytes]:
    error = {"code": code, "message": message, "status": status, "details": details}
    return [plain(json.dumps({"error": error}).encode(), code)]
