"""A streamed response: the entries of a task's log become events, item by item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.events import CallDelta, Delta, Error, Finish, Logprobs, Thought
from synapse.domain.request import Thinking
from synapse.server.http.openai.responses_events import Completed, Created, EventWriter, Failed, Incomplete, InProgress
from synapse.server.http.openai.responses_object import encode_object, ended, failed, is_complete, new_response
from synapse.server.http.openai.responses_open import OpenCall, OpenMessage, OpenThoughts, write_whole
from synapse.server.http.openai.responses_output import reasoning_item

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse.domain.events import Entry, Event
    from synapse.domain.task import Task
    from synapse.server.http.openai.responses_output import Item
    from synapse.server.http.openai.responses_request import ResponsesBody


class ResponseStream:
    """Writes the events of one response."""

    def __init__(self, task: Task, body: ResponsesBody, *, now: Callable[[], float]) -> None:
        """Take the task, what was asked, and the clock."""
        self._task_id = task.id
        self._response = new_response(task, body)
        self._now = now
        self._writer = EventWriter()
        self._begun = False
        self._items: list[Item] = []
        """Those that have ended."""
        self._open: OpenMessage | OpenCall | OpenThoughts | None = None
        self._calls = 0
        self.over = False
        """Whether all has been written."""

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """Write what has come, as one."""
        if entries and not self._begun:
            self._begin()
        for _, event in entries:
            if type(event) is Delta:
                self._say(event.text)
            else:
                self._add(event)
        return self._writer.take()

    def _begin(self) -> None:
        self._begun = True
        response = msgspec.Raw(encode_object(self._response))
        self._writer.write(Created(response=response))
        self._writer.write(InProgress(response=response))

    def _add(self, event: Event) -> None:
        match event:
            case CallDelta():
                self._call(event)
            case Thought():
                self._think(event)
            case Logprobs(content):
                self._add_logprobs(content)
            case Finish():
                self._finish(event)
            case Error():
                self._fail(event)
            case _:
                pass

    def _say(self, text: str) -> None:
        message = self._open
        if not isinstance(message, OpenMessage):
            self._close()
            if not text:
                return
            message = self._message()
        message.add(text)

    def _add_logprobs(self, content: msgspec.Raw) -> None:
        message = self._message() if self._open is None else self._open
        if isinstance(message, OpenMessage):
            message.add_logprobs(content)

    def _call(self, delta: CallDelta) -> None:
        call = self._open
        if not isinstance(call, OpenCall) or call.position != delta.position:
            self._close()
            call = self._open = OpenCall(self._writer, self._task_id, len(self._items), self._calls, delta)
            self._calls += 1
        call.add(delta)

    def _think(self, thought: Thought) -> None:
        thoughts = self._open
        if thought.redacted is not None or not isinstance(thoughts, OpenThoughts):
            self._close()
            if thought.redacted is not None:
                self._show_sealed(thought)
                return
            thoughts = self._open = OpenThoughts(self._writer, self._task_id, len(self._items))
        thoughts.add(thought)
        if thought.signature is not None:
            self._close()

    def _show_sealed(self, thought: Thought) -> None:
        item = reasoning_item(self._task_id, len(self._items), Thinking("", redacted=thought.redacted))
        write_whole(self._writer, len(self._items), item)
        self._items.append(item)

    def _message(self) -> OpenMessage:
        message = self._open = OpenMessage(self._writer, self._task_id, len(self._items))
        return message

    def _close(self, *, complete: bool = True) -> None:
        if self._open is not None:
            self._items.append(self._open.end(complete=complete))
            self._open = None

    def _finish(self, finish: Finish) -> None:
        if self._open is None and not self._items:
            self._message()
        complete = is_complete(finish)
        self._close(complete=complete)
        response = msgspec.Raw(encode_object(ended(self._response, finish, self._items, self._now())))
        self._writer.write(Completed(response=response) if complete else Incomplete(response=response))
        self.over = True

    def _fail(self, event: Error) -> None:
        """Say what went wrong. What was begun stays so: nothing ends that has not ended."""
        items = self._items if self._open is None else [*self._items, self._open.item(complete=False)]
        response = msgspec.Raw(encode_object(failed(self._response, event.error, items)))
        self._writer.write(Failed(response=response))
        self.over = True
