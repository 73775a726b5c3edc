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


class Restart(msgspec.Struct, frozen=True, gc=False):
    """All text before this is void: another attempt begins from the beginning."""

    reason: str


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The answer is complete. Always the last entry."""

    reason: FinishReason
    usage: Usage = Usage()
    fallen_to: str | None = None
    """The model code that answered, where that was a fallback."""


class Error(msgspec.Struct, frozen=True):
    """There will be no (more) answer. Always the last entry."""

    error: SynapseError


Event = Delta | Restart | Finish | Error
EventId = tuple[int, int]
"""`(run, seq)`: which lease of the task wrote the entry, and the entry's place among those, from 1."""
Entry = tuple[EventId, Event]


def format_event_id(event_id: EventId) -> str:
    """Write an event's id as callers see it: `<run>-<seq>`."""
    return f"{event_id[0]}-{event_id[1]}"
