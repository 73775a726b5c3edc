"""Answers as OpenRouter writes them, whole and in chunks."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.dialects.base import Ask, Headers
from synapse.simulator.dialects.openai_answer import call_deltas, whole_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.simulator.text import Answer, Candidate

STREAM_HEADERS: Headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
COMMENT = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"

_TOKENS_PER_COMMENT = 16
_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"cost":0,"is_byok":false,'
    b'"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0,"video_tokens":0},'
    b'"cost_details":{"upstream_inference_cost":0,"upstream_inference_prompt_cost":0,'
    b'"upstream_inference_completions_cost":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"image_tokens":0,"audio_tokens":0}}'
)
_CHOICE = (
    b'{"index":%d,"logprobs":null,"finish_reason":"%b","native_finish_reason":"%b",'
    b'"message":{"role":"assistant","content":%b,%b"refusal":null,%b}}'
)
_CHUNK = b'{"index":%d,"delta":%b,"finish_reason":null,"native_finish_reason":null}'
_LAST = b'{"index":%d,"delta":{"content":"","role":"assistant"},"finish_reason":"%b","native_finish_reason":"%b"}'


class Chunks:
    """An answer as chunks, each a whole server-sent event."""

    def __init__(self, ask: Ask, answer: Answer) -> None:
        """Take the request and its answer."""
        self._ask = ask
        self._answer = answer
        self._begin = b'data: {"id":"%b","object":"chat.completion.chunk",%b,"choices":' % _identity(ask, answer)

    def deltas(self) -> Iterator[bytes]:
        """Yield the tokens: of thoughts, of the choices in turn, some with a comment before them, and of calls."""
        before = [self._begin + b'[{"index":%d,"delta":{"content":"' % n for n in range(len(self._answer.candidates))]
        after = b'","role":"assistant"},"finish_reason":null,"native_finish_reason":null}]}\n\n'
        for thought in self._answer.thoughts:
            delta = b'{"content":"","role":"assistant",%b}' % _thoughts(thought)
            yield b"%b[%b]}\n\n" % (self._begin, _CHUNK % (0, delta))
        for number, step in enumerate(zip_longest(*(candidate.pieces for candidate in self._answer.candidates))):
            comment = COMMENT if number and number % _TOKENS_PER_COMMENT == 0 else b""
            for index, piece in enumerate(step):
                if piece is not None:
                    yield b"%b%b%b%b" % (comment, before[index], piece, after)
                    comment = b""

        for index, candidate in enumerate(self._answer.candidates):
            for first, delta in call_deltas(candidate.calls):
                choices = [_CHUNK % (index, one) for one in (first, delta) if one]
                yield b"".join([b"%b[%b]}\n\n" % (self._begin, choice) for choice in choices])

    def ends(self) -> list[bytes]:
        """Return the last chunk of each choice."""
        return [b"%b[%b]}\n\n" % (self._begin, choice) for choice in self._last_choices()]

    def usage(self) -> bytes:
        """Return the chunk with the usage, which tells how the choices ended once more."""
        choices = b",".join(self._last_choices())
        return b'%b[%b],"usage":%b}\n\n' % (self._begin, choices, _usage(self._ask, self._answer))

    def _last_choices(self) -> list[bytes]:
        finishes = [candidate.finish.encode() for candidate in self._answer.candidates]
        return [_LAST % (index, finish, finish) for index, finish in enumerate(finishes)]


def plain(ask: Ask, answer: Answer) -> bytes:
    """Give the whole answer."""
    choices = b",".join(
        _CHOICE % (index, *[candidate.finish.encode()] * 2, *_said(answer, index, candidate))
        for index, candidate in enumerate(answer.candidates)
    )
    head = b'{"id":"%b","object":"chat.completion",%b,"system_fingerprint":null' % _identity(ask, answer)
    return b'%b,"choices":[%b],"usage":%b}' % (head, choices, _usage(ask, answer))


def _said(answer: Answer, index: int, candidate: Candidate) -> tuple[bytes, bytes, bytes]:
    """Return the text of a choice, null where it is calls, these calls, and the thoughts before it."""
    thoughts = _thoughts(b"".join(answer.thoughts)) if index == 0 and answer.thoughts else b'"reasoning":null'
    if not candidate.calls:
        return b'"%b"' % b"".join(candidate.pieces), b"", thoughts
    return b"null", b'"tool_calls":[%b],' % b",".join(map(whole_call, candidate.calls)), thoughts


def _thoughts(text: bytes) -> bytes:
    """Give thoughts in both of the ways that they are told."""
    detail = b'{"type":"reasoning.text","text":"%b","format":"unknown","index":0}' % text
    return b'"reasoning":"%b","reasoning_details":[%b]' % (text, detail)


def _identity(ask: Ask, answer: Answer) -> tuple[bytes, bytes]:
    """Return the id, and the fields that are the same in all chunks."""
    name = b"gen-%d-%b" % (answer.created, answer.id[:20].encode())
    model = msgspec.json.encode(ask.model)
    return name, b'"created":%d,"model":%b,"provider":"Simulator","service_tier":null' % (answer.created, model)


def _usage(ask: Ask, answer: Answer) -> bytes:
    spoken = answer.output_tokens
    return _USAGE % (ask.input_tokens, spoken, ask.input_tokens + spoken, len(answer.thoughts))
