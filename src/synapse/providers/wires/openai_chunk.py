"""A chunk of a streamed chat completion, or a whole plain one: they are the same but for `delta` and `message`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Delta, Thought
from synapse.providers.wires.openai_calls import CallPiece, Extra, Function

if TYPE_CHECKING:
    from collections.abc import Iterator

_Odd = list[Raw] | dict[str, Raw]
"""What may stand where text ought to, and says nothing there."""


class Piece(msgspec.Struct, gc=False):
    """A piece of a content that is a list, as Mistral sends them."""

    type: str | None = None
    text: str | None = None
    thinking: str | list[Piece] | None = None

    def said(self) -> Iterator[Delta | Thought]:
        """Yield what it says."""
        if self.type == "text":
            yield Delta(self.text or "")
        elif self.type in {"thinking", "reasoning"}:
            inner = self.thinking if isinstance(self.thinking, str) else None
            pieces = self.thinking if isinstance(self.thinking, list) else ()
            yield Thought(inner or self.text or "".join([piece.text or "" for piece in pieces]))


class Words(msgspec.Struct, gc=False):
    """A `message` or a `delta`."""

    content: str | list[Piece] | None = None
    tool_calls: list[CallPiece] | None = None
    reasoning: str | _Odd | None = None
    reasoning_content: str | _Odd | None = None
    reasoning_details: list[Raw] | None = None
    refusal: str | None = None
    function_call: Function | None = None
    extra_content: Extra | None = None


class Probabilities(msgspec.Struct, gc=False):
    """How probable each token was."""

    content: Raw = Raw(b"null")


class Choice(msgspec.Struct, gc=False):
    """One of the answers that a request may ask for."""

    delta: Words | None = None
    message: Words | None = None
    finish_reason: str | None = None
    index: int | None = None
    logprobs: Probabilities | list[Raw] | None = None
    stop_reason: str | float | None = None
    """vLLM's: which of the texts at which it was to end it met; or the number of a token."""
    error: Raw | UnsetType = UNSET


class Groq(msgspec.Struct, gc=False):
    """What Groq has in a place of its own."""

    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    """Why a stream was stopped early."""


class Answer(msgspec.Struct, gc=False):
    """All of it."""

    choices: list[Choice] | None = None
    usage: Raw | UnsetType = UNSET
    x_groq: Groq | None = None
    error: Raw | UnsetType = UNSET


decode_answer = msgspec.json.Decoder(Answer).decode
decode_answers = msgspec.json.Decoder(list[Answer]).decode
