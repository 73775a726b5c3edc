"""A stream of the native API: the entries of a task's log as server-sent events, comments while there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.events import Delta, Error, Event, Finish, FinishReason, Restart, format_event_id
from synapse.domain.usage import Usage
from synapse.server.http.explain import error_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.brokers.base import Place
    from synapse.domain.events import Entry
    from synapse.domain.task import Task
    from synapse.server.http.asgi import Headers

_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEPALIVE = b": keepalive\n\n"


class FinishData(msgspec.Struct):
    """The data of a stream's last event."""

    text: str
    model_code: str
    """That of the model which answered: a fallback's where one did."""
    finish_reason: FinishReason
    usage: Usage


_encode = msgspec.json.Encoder().encode


def stream_headers(place: Place | None) -> Headers:
    """Return the headers of a stream; of one whose task waits they say where it stands."""
    if place is None:
        return _HEADERS
    headers = [*_HEADERS, (b"x-synapse-position", b"%d" % place.position)]
    if place.eta is not None:
        headers.append((b"x-synapse-eta", b"%.1f" % place.eta))
    return headers


def encode_comment(place: Place | None) -> bytes:
    """Write what shows that a stream lives; of one whose task waits it says where it stands."""
    if place is None:
        return _KEEPALIVE
    eta = b" eta=%.1f" % place.eta if place.eta is not None else b""
    return b": queued position=%d%b\n\n" % (place.position, eta)


def encode_entries(entries: Sequence[Entry], task: Task) -> bytes:
    """Write entries of a task's log as events."""
    if len(entries) == 1:
        return _encode_entry(*entries[0], task)
    return b"".join([_encode_entry(event_id, event, task) for event_id, event in entries])


def _encode_entry(event_id: tuple[int, int], event: Event, task: Task) -> bytes:
    if type(event) is Delta:
        return b'id: %d-%d\ndata: {"text":%b}\n\n' % (*event_id, _encode(event.text))
    mark = format_event_id(event_id).encode()
    match event:
        case Finish(reason, usage):
            return b"id: %b\ndata: %b\n\n" % (mark, _encode(FinishData("", model_code(task, event), reason, usage)))
        case Error(error):
            return b"id: %b\nevent: error\ndata: %b\n\n" % (mark, error_json(error))
        case Restart(reason):
            return b"id: %b\nevent: restart\ndata: %b\n\n" % (mark, _encode({"reason": reason}))
        case _:
            return b""


def model_code(task: Task, finish: Finish) -> str:
    """Return the code of the model that answered."""
    return finish.fallen_to or task.request.model
