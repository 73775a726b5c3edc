"""The one line that tells of a task when it is over."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from synapse.brokers.base import TaskEnd

WRITE_EVERY = 0.1
"""Seconds; the lines of that time are written together."""


class TaskLine(msgspec.Struct, frozen=True, gc=False):
    """The line. It has no prompt, no answer and no key: nothing in it is a caller's or a provider's text."""

    timestamp: datetime
    level: str
    event: str
    id: str
    caller: str
    model: str
    outcome: str
    """The state the task ended in."""
    error: str | None
    attempts: int
    queue_ms: float
    first_token_ms: float | None
    total_ms: float
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    """US dollars."""


def task_line(end: TaskEnd, now: datetime) -> TaskLine:
    """Say what there is to say of a task."""
    return TaskLine(
        now,
        "info" if end.error is None else "warning",
        "task",
        end.task.id,
        end.task.caller.name,
        end.task.fallen_to or end.task.request.model,
        end.state,
        None if end.error is None else end.error.code,
        end.attempts,
        round(end.queued * 1000, 1),
        None if end.first_token is None else round(end.first_token * 1000, 1),
        round(end.total * 1000, 1),
        end.input_tokens,
        end.output_tokens,
        end.cost,
    )


class ReadableTaskLog:
    """For people: each line like all other events, at once."""

    def __init__(self) -> None:
        """Write where structlog writes."""
        self._log = structlog.get_logger("synapse.task")

    def __call__(self, end: TaskEnd) -> None:
        """Write the line of a task."""
        fields = msgspec.structs.asdict(task_line(end, datetime.now(UTC)))
        del fields["timestamp"]
        write = self._log.info if fields.pop("level") == "info" else self._log.warning
        write(fields.pop("event"), **{name: value for name, value in fields.items() if value is not None})

    def flush(self) -> None:
        """Do nothing: lines are written at once."""


class JsonTaskLog:
    """For machines. There can be thousands of lines a second: they are made and written together."""

    def __init__(self, stream: TextIO) -> None:
        """Take the stream that other events go to as well."""
        self._stream = stream
        self._encode = msgspec.json.Encoder().encode
        self._lines: list[bytes] = []

    def __call__(self, end: TaskEnd) -> None:
        """Note the line of a task; it is written soon. Only its bytes are kept: the task may be large."""
        if not self._lines:
            asyncio.get_running_loop().call_later(WRITE_EVERY, self.flush)
        self._lines.append(self._encode(task_line(end, datetime.now(UTC))))

    def flush(self) -> None:
        """Write what is noted. A stream that can no longer be written to loses lines; it never stops the work."""
        lines, self._lines = self._lines, []
        text = b"".join([line + b"\n" for line in lines]).decode()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            return


def open_task_log(stream: TextIO) -> ReadableTaskLog | JsonTaskLog:
    """Choose the form by who reads: a terminal's lines are for people."""
    return ReadableTaskLog() if stream.isatty() else JsonTaskLog(stream)
