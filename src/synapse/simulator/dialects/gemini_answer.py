"""Answers as Gemini writes them, whole and in chunks.

The spaces are the API's: a server-sent event has one after each colon and none after commas; everything else is
indented by two.
"""

from __future__ import annotations

from base64 import b64encode
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.dialects.base import Ask, Form, Headers
from synapse.simulator.dialects.gemini_tools import SIGNED, version
from synapse.simulator.text import Answer, Call, Candidate, Finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STREAM_HEADERS: Headers = [(b"content-type", b"text/event-stream"), (b"content-disposition", b"attachment")]

_FINISH = {
    Finish.STOP: b'"finishReason": "STOP",',
    Finish.LENGTH: b'"finishReason": "MAX_TOKENS",',
    Finish.TOOL_CALLS: b'"finishReason": "STOP","finishMessage": "Model generated function call(s).",',
}
_WITH_IDS = 3.5
_CHUNK = b'{"candidates": [{"content": {%b"role": "model"},%b"index": %d}],%b'
_TEXT = b'"parts": [{"text": "%b"}],'
_THOUGHT = b'"parts": [{"text": "%b","thought": true}],'


class Chunks:
    """An answer as a series of partial answers: the thoughts first, then the candidates in turn."""

    def __init__(self, ask: Ask, answer: Answer) -> None:
        """Take the request and its answer."""
        self._ask = ask
        self._answer = answer
        self._end = _end(ask, answer)
        parts = [len(candidate.pieces) + len(candidate.calls) or 1 for candidate in answer.candidates]
        self.count = len(answer.thoughts) + sum(parts)
        """How many there are."""

    def events(self) -> Iterator[bytes]:
        """Yield the JSON of each."""
        words = self._ask.input_tokens
        for number, thought in enumerate(self._answer.thoughts, 1):
            yield _CHUNK % (_THOUGHT % thought, b"", 0, _usage(words, 0, number) + self._end)
        thoughts = len(self._answer.thoughts)
        spoken = 0
        shares = [_parts(self._ask, self._answer, candidate) for candidate in self._answer.candidates]
        for step in zip_longest(*shares):
            for index, part in enumerate(step):
                if part is not None:
                    text, finish, tokens = part
                    spoken += tokens
                    yield _CHUNK % (text, finish, index, _usage(words, spoken, thoughts) + self._end)


def plain(ask: Ask, answer: Answer) -> bytes:
    """Give the whole answer."""
    candidates = b",".join(
        b'{"content": {%b"role": "model"},%b"index": %d}'
        % (_whole(ask, answer, candidate, first=index == 0), _FINISH[candidate.finish], index)
        for index, candidate in enumerate(answer.candidates)
    )
    usage = _usage(ask.input_tokens, answer.spoken_tokens, len(answer.thoughts))
    return msgspec.json.format(b'{"candidates": [%b],%b%b' % (candidates, usage, _end(ask, answer)), indent=2) + b"\n"


def frame(chunks: Iterable[bytes], form: Form) -> Iterator[bytes]:
    """Frame the JSON of chunks as server-sent events, or as the elements of an array that has yet to be closed."""
    if form is Form.SSE:
        for chunk in chunks:
            yield b"data: %b\r\n\r\n" % chunk
        return
    before = b"["
    for chunk in chunks:
        yield b"%b%b\n" % (before, msgspec.json.format(chunk, indent=2))
        before = b",\r\n"


def _parts(ask: Ask, answer: Answer, candidate: Candidate) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the part, the finish reason and the tokens of each chunk of a candidate; a call is one, however long.

    A candidate without a token is one empty chunk.
    """
    finish = _FINISH[candidate.finish]
    calls = candidate.calls
    for number, call in enumerate(calls):
        part = _call(ask, answer, call, first=number == 0)
        yield b'"parts": [%b],' % part, finish if number == len(calls) - 1 else b"", len(call.fragments)
    if calls:
        return
    if not candidate.pieces:
        yield b"", finish, 0
        return
    for piece in candidate.pieces[:-1]:
        yield _TEXT % piece, b"", 1
    yield _TEXT % candidate.pieces[-1], finish, 1


def _call(ask: Ask, answer: Answer, call: Call, *, first: bool) -> bytes:
    """Give a call as Gemini does: from 3 on the first of them is signed, from 3.5 on each has an id."""
    number = version(ask.model)
    name = b'"id": "%b",' % call.id[:8].encode() if number >= _WITH_IDS else b""
    signature = (
        b',"thoughtSignature": "%b"' % b64encode(bytes.fromhex(answer.id)) if first and number >= SIGNED else b""
    )
    told = (name, msgspec.json.encode(call.name), call.arguments.encode(), signature)
    return b'{"functionCall": {%b"name": %b,"args": %b}%b}' % told


def _whole(ask: Ask, answer: Answer, candidate: Candidate, *, first: bool) -> bytes:
    parts = []
    if first and answer.thoughts:
        parts.append(b'{"text": "%b","thought": true}' % b"".join(answer.thoughts))
    if candidate.pieces:
        parts.append(b'{"text": "%b"}' % b"".join(candidate.pieces))
    parts += [_call(ask, answer, call, first=number == 0) for number, call in enumerate(candidate.calls)]
    return b'"parts": [%b],' % b",".join(parts) if parts else b""


def _usage(words: int, spoken: int, thoughts: int) -> bytes:
    """Give the usage; as everywhere in this API, what is zero is left out."""
    return b'"usageMetadata": {"promptTokenCount": %d,%b"totalTokenCount": %d,%b%b"serviceTier": "standard"},' % (
        words,
        b'"candidatesTokenCount": %d,' % spoken if spoken else b"",
        words + spoken + thoughts,
        b'"promptTokensDetails": [{"modality": "TEXT","tokenCount": %d}],' % words,
        b'"thoughtsTokenCount": %d,' % thoughts if thoughts else b"",
    )


def _end(ask: Ask, answer: Answer) -> bytes:
    model = msgspec.json.encode(ask.model)
    return b'"modelVersion": %b,"responseId": "%b"}' % (model, answer.id[:23].encode())
