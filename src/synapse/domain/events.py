"""The entries of a task's log: what a provider's answer becomes, whatever wire it came over."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from synapse.domain.errors import SynapseError
from synapse.domain.usage import Usage


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class Delta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of the answer."""

    text: str


class Thought(msgspec.Struct, frozen=True, gc=False):
    """The next piece of what the model thinks. It is no part of the answer's text."""

    text: str
    signature: str | None = None
    """Proof that these are the model's thoughts, to be given back with them. It ends a block of thoughts."""
    redacted: str | None = None
    """A whole block of thoughts that is shown only sealed; then there is no text."""


class CallDelta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of a tool call."""

    position: int
    """Which of the answer's calls: 0 is the first. Calls come one after the other."""
    id: str | None = None
    """With the first piece of a call."""
    name: str | None = None
    """With the first piece of a call."""
    arguments: str = ""
    """The next piece of a JSON object's text."""
    signature: str | None = None
    """Proof of the thoughts behind the call, to be given back with it."""


class Logprobs(msgspec.Struct, frozen=True, gc=False):
    """How probable the last pieces of text were."""

    content: msgspec.Raw
    """A JSON array of `{token, logprob, bytes, top_logprobs}`, as OpenAI writes it."""


class Vectors(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request for embeddings: one vector for each input, in order."""

    vectors: tuple[tuple[float, ...], ...]


Content = Delta | Thought | CallDelta | Logprobs | Vectors
"""What an answer consists of."""


class Restart(msgspec.Struct, frozen=True, gc=False):
    """All text before this is void: another attempt begins from the beginning."""

    reason: str


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The answer is complete. Always the last entry."""

    reason: FinishReason
    usage: Usage = Usage()
    fallen_to: str | None = None
    """The model code that answered, where that was a fallback."""
    stop_sequence: str | None = None
    """Which of the texts at which it was to end it met, where the provider says so."""


class Error(msgspec.Struct, frozen=True):
    """There will be no (more) answer. Always the last entry."""

    error: SynapseError


Event = Content | Restart | Finish | Error
EventId = tuple[int, int]
"""`(run, seq)`: which lease of the task wrote the entry, and the entry's place among those, from 1."""
Entry = tuple[EventId, Event]


def format_event_id(event_id: EventId) -> str:
    """Write an event's id as callers see it: `<run>-<seq>`."""
    return f"{event_id[0]}-{event_id[1]}"
