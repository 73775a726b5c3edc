"""A streamed answer, as clients read it: each event has its `event:` line, and blocks come one after the other.

The official client passes over an event without that line, and says nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.events import CallDelta, Delta, Error, Finish, Thought
from synapse.server.http.anthropic.answer import (
    BlockData,
    Ending,
    MessageData,
    RedactedData,
    TextData,
    ThinkingData,
    ToolUseData,
    UsageData,
    call_id,
    ending,
    message_id,
    usage_data,
)
from synapse.server.http.anthropic.errors import error_json
from synapse.server.http.sse import encode_comment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.brokers.base import Place
    from synapse.domain.events import Entry, Event
    from synapse.domain.task import Task

_START: Final = b"event: message_start\ndata: "
_BLOCK_START: Final = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
)
_BLOCK_DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"'
_BLOCK_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_DELTA: Final = b"event: message_delta\ndata: "
_MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_ERROR: Final = b"event: error\ndata: "
_TEXT, _THINKING = b'text_delta","text":', b'thinking_delta","thinking":'
_ARGUMENTS, _SIGNATURE = b'input_json_delta","partial_json":', b'signature_delta","signature":'
_DELTA_END: Final = b"}}\n\n"
_END: Final = b"\n\n"
_NO_INPUT: Final = msgspec.Raw(b"{}")
_NOT_YET: Final = 0

Kind = Literal["text", "thinking", "tool_use"]


class MessageStart(msgspec.Struct, tag_field="type", tag="message_start"):
    """The first event."""

    message: MessageData


class MessageDelta(msgspec.Struct, tag_field="type", tag="message_delta"):
    """The last event but one."""

    delta: Ending
    usage: UsageData
    model: str | UnsetType = UNSET
    """Synapse's own: the code of the fallback that answered, where one did. The first event cannot know it."""


_encode = msgspec.json.Encoder().encode


def encode_ping(place: Place | None) -> bytes:
    """Write what shows that a stream lives; of one whose task waits, a comment in it says where it stands."""
    return _PING if place is None else encode_comment(place)[:-1] + _PING


def encode_start(task: Task, input_tokens: int) -> bytes:
    """Write the first event. It has an estimate of the input: the true count comes with the last but one."""
    usage = UsageData(input_tokens, _NOT_YET, _NOT_YET, _NOT_YET)
    message = MessageData(message_id(task), task.request.model, [], None, None, None, usage)
    return _START + _encode(MessageStart(message)) + _END


class MessageStream:
    """Writes the events of an answer after the first."""

    __slots__ = ("_calls", "_delta", "_index", "_kind", "_position", "_signature", "_task", "_text", "over")

    def __init__(self, task: Task) -> None:
        """Begin before the first block."""
        self._task = task
        self._index = -1
        """Of the block that was begun last."""
        self._kind: Kind | None = None
        """Of the block that is open."""
        self._delta = b""
        """How each event of the open block begins."""
        self._text = b""
        """How it begins where that block is text."""
        self._calls = 0
        """Tool calls that have begun."""
        self._position = 0
        """Of the call that is open."""
        self._signature: str | None = None
        """Of the call that is open, where it came after its beginning."""
        self.over = False
        """Whether all has been written."""

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """Write entries of the task's log."""
        pieces: list[bytes] = []
        for _, event in entries:
            if type(event) is Delta and self._kind == "text":
                pieces += (self._text, _encode(event.text), _DELTA_END)
            else:
                self._write(event, pieces)
        return b"".join(pieces)

    def _write(self, event: Event, pieces: list[bytes]) -> None:
        match event:
            case Delta(text):
                if text:
                    self._open("text", TextData(""), pieces)
                    self._add(_TEXT, text, pieces)
            case Thought():
                self._think(event, pieces)
            case CallDelta():
                self._call(event, pieces)
            case Finish():
                self._finish(event, pieces)
            case Error(error):
                pieces += (_ERROR, error_json(error, self._task.id), _END)
                self.over = True
            case _:
                pass

    def _think(self, thought: Thought, pieces: list[bytes]) -> None:
        if thought.redacted is not None:
            self._open("thinking", RedactedData(thought.redacted), pieces)
            self._close(pieces)
            return
        if not thought.text and not thought.signature:
            return
        if self._kind != "thinking":
            self._open("thinking", ThinkingData("", ""), pieces)
        if thought.text:
            self._add(_THINKING, thought.text, pieces)
        if thought.signature:
            self._add(_SIGNATURE, thought.signature, pieces)
            self._close(pieces)

    def _call(self, call: CallDelta, pieces: list[bytes]) -> None:
        if self._kind != "tool_use" or call.position != self._position:
            name = call.id or call_id(self._task, self._calls)
            block = ToolUseData(name, call.name or "", _NO_INPUT, call.signature or UNSET)
            self._open("tool_use", block, pieces)
            self._position = call.position
            self._calls += 1
        elif call.signature:
            self._signature = call.signature
        if call.arguments:
            self._add(_ARGUMENTS, call.arguments, pieces)

    def _finish(self, finish: Finish, pieces: list[bytes]) -> None:
        self._close(pieces)
        end = ending(finish, called=self._calls > 0)
        data = MessageDelta(end, usage_data(finish.usage), finish.fallen_to or UNSET)
        pieces += (_MESSAGE_DELTA, _encode(data), _END, _MESSAGE_STOP)
        self.over = True

    def _open(self, kind: Kind, block: BlockData, pieces: list[bytes]) -> None:
        """Begin a block, after the end of the one before it."""
        self._close(pieces)
        self._kind = kind
        self._index += 1
        self._delta = _BLOCK_DELTA % self._index
        self._text = self._delta + _TEXT
        pieces.append(_BLOCK_START % (self._index, _encode(block)))

    def _add(self, kind: bytes, text: str, pieces: list[bytes]) -> None:
        pieces += (self._delta, kind, _encode(text), _DELTA_END)

    def _close(self, pieces: list[bytes]) -> None:
        if self._kind is None:
            return
        if self._signature is not None:
            self._add(_SIGNATURE, self._signature, pieces)
            self._signature = None
        pieces.append(_BLOCK_STOP % self._index)
        self._kind = None
