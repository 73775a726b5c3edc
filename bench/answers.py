"""What the upstream answers, as ready-made bytes in the shape of each wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "@"
"""Stands once in the text of each event and of each plain answer, and nowhere else: what is counted on arrival."""
WORD = f" stream{MARK}"
SENTENCE = f"{MARK}" + " A queue holds what cannot be sent yet." * 10
MODEL = "bench-model"
USAGE = {"prompt_tokens": 12, "completion_tokens": 90, "total_tokens": 102}
GEMINI_USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 90, "totalTokenCount": 102}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Form:
    """One wire's answers, complete down to their HTTP framing.

    `plain` is a whole answer that is not streamed; a stream is `head`, any number of `event(text)`, then `end`.
    """

    def __init__(self, plain: bytes, event: Callable[[str], bytes], end: bytes) -> None:
        """Take the plain answer, what makes an event from its text, and the last bytes of a stream."""
        self.plain = plain
        self.head = STREAM_HEAD
        self.end = end
        self._make = event
        self._text, self._event = "", b""

    def event(self, text: str) -> bytes:
        """Return the event that carries the text. Streams that speak at the same time say the same: made once."""
        if text is not self._text:
            self._text, self._event = text, self._make(text)
        return self._event


def openai_form() -> Form:
    """Build the answers of an OpenAI-compatible server."""

    def event(text: str) -> bytes:
        return _chunk(_openai_event({"content": text}, None), "\n\n")

    finish = _chunk(_openai_event({}, "stop"), "\n\n")
    usage = _chunk(json.dumps({**_openai_base(), "choices": [], "usage": USAGE}), "\n\n")
    return Form(_openai_plain(), event, finish + usage + _chunk("[DONE]", "\n\n") + LAST_CHUNK)


def gemini_form() -> Form:
    """Build the answers of Gemini, whose lines end in CRLF and whose stream ends with the connection's body."""

    def event(text: str) -> bytes:
        return _chunk(json.dumps(_gemini_answer(text, None)), "\r\n\r\n")

    finish = _chunk(json.dumps(_gemini_answer("", "STOP")), "\r\n\r\n")
    plain = _response(json.dumps(_gemini_answer(SENTENCE, "STOP")).encode())
    return Form(plain, event, finish + LAST_CHUNK)


def _openai_base() -> dict[str, object]:
    return {"id": "chatcmpl-bench0000000000", "object": "chat.completion.chunk", "created": 1754688929, "model": MODEL}


def _openai_event(delta: dict[str, str], reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return json.dumps({**_openai_base(), "choices": [choice], "usage": None}, separators=(",", ":"))


def _openai_plain() -> bytes:
    message = {"role": "assistant", "content": SENTENCE, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = {**_openai_base(), "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return _response(json.dumps(answer).encode())


def _gemini_answer(text: str, reason: str | None) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    return {
        "candidates": [candidate],
        "usageMetadata": GEMINI_USAGE,
        "modelVersion": MODEL,
        "responseId": "bench0000000000",
    }


def _chunk(data: str, terminator: str) -> bytes:
    event = f"data: {data}{terminator}".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def _response(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body
