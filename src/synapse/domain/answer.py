"""A whole answer, and how it is put together from the events that a stream shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.events import CallDelta, Delta, Error, Event, Finish, Logprobs, Restart, Thought, Vectors
from synapse.domain.request import Text, Thinking, ToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.events import Entry

Block = Thinking | Text | ToolCall
"""What stands in an answer, one after the other."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    """All of its text."""
    finish: Finish
    blocks: tuple[Block, ...] = ()
    """Thoughts, text and tool calls in their order; empty where there is nothing but `text`."""
    logprobs: tuple[msgspec.Raw, ...] = ()
    """JSON arrays that belong together as one."""
    vectors: tuple[tuple[float, ...], ...] = ()

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls, in their order."""
        return [block for block in self.blocks if isinstance(block, ToolCall)]

    @property
    def thoughts(self) -> str:
        """All that the model thought, as far as it was shown."""
        return "".join([block.text for block in self.blocks if isinstance(block, Thinking)])


class Collector:
    """Puts a whole answer together from the entries of a log: the same events that a stream shows, kept."""

    __slots__ = (
        "_arguments",
        "_blocks",
        "_call",
        "_logprobs",
        "_position",
        "_texts",
        "_thoughts",
        "_vectors",
        "_words",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self._clear()

    def _clear(self) -> None:
        self._texts: list[str] = []
        """All text so far."""
        self._words = 0
        """How many of the texts are in blocks already."""
        self._blocks: list[Block] = []
        self._thoughts: list[str] = []
        self._call: ToolCall | None = None
        self._arguments: list[str] = []
        self._position = 0
        self._logprobs: list[msgspec.Raw] = []
        self._vectors: tuple[tuple[float, ...], ...] = ()

    def add_all(self, entries: Sequence[Entry]) -> Answer | None:
        """Take the next entries; return the answer when it is whole. Raises the error that the log ends with."""
        answer = None
        for _, event in entries:
            answer = self.add(event)
        return answer

    def add(self, event: Event) -> Answer | None:
        """Take the next event; return the answer when it is whole. Raises the error that the log ends with."""
        if type(event) is Delta:
            self._texts.append(event.text)
            if self._call is not None or self._thoughts:
                self._end_call()
                self._end_thoughts()
        elif type(event) is Finish:
            return self._answer(event)
        elif type(event) is Error:
            raise event.error
        else:
            self._add_unusual(event)
        return None

    def _add_unusual(self, event: Event) -> None:
        match event:
            case Thought():
                self._think(event)
            case CallDelta():
                self._add_call(event)
            case Logprobs(content):
                self._logprobs.append(content)
            case Vectors(vectors):
                self._vectors = vectors
            case Restart():
                self._clear()
            case _:
                pass

    def _think(self, thought: Thought) -> None:
        self._end_text()
        self._end_call()
        if thought.redacted is not None:
            self._end_thoughts()
            self._blocks.append(Thinking("", redacted=thought.redacted))
            return
        self._thoughts.append(thought.text)
        if thought.signature is not None:
            self._end_thoughts(thought.signature)

    def _add_call(self, delta: CallDelta) -> None:
        self._end_text()
        self._end_thoughts()
        call = self._call
        if call is None or delta.position != self._position:
            self._end_call()
            self._position = delta.position
            call = ToolCall("", "", "")
        self._arguments.append(delta.arguments)
        self._call = ToolCall(
            call.id or delta.id or "", call.name or delta.name or "", "", delta.signature or call.signature
        )

    def _answer(self, finish: Finish) -> Answer:
        text = "".join(self._texts)
        self._end_call()
        self._end_thoughts()
        if self._blocks:
            self._end_text()
        return Answer(text, finish, tuple(self._blocks), tuple(self._logprobs), self._vectors)

    def _end_text(self) -> None:
        text = "".join(self._texts[self._words :])
        self._words = len(self._texts)
        if text:
            self._blocks.append(Text(text))

    def _end_thoughts(self, signature: str | None = None) -> None:
        if self._thoughts:
            self._blocks.append(Thinking("".join(self._thoughts), signature))
            self._thoughts = []

    def _end_call(self) -> None:
        if self._call is not None:
            self._blocks.append(msgspec.structs.replace(self._call, arguments="".join(self._arguments)))
            self._call = None
            self._arguments = []
