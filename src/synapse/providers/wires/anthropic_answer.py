"""Reading what Anthropic answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought
from synapse.domain.failure import Failure
from synapse.domain.usage import Usage
from synapse.providers.wires import anthropic_faults
from synapse.providers.wires.faults import UNREADABLE, cut_short, read_inner_complaint, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.providers.base import Signal


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class _Counts(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET


class _Delta(msgspec.Struct, gc=False):
    """That of a block, or of the whole message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Counts | None = None


class _Event(msgspec.Struct, gc=False):
    """An event of a stream, or a whole message: what they consist of has the same names."""

    type: str = ""
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Counts | None = None
    error: Raw | UnsetType = UNSET
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


_decode_event = msgspec.json.Decoder(_Event, strict=False).decode

_NOTHING: tuple[Signal, ...] = ()
_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""What is not here is taken as an ordinary end."""
_EMPTY = (b"", b"{}", b"null")


class AnthropicDecoder:
    """Reads an answer, streamed or plain."""

    __slots__ = ("_argued", "_calls", "_counts", "_failure", "_in_call", "_reason", "_stop_sequence")

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._reason: str | None = None
        self._stop_sequence: str | None = None
        self._counts = _Counts()
        self._calls = 0
        """Calls that have begun."""
        self._in_call = False
        self._argued = False
        """Whether the call that goes on has arguments yet."""
        self._failure: Failure | None = None

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take one event's data, or a whole plain body."""
        try:
            event = _decode_event(data)
        except UNREADABLE as error:
            # What comes broken behind the end cannot make a whole answer less so.
            harmless = not data.strip() or self._reason is not None or data.strip().startswith(b"[DONE]")
            return _NOTHING if harmless else self._fail(unreadable(data, error))
        return self._take(event)

    def end(self) -> Finish | Failure:
        """Say how the answer ended."""
        if self._failure is not None:
            return self._failure
        if self._reason is None:
            return cut_short("no stop reason")
        reason = _REASONS.get(self._reason, FinishReason.STOP)
        return Finish(reason, self._usage(), stop_sequence=self._stop_sequence)

    def _take(self, event: _Event) -> Sequence[Signal]:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._take_delta(event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._begin(event.content_block)
            case "content_block_stop":
                return self._end_block()
            case "message_start" if event.message is not None:
                self._note_end(event.message.stop_reason, event.message.stop_sequence, event.message.usage)
            case "message_delta" if event.delta is not None:
                self._note_end(event.delta.stop_reason, event.delta.stop_sequence, event.usage)
            case "message":
                return self._take_whole(event)
            case "error":
                return self._take_error(event)
            case _:
                pass
        return _NOTHING

    def _take_delta(self, delta: _Delta) -> Sequence[Signal]:
        match delta.type:
            case "text_delta":
                return (Delta(delta.text),) if delta.text else _NOTHING
            case "input_json_delta":
                return self._argue(delta.partial_json)
            case "thinking_delta":
                return (Thought(delta.thinking),) if delta.thinking else _NOTHING
            case "signature_delta":
                return (Thought("", signature=delta.signature),)
            case _:
                return _NOTHING

    def _argue(self, piece: str) -> Sequence[Signal]:
        if not piece or not self._in_call:
            # What a tool of the provider's own is called with is not for the caller to answer.
            return _NOTHING
        self._argued = True
        return (CallDelta(self._calls - 1, arguments=piece),)

    def _begin(self, block: _Block) -> Sequence[Signal]:
        match block.type:
            case "text":
                return (Delta(block.text),) if block.text else _NOTHING
            case "thinking":
                if not block.thinking and not block.signature:
                    return _NOTHING
                return (Thought(block.thinking, signature=block.signature or None),)
            case "redacted_thinking":
                return (Thought("", redacted=block.data or ""),)
            case "tool_use":
                return self._call(block)
            case _:
                return _NOTHING

    def _call(self, block: _Block) -> Sequence[Signal]:
        self._calls += 1
        self._in_call = True
        whole = b"" if block.input is UNSET else bytes(block.input)
        self._argued = whole not in _EMPTY
        arguments = whole.decode() if self._argued else ""
        return (CallDelta(self._calls - 1, block.id, block.name, arguments),)

    def _end_block(self) -> Sequence[Signal]:
        """End a block. A call without arguments has an empty object of them, which nobody has sent."""
        if not self._in_call:
            return _NOTHING
        self._in_call = False
        return _NOTHING if self._argued else (CallDelta(self._calls - 1, arguments="{}"),)

    def _take_whole(self, event: _Event) -> Sequence[Signal]:
        signals: list[Signal] = []
        for block in event.content or ():
            signals += self._begin(block)
            signals += self._end_block()
        self._note_end(event.stop_reason, event.stop_sequence, event.usage)
        return signals

    def _take_error(self, event: _Event) -> Sequence[Signal]:
        complaint = read_inner_complaint(event.error) if event.error is not UNSET else None
        if complaint is None:
            return _NOTHING
        return self._fail(anthropic_faults.judge(None, {}, complaint))

    def _note_end(self, reason: str | None, stop_sequence: str | None, counts: _Counts | None) -> None:
        self._reason = reason or self._reason
        self._stop_sequence = stop_sequence or self._stop_sequence
        if counts is not None:
            self._counts = _later(self._counts, counts)

    def _usage(self) -> Usage:
        counts = self._counts
        read, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
        taken = (counts.input_tokens or 0) + read + written
        given = counts.output_tokens or 0
        details = counts.output_tokens_details
        return Usage(
            input_tokens=taken,
            output_tokens=given,
            thinking_tokens=details.thinking_tokens or 0 if details is not None else 0,
            cached_tokens=read,
            total_tokens=taken + given,
            cache_write_tokens=written,
        )

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._failure = fault
        return (fault,)


def _later(before: _Counts, now: _Counts) -> _Counts:
    """Return the counts so far: later ones stand in the place of earlier ones, they do not add to them."""
    return _Counts(
        before.input_tokens if now.input_tokens is None else now.input_tokens,
        now.cache_creation_input_tokens
        if now.cache_creation_input_tokens is not None
        else before.cache_creation_input_tokens,
        now.cache_read_input_tokens if now.cache_read_input_tokens is not None else before.cache_read_input_tokens,
        before.output_tokens if now.output_tokens is None else now.output_tokens,
        now.output_tokens_details or before.output_tokens_details,
    )
