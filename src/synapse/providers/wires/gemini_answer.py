"""Reading what Gemini answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.providers.wires import google_faults
from synapse.providers.wires.faults import UNREADABLE, cut_short, failure, read_inner_complaint, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.providers.base import Signal


class _AnswerPart(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: Raw | UnsetType = UNSET


class _AnswerContent(msgspec.Struct, gc=False):
    parts: list[_AnswerPart] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _AnswerContent | None = None
    finish_reason: str | None = None
    index: int | None = None


class _PromptFeedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: Raw | UnsetType = UNSET
    prompt_feedback: _PromptFeedback | None = None
    error: Raw | UnsetType = UNSET


class _UsageMetadata(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    cached_content_token_count: int = 0
    total_token_count: int = 0


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_answers = msgspec.json.Decoder(list[_Answer]).decode
_decode_usage = msgspec.json.Decoder(_UsageMetadata, strict=False).decode

_NOTHING: tuple[Signal, ...] = ()
_BLOCKED = "SAFETY"
_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "CONTINUATION": FinishReason.LENGTH,
    **dict.fromkeys(
        (
            _BLOCKED, "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
            "PUP_LIMITED_DISABLED", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
        ),
        FinishReason.CONTENT_FILTER,
    ),
}  # fmt: skip
"""What is not here, and no miscarriage either, is taken as an ordinary end."""
_MISCARRIAGES: Final = frozenset({
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "OTHER",
    "TOO_MANY_TOOL_CALLS", "UNEXPECTED_TOOL_CALL",
})  # fmt: skip
"""Ends that another try may well not meet; with text before them they are ends all the same."""


class GeminiDecoder:
    """Reads an answer, streamed or plain: both consist of the same objects, streamed ones hold a part each."""

    __slots__ = ("_called", "_failure", "_reason", "_spoke", "_usage")

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._reason: str | None = None
        self._usage: Raw | None = None
        """Counts are cumulative, so only the last ones matter, and only at the end."""
        self._spoke = False
        self._called = False
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
            return cut_short("no finish reason")
        if reason in _MISCARRIAGES and not self._spoke:
            return failure(FailureClass.TRANSIENT, f"the model's answer miscarried: finish reason {reason}")
        return Finish(self._finish_reason(reason), _usage(self._usage))

    def _finish_reason(self, reason: str) -> FinishReason:
        finish = _REASONS.get(reason, FinishReason.STOP)
        # There is no finish reason of its own for function calls: they end like any answer.
        return FinishReason.TOOL_CALLS if self._called and finish is FinishReason.STOP else finish

    def _take(self, answer: _Answer) -> Sequence[Signal]:
        if answer.error is not UNSET and (complaint := read_inner_complaint(answer.error)):
            return self._fail(google_faults.judge(None, {}, complaint))
        if answer.usage_metadata is not UNSET:
            self._usage = answer.usage_metadata
        if not answer.candidates:
            if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
                self._reason = _BLOCKED
            return _NOTHING
        for candidate in answer.candidates:
            if not candidate.index:
                return self._take_candidate(candidate)
        return _NOTHING

    def _take_candidate(self, candidate: _Candidate) -> Sequence[Signal]:
        if candidate.finish_reason:
            self._reason = candidate.finish_reason
        if candidate.content is None or not candidate.content.parts:
            return _NOTHING
        text = self._text(candidate.content.parts)
        if not text:
            return _NOTHING
        self._spoke = True
        return (Delta(text),)

    def _text(self, parts: list[_AnswerPart]) -> str:
        text = ""
        for part in parts:
            if part.text and not part.thought:
                text += part.text
            elif part.function_call is not UNSET:
                self._called = True
        return text

    def _feed_unusual(self, data: bytes, error: Exception) -> Sequence[Signal]:
        try:
            # An array holds an error (Gemini wraps some) or a whole stream in its other framing.
            answers = _decode_answers(data)
        except UNREADABLE:
            # What comes broken behind the end cannot make a whole answer less so.
            harmless = not data.strip() or self._reason is not None
            return _NOTHING if harmless else self._fail(unreadable(data, error))
        signals: list[Signal] = []
        for answer in answers:
            signals += self._take(answer)
            if self._failure is not None:
                break
        return signals

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._failure = fault
        return (fault,)


def _usage(raw: Raw | None) -> Usage:
    if raw is None:
        return Usage()
    try:
        counts = _decode_usage(raw)
    except UNREADABLE:
        return Usage()
    taken = counts.prompt_token_count + counts.tool_use_prompt_token_count
    given = counts.candidates_token_count + counts.thoughts_token_count
    return Usage(
        input_tokens=taken,
        output_tokens=given,
        thinking_tokens=counts.thoughts_token_count,
        cached_tokens=counts.cached_content_token_count,
        total_tokens=counts.total_token_count or taken + given,
    )
