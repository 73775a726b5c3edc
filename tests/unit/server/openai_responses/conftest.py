"""Responses as they are written, and as clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import pytest

from synapse.domain.events import Event
from synapse.domain.task import Task
from synapse.server.http.openai.responses_request import decode_body, responses_request
from synapse.server.http.openai.responses_stream import ResponseStream

Json = dict[str, Any]


class Written:
    """A task, what was asked, and the stream of its answer."""

    def __init__(self, **fields: object) -> None:
        """Take the fields of a body beside model and input."""
        self.body = decode_body(msgspec.json.encode({"model": "m", "input": "Why?", **fields}))
        self.task = Task("task_1f", responses_request(self.body), "up", "real-m", 1000.5, 1.0, 1.0)
        self.stream = ResponseStream(self.task, self.body, now=lambda: 2000.5)

    def write(self, *batches: Sequence[Event]) -> bytes:
        """Write what came, batch by batch."""
        entries = [[((1, 1), event) for event in batch] for batch in batches]
        return b"".join([self.stream.encode(batch) for batch in entries])

    def events(self, *batches: Sequence[Event]) -> list[Json]:
        """Write what came; return the events as a client reads them.

        Each frame is an `event:` line with the type and a `data:` line with the same type in it, and nothing else.
        """
        *frames, rest = self.write(*batches).split(b"\n\n")
        assert rest == b""
        events = []
        for frame in frames:
            name, data = frame.split(b"\n")
            event = msgspec.json.decode(data.removeprefix(b"data: "))
            assert name == b"event: " + event["type"].encode()
            events.append(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        return events


class Write(Protocol):
    """Makes what writes a response."""

    def __call__(self, **fields: object) -> Written:
        """Take the fields of a body beside model and input."""


@pytest.fixture(scope="session")
def asking() -> Write:
    """Give what writes the response to a request."""
    return Written
