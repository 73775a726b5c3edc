"""A streamed answer as clients read it: chunks, comments while there are none, and nothing else.

The official client reads an `id:`, a `retry:` or an event without data as the end of the world; once there was an
`id:`, comments are fatal too. So there are `data:` lines and comments only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.events import CallDelta, Delta, Error, Finish, Logprobs, Thought
from synapse.domain.request import Thinking
from synapse.server.http.openai.chat_answer import service_tier
from synapse.server.http.openai.errors import error_json
from synapse.server.http.openai.parts import Call, Called, Detail, call_id, completion_id, detail, extra
from synapse.server.http.openai.usage import completion_usage, sum_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.events import Event
    from synapse.domain.task import Task
    from synapse.server.http.openai.choices import Batch

_DONE: Final = b"data: [DONE]\n\n"
_WORDS, _WORDS_END = b'"delta":{"content":', b"}"
_NO_LOGPROBS, _LOGPROBS, _LOGPROBS_END = b',"logprobs":null', b',"logprobs":{"content":', b',"refusal":null}'
_GOES_ON = b',"finish_reason":null}]'
_FIRST_WORDS = b'"delta":{"role":"assistant","content":"","refusal":null}'
_FIRST_CALL = b'"delta":{"role":"assistant","content":null,"refusal":null}'


class StreamDelta(msgspec.Struct, gc=False):
    """The next piece of a message that is more than text."""

    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[Detail] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


class ChatStream:
    """Writes the chunks of tasks that belong together."""

    def __init__(self, tasks: Sequence[Task], *, include_usage: bool) -> None:
        """Take the tasks, and whether a chunk with the usage is wanted at the end."""
        self._tasks = tasks
        self._begun = False
        self._finishes: list[Finish] = []
        self._include_usage = include_usage
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        opening = self._opening(tasks[0].request.model)
        self._choices = [_Choice(task, index, opening, self._end) for index, task in enumerate(tasks)]
        self.over = False
        """Whether all has been written."""

    def encode(self, batches: Sequence[Batch]) -> bytes:
        """Write what has come."""
        pieces: list[bytes] = []
        for index, entries in batches:
            if entries and not self._begun:
                self._begin(entries[0][1], pieces)
            choice = self._choices[index]
            for _, event in entries:
                if type(event) is Finish:
                    self._finish(event, choice, pieces)
                elif type(event) is Error:
                    self._fail(event, pieces)
                else:
                    choice.write(event, pieces)
            if self.over:
                break
        return b"".join(pieces)

    def _begin(self, event: Event, pieces: list[bytes]) -> None:
        """Open all choices in their order: the official client fails where one comes before those of lower index."""
        if type(event) is Error:
            return
        self._begun = True
        first = _FIRST_CALL if type(event) is CallDelta and len(self._choices) == 1 else _FIRST_WORDS
        for choice in self._choices:
            pieces += (choice.head, first, choice.tail)

    def _fail(self, event: Error, pieces: list[bytes]) -> None:
        """Say what went wrong. Nothing follows: `[DONE]` would say that the answers are whole."""
        pieces += (b"data: ", error_json(event.error), b"\n\n")
        self.over = True

    def _finish(self, event: Finish, choice: _Choice, pieces: list[bytes]) -> None:
        self._finishes.append(event)
        opening = self._opening(event.fallen_to) if event.fallen_to is not None else choice.opening
        choice.finish(event, opening, pieces)
        if len(self._finishes) == len(self._tasks):
            self._end_all(opening, pieces)

    def _end_all(self, opening: bytes, pieces: list[bytes]) -> None:
        if self._include_usage:
            usage = completion_usage(sum_up([finish.usage for finish in self._finishes]))
            pieces += (opening, b'],"usage":', _encode(usage), b"}\n\n")
        pieces.append(_DONE)
        self.over = True

    def _opening(self, model: str) -> bytes:
        """Return how each chunk begins: id, instant and model are the same in all, up to a fallback's last ones."""
        task = self._tasks[0]
        return (
            b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,"service_tier":"%b",'
            b'"system_fingerprint":null,"choices":['
        ) % (completion_id(task.id).encode(), int(task.created_at), _encode(model), service_tier(task).encode())


class _Choice:
    """One of the answers, as far as it has been written."""

    __slots__ = ("_calls", "_details", "_end", "_index", "_task", "_thoughts", "head", "opening", "tail")

    def __init__(self, task: Task, index: int, opening: bytes, end: bytes) -> None:
        self._task = task
        self._index = b'{"index":%d,' % index
        self._calls = 0
        """Tool calls that have begun."""
        self._thoughts: list[str] = []
        """The texts of a block of thoughts that may yet be signed."""
        self._details = 0
        self._end = end
        self.opening = opening
        self.head = opening + self._index
        self.tail = _NO_LOGPROBS + _GOES_ON + end

    def write(self, event: Event, pieces: list[bytes]) -> None:
        """Write an event that does not end the answer."""
        match event:
            case Delta(text):
                pieces += (self.head, _WORDS, _encode(text), _WORDS_END, self.tail)
                if self._thoughts:
                    self._thoughts = []
            case Logprobs(content):
                self._write_logprobs(content, pieces)
            case Thought():
                self._write_delta(self._thought(event), pieces)
            case CallDelta():
                self._thoughts = []
                self._write_delta(StreamDelta(tool_calls=[self._call(event)]), pieces)
            case _:
                pass

    def finish(self, finish: Finish, opening: bytes, pieces: list[bytes]) -> None:
        """Write why the answer ended."""
        reason = finish.reason.encode()
        pieces += (opening, self._index, b'"delta":{}', _NO_LOGPROBS, b',"finish_reason":"', reason, b'"}]', self._end)

    def _write_delta(self, delta: StreamDelta, pieces: list[bytes]) -> None:
        pieces += (self.head, b'"delta":', _encode(delta), self.tail)

    def _write_logprobs(self, content: msgspec.Raw, pieces: list[bytes]) -> None:
        """Write how probable a text was: into its chunk, where that is at hand."""
        if pieces and pieces[-1] is self.tail and pieces[-2] is _WORDS_END and pieces[-5] is self.head:
            pieces.pop()
        else:
            pieces += (self.head, _WORDS, b'""', _WORDS_END)
        pieces += (_LOGPROBS, bytes(content), _LOGPROBS_END, _GOES_ON, self._end)

    def _thought(self, thought: Thought) -> StreamDelta:
        """Show a thought as it comes. A block that must be given back follows as a whole when it is signed."""
        if thought.redacted is not None:
            return StreamDelta(reasoning_details=[self._detail(Thinking("", redacted=thought.redacted))])
        self._thoughts.append(thought.text)
        delta = StreamDelta(thought.text or UNSET)
        if thought.signature is not None:
            delta.reasoning_details = [self._detail(Thinking("".join(self._thoughts), thought.signature))]
        return delta

    def _detail(self, thinking: Thinking) -> Detail:
        self._thoughts = []
        self._details += 1
        return detail(thinking, self._details - 1)

    def _call(self, event: CallDelta) -> Call:
        if event.position < self._calls:
            function = Called(event.arguments)
            return Call(function, event.position, extra_content=extra(event.signature))
        self._calls = event.position + 1
        return Call(
            Called(event.arguments, event.name or ""),
            event.position,
            event.id or call_id(self._task.id, event.position),
            "function",
            extra(event.signature),
        )
