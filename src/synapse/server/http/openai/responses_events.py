"""The events of a streamed response, and how they are written.

The type of each stands twice: in its `event:` line, and in its data, which is where the official client looks. They are
numbered from 0. Nothing marks the end of a stream but its last event, and no event has an id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from synapse.server.http.openai.responses_output import Item, SummaryPart, TextPart

if TYPE_CHECKING:
    from collections.abc import Sequence


class Event(msgspec.Struct, kw_only=True, tag_field="type", tag="event"):
    """An event; its number is given to it when it is written."""

    sequence_number: int = 0


class Created(Event, tag="response.created"):
    """The first event."""

    response: msgspec.Raw


class InProgress(Event, tag="response.in_progress"):
    """The second one."""

    response: msgspec.Raw


class Completed(Event, tag="response.completed"):
    """The last event of a whole answer."""

    response: msgspec.Raw


class Incomplete(Event, tag="response.incomplete"):
    """The last event of an answer that was cut short."""

    response: msgspec.Raw


class Failed(Event, tag="response.failed"):
    """The last event where something went wrong."""

    response: msgspec.Raw


class ItemAdded(Event, tag="response.output_item.added"):
    """An item begins."""

    output_index: int
    item: Item


class ItemDone(Event, tag="response.output_item.done"):
    """An item has ended."""

    output_index: int
    item: Item


class InItem(Event, tag="in_item"):
    """Something of an item."""

    item_id: str
    output_index: int


class PartAdded(InItem, tag="response.content_part.added"):
    """A text begins."""

    part: TextPart
    content_index: int = 0


class PartDone(InItem, tag="response.content_part.done"):
    """A text and all that goes with it has ended."""

    part: TextPart
    content_index: int = 0


class TextDone(InItem, tag="response.output_text.done"):
    """A text has ended."""

    text: str
    logprobs: Sequence[msgspec.Raw]
    content_index: int = 0


class ArgumentsDone(InItem, tag="response.function_call_arguments.done"):
    """A call has all of its arguments."""

    arguments: str


class SummaryAdded(InItem, tag="response.reasoning_summary_part.added"):
    """Thoughts begin."""

    part: SummaryPart
    summary_index: int = 0


class SummaryTextDone(InItem, tag="response.reasoning_summary_text.done"):
    """The text of thoughts has ended."""

    text: str
    summary_index: int = 0


class SummaryDone(InItem, tag="response.reasoning_summary_part.done"):
    """Thoughts have ended."""

    part: SummaryPart
    summary_index: int = 0


TEXT_DELTA: Final = ("response.output_text.delta", b'"content_index":0,')
ARGUMENTS_DELTA: Final = ("response.function_call_arguments.delta", b"")
SUMMARY_DELTA: Final = ("response.reasoning_summary_text.delta", b'"summary_index":0,')
"""The events with the next piece of something, and what is always in them."""

NO_LOGPROBS: Final = b',"logprobs":[]'
_NUMBER, _END = b',"sequence_number":', b"}\n\n"

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Writes events one after the other."""

    __slots__ = ("_number", "_pieces")

    def __init__(self) -> None:
        """Begin with the event of number 0."""
        self._number = 0
        self._pieces: list[bytes] = []

    def take(self) -> bytes:
        """Return all that was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def write(self, event: Event) -> None:
        """Write an event."""
        event.sequence_number = self._number
        self._number += 1
        self._pieces.append(b"event: %b\ndata: %b\n\n" % (_name(event), one_line(_encode(event))))

    def write_delta(self, head: bytes, text: str, more: bytes = b"") -> None:
        """Write the next piece of something: `delta_head` makes the head, `more` follows the piece."""
        self._pieces += (head, _encode(text), more, _NUMBER, b"%d" % self._number, _END)
        self._number += 1

    def add_to_delta(self, head: bytes, before: bytes, more: bytes) -> bool:
        """Put something else in the place of what follows the last piece, where that is still here; say whether."""
        pieces = self._pieces
        if len(pieces) < 6 or pieces[-6] is not head or pieces[-4] is not before:  # noqa: PLR2004 - of one delta
            return False
        pieces[-4] = more
        return True


def one_line(data: bytes) -> bytes:
    """Return JSON without line ends: callers' schemas and providers' numbers are passed on as they were written."""
    return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data


def delta_head(kind: tuple[str, bytes], item_id: str, output_index: int) -> bytes:
    """Return how the events with the pieces of an item begin, up to the piece."""
    name, fields = kind[0].encode(), kind[1]
    place = b'"item_id":%b,"output_index":%d,' % (_encode(item_id), output_index)
    return b'event: %b\ndata: {"type":"%b",%b%b"delta":' % (name, name, place, fields)


def _name(event: Event) -> bytes:
    return str(event.__struct_config__.tag).encode()
