"""Reading chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Delta, Finish, FinishReason, Logprobs, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires import openai_faults
from synapse.providers.wires.faults import UNREADABLE, cut_short, failure, read_inner_complaint, unreadable
from synapse.providers.wires.openai_calls import CallPiece, Calls, MixedCallsError, new_id
from synapse.providers.wires.openai_chunk import Answer, Choice, Probabilities, Words, decode_answer, decode_answers
from synapse.providers.wires.openai_thoughts import Details
from synapse.providers.wires.openai_usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from synapse.providers.base import Signal

_NOTHING: tuple[Signal, ...] = ()
_DONE = b"[DONE]"
_ERROR_FIELD = b"error:"
"""How llama.cpp sent errors in streams until October 2025: as a field of the event, in the place of `data`."""
_EMPTY: Final = (b"null", b"{}", b"[]")
_SILENCE: Final = Words()
_NO_CALLS: Final = Calls(new_id)
_NO_DETAILS: Final = Details()
"""What most answers have, and nobody adds to."""
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
    """Reads an answer, streamed or plain: what is `delta` in the one is `message` in the other.

    A refusal is text, for the caller is to read it; the answer then ends as filtered.
    """

    __slots__ = (
        "_calls",
        "_details",
        "_failure",
        "_new_id",
        "_open",
        "_reason",
        "_refused",
        "_spoke",
        "_stop_sequence",
        "_usage",
        "_whole",
    )

    def __init__(self, new_id: Callable[[], str] = new_id) -> None:
        """Begin before the first piece; `new_id` makes the ids of tool calls that come without one."""
        self._reason: str | None = None
        """The last one that was no null: some send it twice, some send a null after it."""
        self._usage: Raw | None = None
        """It may stand in a chunk of its own, in the one that ends, in several, or nowhere."""
        self._stop_sequence: str | None = None
        self._new_id = new_id
        self._calls = _NO_CALLS
        self._details = _NO_DETAILS
        self._open = False
        """Whether a tool call or sealed thoughts may go on."""
        self._spoke = False
        self._refused = False
        self._whole = False
        """The end was marked by other means than a reason: `[DONE]`, or a plain body that is there as a whole."""
        self._failure: Failure | None = None

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take one event's data, or a whole plain body."""
        try:
            answer = decode_answer(data)
        except UNREADABLE as error:
            return self._feed_unusual(data, error)
        return self._take(answer)

    def end(self) -> Finish | Failure:
        """Say how the answer ended."""
        if self._failure is not None:
            return self._failure
        reason = self._reason
        if reason is None:
            if not (self._whole and (self._spoke or self._calls)):
                return cut_short("neither a finish reason nor a sign of its end")
            reason = "stop"
        if reason in _BREAKDOWNS:
            return failure(_BREAKDOWNS[reason], f"the provider broke the answer off: finish reason {reason}")
        if self._calls.nameless:
            return failure(FailureClass.TRANSIENT, "the provider sent a tool call that names no tool")
        return Finish(self._finish_reason(reason), read_usage(self._usage), stop_sequence=self._stop_sequence)

    def _finish_reason(self, reason: str) -> FinishReason:
        finish = _REASONS.get(reason, FinishReason.STOP)
        if finish is not FinishReason.STOP:
            return finish
        if self._calls:
            return FinishReason.TOOL_CALLS
        return FinishReason.CONTENT_FILTER if self._refused else finish

    def _take(self, answer: Answer) -> Sequence[Signal]:
        if answer.error is not UNSET and (fault := _fault(answer.error)):
            return self._fail(fault)
        if answer.x_groq is not None:
            if answer.x_groq.error is not UNSET and (fault := _fault(answer.x_groq.error)):
                return self._fail(fault)
            self._keep_usage(answer.x_groq.usage)
        if answer.usage is not UNSET:
            self._keep_usage(answer.usage)
        for choice in answer.choices or ():
            if not choice.index:
                return self._take_choice(choice)
        return _NOTHING

    def _keep_usage(self, usage: Raw | UnsetType) -> None:
        if usage is not UNSET and bytes(usage) not in _EMPTY:
            self._usage = usage

    def _take_choice(self, choice: Choice) -> Sequence[Signal]:
        words = choice.delta
        if words is None:
            words = self._message(choice)
        if words is None or choice.logprobs is not None or choice.error is not UNSET or self._open:
            return self._take_all(choice, words)
        text = words.content
        if type(text) is str:
            # Nearly all chunks are text and nothing else, which this finds out at once.
            words.content = None
            if words == _SILENCE:
                if choice.finish_reason:
                    self._finish(choice)
                if not text:
                    return _NOTHING
                self._spoke = True
                return (Delta(text),)
            words.content = text
        return self._take_all(choice, words)

    def _finish(self, choice: Choice) -> None:
        self._reason = choice.finish_reason or self._reason
        if isinstance(choice.stop_reason, str):
            self._stop_sequence = choice.stop_reason

    def _message(self, choice: Choice) -> Words | None:
        if choice.message is None:
            return None
        self._whole = True
        # A whole message behind deltas repeats them.
        return None if self._spoke or self._calls else choice.message

    def _take_all(self, choice: Choice, words: Words | None) -> Sequence[Signal]:
        if choice.error is not UNSET and (fault := _fault(choice.error)):
            return self._fail(fault)
        signals: list[Signal] = []
        try:
            signals.extend(self._read(choice, words))
        except MixedCallsError:
            fault = failure(FailureClass.TRANSIENT, "the provider mixed up the fragments of several tool calls")
            signals.extend(self._fail(fault))
        return signals

    def _read(self, choice: Choice, words: Words | None) -> Iterator[Signal]:
        if words is not None:
            yield from self._think(words)
            yield from self._say(words)
            if isinstance(choice.logprobs, Probabilities) and bytes(choice.logprobs.content) not in _EMPTY:
                yield Logprobs(choice.logprobs.content)
            yield from self._call(words)
        self._finish(choice)
        if choice.finish_reason or self._whole:
            yield from self._close()

    def _think(self, words: Words) -> Iterator[Signal]:
        thoughts: list[Thought] = []
        if words.reasoning_details:
            if self._details is _NO_DETAILS:
                self._details = Details()
            thoughts.extend(self._details.read(words.reasoning_details))
        # Where there are details of them, the other fields repeat their text.
        shown = next((text for text in (words.reasoning_content, words.reasoning) if text and type(text) is str), "")
        if shown and not any(thought.text for thought in thoughts):
            thoughts.insert(0, Thought(shown))
        if thoughts:
            yield from self._calls.end()
            yield from thoughts
        self._open = self._open or self._details.pending

    def _say(self, words: Words) -> Iterator[Signal]:
        content = words.content
        said = (
            [Delta(content)] if isinstance(content, str) else [each for piece in content or () for each in piece.said()]
        )
        if words.refusal:
            self._refused = True
            said.append(Delta(words.refusal))
        for each in said:
            if each.text:
                yield from self._close()
                self._spoke = self._spoke or type(each) is Delta
                yield each

    def _call(self, words: Words) -> Iterator[Signal]:
        pieces = words.tool_calls
        if not pieces and words.function_call is not None:
            pieces = [CallPiece(index=0, function=words.function_call)]
        if pieces:
            yield from self._details.end()
            if self._calls is _NO_CALLS:
                self._calls = Calls(self._new_id)
            self._open = True
            signature = words.extra_content.signature if words.extra_content is not None else None
            yield from self._calls.read(pieces, signature, whole=self._whole)

    def _close(self) -> Iterator[Signal]:
        """End what goes on: something else follows, or nothing."""
        self._open = False
        yield from self._details.end()
        yield from self._calls.end()

    def _feed_unusual(self, data: bytes, error: Exception) -> Sequence[Signal]:
        stripped = data.strip()
        if stripped.startswith(_DONE):
            self._whole = True
            return tuple(self._close())
        if stripped.startswith(_ERROR_FIELD):
            return self.feed(b'{"error":%b}' % stripped.removeprefix(_ERROR_FIELD))
        try:
            # Google's port for this dialect wraps its errors in a list.
            answers = decode_answers(data)
        except UNREADABLE:
            # What comes broken behind the end cannot make a whole answer less so.
            harmless = not stripped or self._reason is not None
            return _NOTHING if harmless else self._fail(unreadable(data, error))
        return self._take(answers[0]) if answers else _NOTHING

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._failure = fault
        return (fault,)


def _fault(error: Raw) -> Failure | None:
    complaint = read_inner_complaint(error)
    return openai_faults.judge(None, {}, complaint) if complaint is not None else None
