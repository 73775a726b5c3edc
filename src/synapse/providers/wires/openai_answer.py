"""Reading chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.providers.wires import openai_faults
from synapse.providers.wires.faults import UNREADABLE, cut_short, failure, read_inner_complaint, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.providers.base import Signal


class _Piece(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None


class _Present(msgspec.Struct, gc=False):
    """An object whose content does not matter here."""


class _Words(msgspec.Struct, gc=False):
    """A `message` or a `delta`. Thinking stands in fields of its own, or in pieces that are not of type text."""

    content: str | list[_Piece] | None = None
    tool_calls: list[Raw] | None = None
    function_call: _Present | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Words | None = None
    message: _Words | None = None
    finish_reason: str | None = None
    index: int | None = None
    error: Raw | UnsetType = UNSET


class _Groq(msgspec.Struct, gc=False):
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    """Why a stream was stopped early."""


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET
    x_groq: _Groq | None = None
    error: Raw | UnsetType = UNSET


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _UsageObject(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cached_tokens: int | None = None
    """Together's place for it."""
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's place for it."""


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_answers = msgspec.json.Decoder(list[_Answer]).decode
_decode_usage = msgspec.json.Decoder(_UsageObject, strict=False).decode

_NOTHING: tuple[Signal, ...] = ()
_DONE = b"[DONE]"
_NO_USAGE: Final = (b"null", b"{}")
_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""What is not here, and no breakdown either, is taken as an ordinary end."""
_BREAKDOWNS: Final[Mapping[str, FailureClass]] = {
    "error": FailureClass.TRANSIENT,
    "abort": FailureClass.TRANSIENT,
    "insufficient_system_resource": FailureClass.OVERLOADED,
}
"""Reasons that say that the server gave up: whatever text came is not the whole."""


class OpenAIDecoder:
    """Reads an answer, streamed or plain: what is `delta` in the one is `message` in the other."""

    __slots__ = ("_called", "_failure", "_reason", "_spoke", "_usage", "_whole")

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._reason: str | None = None
        """The last one that was no null: some send it twice, some send a null after it."""
        self._usage: Raw | None = None
        """It may stand in a chunk of its own, in the one that ends, in several, or nowhere."""
        self._spoke = False
        self._called = False
        self._whole = False
        """The end was marked by other means than a reason: `[DONE]`, or a plain body that is there as a whole."""
        self._failure: Failure | None = None

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take one event's data, or a whole plain body."""
        try:
            answer = _decode_answer(data)
        except UNREADABLE as error:
            return self._feed_unusual(data, error)
        return self._take(answer)

    def end(self) -> Finish | Failure:
        """Say how the answer ended."""
        if self._failure is not None:
            return self._failure
        reason = self._reason
        if reason is None:
            if not (self._whole and (self._spoke or self._called)):
                return cut_short("neither a finish reason nor a sign of its end")
            reason = "stop"
        if reason in _BREAKDOWNS:
            return failure(_BREAKDOWNS[reason], f"the provider broke the answer off: finish reason {reason}")
        return Finish(self._finish_reason(reason), _usage(self._usage))

    def _finish_reason(self, reason: str) -> FinishReason:
        finish = _REASONS.get(reason, FinishReason.STOP)
        return FinishReason.TOOL_CALLS if self._called and finish is FinishReason.STOP else finish

    def _take(self, answer: _Answer) -> Sequence[Signal]:
        if answer.error is not UNSET and (fault := _fault(answer.error)):
            return self._fail(fault)
        if answer.x_groq is not None and answer.x_groq.error is not UNSET and (fault := _fault(answer.x_groq.error)):
            return self._fail(fault)
        if answer.usage is not UNSET or answer.x_groq is not None:
            self._keep_usage(answer)
        for choice in answer.choices or ():
            if not choice.index:
                return self._take_choice(choice)
        return _NOTHING

    def _keep_usage(self, answer: _Answer) -> None:
        groq = answer.x_groq.usage if answer.x_groq is not None else UNSET
        for usage in (groq, answer.usage):
            if usage is not UNSET and bytes(usage) not in _NO_USAGE:
                self._usage = usage

    def _take_choice(self, choice: _Choice) -> Sequence[Signal]:
        if choice.error is not UNSET and (fault := _fault(choice.error)):
            return self._fail(fault)
        if choice.finish_reason:
            self._reason = choice.finish_reason
        if choice.delta is not None:
            return self._take_words(choice.delta)
        if choice.message is None or self._spoke:
            # A whole message behind deltas repeats them.
            return _NOTHING
        self._whole = True
        return self._take_words(choice.message)

    def _take_words(self, words: _Words) -> Sequence[Signal]:
        if words.tool_calls or words.function_call is not None:
            self._called = True
        text = words.content if isinstance(words.content, str) else _joined(words.content)
        if not text:
            return _NOTHING
        self._spoke = True
        return (Delta(text),)

    def _feed_unusual(self, data: bytes, error: Exception) -> Sequence[Signal]:
        stripped = data.strip()
        if stripped.startswith(_DONE):
            self._whole = True
            return _NOTHING
        try:
            # Google's port for this dialect wraps its errors in a list.
            answers = _decode_answers(data)
        except UNREADABLE:
            # What comes broken behind the end cannot make a whole answer less so.
            harmless = not stripped or self._reason is not None
            return _NOTHING if harmless else self._fail(unreadable(data, error))
        return self._take(answers[0]) if answers else _NOTHING

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._failure = fault
        return (fault,)


def _joined(pieces: list[_Piece] | None) -> str:
    return "".join(piece.text for piece in pieces or () if piece.type == "text" and piece.text)


def _fault(error: Raw) -> Failure | None:
    complaint = read_inner_complaint(error)
    return openai_faults.judge(None, {}, complaint) if complaint is not None else None


def _usage(raw: Raw | None) -> Usage:
    if raw is None:
        return Usage()
    try:
        counts = _decode_usage(raw)
    except UNREADABLE:
        return Usage()
    taken, given = counts.prompt_tokens or 0, counts.completion_tokens or 0
    inputs, outputs = counts.prompt_tokens_details, counts.completion_tokens_details
    cached = inputs.cached_tokens if inputs is not None else None
    return Usage(
        input_tokens=taken,
        output_tokens=given,
        thinking_tokens=outputs.reasoning_tokens or 0 if outputs is not None else 0,
        cached_tokens=cached or counts.cached_tokens or counts.prompt_cache_hit_tokens or 0,
        total_tokens=counts.total_tokens or taken + given,
    )
