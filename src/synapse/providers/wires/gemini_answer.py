"""Reading what Gemini answers."""

from __future__ import annotations

from random import getrandbits
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.providers.wires import google_faults
from synapse.providers.wires.faults import UNREADABLE, cut_short, failure, read_inner_complaint, unreadable
from synapse.providers.wires.gemini_logprobs import logprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from synapse.providers.base import Signal


class _FunctionCall(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: Raw | UnsetType = UNSET


class _AnswerPart(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None
    executable_code: Raw | UnsetType = UNSET


class _AnswerContent(msgspec.Struct, gc=False):
    parts: list[_AnswerPart] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _AnswerContent | None = None
    finish_reason: str | None = None
    index: int | None = None
    logprobs_result: Raw | UnsetType = UNSET


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


def new_call_id() -> str:
    """Make an id for a call that came without one, as older models' do."""
    return f"call_{getrandbits(96):024x}"


class GeminiDecoder:
    """Reads an answer, streamed or plain: both consist of the same objects, streamed ones hold a part each."""

    __slots__ = ("_calls", "_failure", "_new_id", "_reason", "_spoke", "_usage")

    def __init__(self, new_id: Callable[[], str] = new_call_id) -> None:
        """Begin before the first piece; `new_id` names calls that have no name of their own, each differently."""
        self._new_id = new_id
        self._reason: str | None = None
        self._usage: Raw | None = None
        """Counts are cumulative, so only the last ones matter, and only at the end."""
        self._spoke = False
        self._calls = 0
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
        if reason in _MISCARRIAGES and not self._spoke and not self._calls:
            return failure(FailureClass.TRANSIENT, f"the model's answer miscarried: finish reason {reason}")
        return Finish(self._finish_reason(reason), _usage(self._usage))

    def _finish_reason(self, reason: str) -> FinishReason:
        finish = _REASONS.get(reason, FinishReason.STOP)
        # There is no finish reason of its own for function calls: they end like any answer.
        return FinishReason.TOOL_CALLS if self._calls and finish is FinishReason.STOP else finish

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
        content = candidate.content
        signals: Sequence[Signal] = _NOTHING
        if content is not None and content.parts:
            part = content.parts[0]
            if part.text and part.thought_signature is None and not part.thought and len(content.parts) == 1:
                # Nearly every event of a stream is this.
                self._spoke = True
                signals = (Delta(part.text),)
            else:
                signals = self._take_parts(content.parts)
        if candidate.logprobs_result is UNSET or self._failure is not None:
            return signals
        found = logprobs(candidate.logprobs_result)
        return signals if found is None else (*signals, found)

    def _take_parts(self, parts: list[_AnswerPart]) -> Sequence[Signal]:
        signals: list[Signal] = []
        for part in parts:
            if part.function_call is not None:
                signals.append(self._call(part.function_call, part.thought_signature))
                if self._failure is not None:
                    break
            elif part.thought:
                if part.text or part.thought_signature:
                    signals.append(Thought(part.text or "", part.thought_signature))
            else:
                signals += self._say(part)
        return signals

    def _say(self, part: _AnswerPart) -> Iterator[Signal]:
        """Read text, on which a signature may ride, or on nothing at the end."""
        if part.text:
            self._spoke = True
            yield Delta(part.text)
        # The signature of code that was run cannot be given back, because the code is not.
        if part.thought_signature and part.executable_code is UNSET:
            yield Thought("", part.thought_signature)

    def _call(self, call: _FunctionCall, signature: str | None) -> CallDelta | Failure:
        """Read a call, which always comes whole."""
        try:
            arguments = _arguments(call.args)
        except UnicodeDecodeError:
            self._failure = failure(FailureClass.TRANSIENT, "the provider sent a call whose arguments are no UTF-8")
            return self._failure
        position = self._calls
        self._calls += 1
        return CallDelta(position, call.id or self._new_id(), call.name or "", arguments, signature or None)

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


def _arguments(args: Raw | UnsetType) -> str:
    """Return a call's arguments without the spaces of a plain body."""
    if args is UNSET or bytes(args) == b"null":
        return "{}"
    return msgspec.json.format(bytes(args), indent=-1).decode()


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
