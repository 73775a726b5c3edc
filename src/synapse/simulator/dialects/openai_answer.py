"""Answers as OpenAI writes them, whole and in chunks."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.dialects.base import Ask, Headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.simulator.text import Answer, Call, Candidate

STREAM_HEADERS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
DONE = b"data: [DONE]\n\n"

_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":%d,'
    b'"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)
_CHOICE = (
    b'{"index":%d,"message":{"role":"assistant","content":%b,%b"refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"%b"}'
)
_ROLE = b'{"role":"assistant","content":%b,"refusal":null}'
_CALL = b'{"id":"call_%b","type":"function","function":{"name":%b,"arguments":"%b"}}'
_CALL_BEGINS = b'{"tool_calls":[{"index":%d,"id":"call_%b","type":"function","function":{"name":%b,"arguments":""}}]}'
_CALL_GOES_ON = b'{"tool_calls":[{"index":%d,"function":{"arguments":"%b"}}]}'
_PADDING = b"simulated-padding"
"""Chunks are filled up to lengths that do not tell those of the tokens."""


class Chunks:
    """An answer as chunks, each a whole server-sent event."""

    def __init__(self, ask: Ask, answer: Answer) -> None:
        """Take the request and its answer."""
        self._ask = ask
        self._answer = answer
        self._begin = b'data: {"id":"%b","object":"chat.completion.chunk",%b,"choices":' % _identity(ask, answer)
        self._usage = b',"usage":null' if ask.include_usage else b""

    def roles(self) -> list[bytes]:
        """Return the first chunk of each choice."""
        roles = [_ROLE % (b"null" if candidate.calls else b'""') for candidate in self._answer.candidates]
        return [self._chunk(index, role, b"null", b"") for index, role in enumerate(roles)]

    def deltas(self) -> Iterator[bytes]:
        """Yield the tokens: of the thoughts, of the choices in turn, and of their calls."""
        before = [self._begin + b'[{"index":%d,"delta":{"content":"' % n for n in range(len(self._answer.candidates))]
        after = b'"},"logprobs":null,"finish_reason":null}]%b,"obfuscation":"' % self._usage
        for thought in self._answer.thoughts:
            yield self._chunk(0, b'{"reasoning_content":"%b"}' % thought, b"null", thought)
        for step in zip_longest(*(candidate.pieces for candidate in self._answer.candidates)):
            for index, piece in enumerate(step):
                if piece is not None:
                    yield b'%b%b%b%b"}\n\n' % (before[index], piece, after, _PADDING[len(piece) :])

        for index, candidate in enumerate(self._answer.candidates):
            for first, delta in call_deltas(candidate.calls):
                head = self._chunk(index, first, b"null", b"") if first else b""
                yield head + self._chunk(index, delta, b"null", b"")

    def ends(self) -> list[bytes]:
        """Return the last chunk of each choice."""
        candidates = self._answer.candidates
        return [self._chunk(n, b"{}", b'"%b"' % end.finish.encode(), b"") for n, end in enumerate(candidates)]

    def usage(self) -> list[bytes]:
        """Return the chunk with the usage, if it is wanted."""
        if not self._ask.include_usage:
            return []
        return [b'%b[],"usage":%b,"obfuscation":""}\n\n' % (self._begin, _usage(self._ask, self._answer))]

    def _chunk(self, index: int, delta: bytes, finish: bytes, piece: bytes) -> bytes:
        choice = b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}' % (index, delta, finish)
        return b'%b[%b]%b,"obfuscation":"%b"}\n\n' % (self._begin, choice, self._usage, _PADDING[len(piece) :])


def plain(ask: Ask, answer: Answer) -> bytes:
    """Give the whole answer."""
    choices = b",".join(
        _CHOICE % (index, *_said(answer, index, candidate), candidate.finish.encode())
        for index, candidate in enumerate(answer.candidates)
    )
    head = b'{"id":"%b","object":"chat.completion",%b' % _identity(ask, answer)
    return msgspec.json.format(b'%b,"choices":[%b],"usage":%b}' % (head, choices, _usage(ask, answer)), indent=2)


def _said(answer: Answer, index: int, candidate: Candidate) -> tuple[bytes, bytes]:
    """Return the text of a choice, null where it is calls, and what the message has besides."""
    thoughts = b"".join(answer.thoughts) if index == 0 else b""
    besides = b'"reasoning_content":"%b",' % thoughts if thoughts else b""
    if not candidate.calls:
        return b'"%b"' % b"".join(candidate.pieces), besides
    return b"null", besides + b'"tool_calls":[%b],' % b",".join(map(whole_call, candidate.calls))


def _identity(ask: Ask, answer: Answer) -> tuple[bytes, bytes]:
    """Return the id, and the fields that are the same in all chunks."""
    model = msgspec.json.encode(ask.model)
    same = b'"created":%d,"model":%b,"service_tier":"default","system_fingerprint":"fp_simulator"'
    return b"chatcmpl-%b" % answer.id[:29].encode(), same % (answer.created, model)


def _usage(ask: Ask, answer: Answer) -> bytes:
    spoken = answer.output_tokens
    return _USAGE % (ask.input_tokens, spoken, ask.input_tokens + spoken, len(answer.thoughts))


def whole_call(call: Call) -> bytes:
    """Give a call in one piece."""
    return _CALL % (call.id.encode(), msgspec.json.encode(call.name), b"".join(call.fragments))


def call_deltas(calls: tuple[Call, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the delta of each token of calls, and before the first of each the delta that begins the call."""
    for number, call in enumerate(calls):
        first = _CALL_BEGINS % (number, call.id.encode(), msgspec.json.encode(call.name))
        for fragment in call.fragments:
            yield first, _CALL_GOES_ON % (number, fragment)
            first = b""
