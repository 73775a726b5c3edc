"""Logs: events with fields, not prose; JSON lines for machines, readable ones on a terminal, never a key.

`structlog.get_logger()` gives a logger; `log.info("task", id=…, total_ms=…)` writes an event. One of a dozen fields
costs about 7 µs as JSON, its write to a file included.
"""

from __future__ import annotations

import json as stdlib_json
import logging
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_SECRET = re.compile(
    r"""(?P<bearer>[Bb]earer\s+)[^\s"'\\,;]{8,}
    |(?<![A-Za-z0-9])(?P<prefix>AIza|AQ\.|sk-|gsk_)[A-Za-z0-9_-]{8,}
    |(?P<scheme>://)[^\s/@"']+(?=@)  # user and password of a URL
    """,
    re.VERBOSE,
)


def redact(text: str) -> str:
    """Give the text with an ellipsis in the place of all that looks like an API key or a URL's password."""
    # Nearly no text has one of these; to look for them takes a tenth of the time that the expression takes.
    if "earer" in text or "AIza" in text or "AQ." in text or "sk-" in text or "gsk_" in text or "@" in text:
        return _SECRET.sub(lambda match: f"{match[match.lastgroup or 0]}…", text)
    return text


def configure(stream: TextIO, *, json: bool | None = None, level: int = logging.INFO) -> None:
    """Send events of that level and above to the stream. Call it once in a process, before the first event.

    The form is JSON lines unless the stream is a terminal, where `json` does not say. What libraries log comes the same
    way, from WARNING on. A stream that can no longer be written to loses events; it never stops the work.
    """
    import structlog  # noqa: PLC0415 - it takes 0.1 s to load, which commands that log nothing need not wait for

    as_json = not stream.isatty() if json is None else json
    structlog.configure(
        processors=_json_lines() if as_json else _readable_lines(colors=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Writer(stream),
        cache_logger_on_first_use=True,
    )
    logging.root.handlers[:] = [_Bridge(structlog.get_logger())]
    logging.root.setLevel(logging.WARNING)


def _json_lines() -> list[Processor]:
    from structlog.processors import format_exc_info  # noqa: PLC0415 - see configure

    return [format_exc_info, _as_json]


def _readable_lines(*, colors: bool) -> list[Processor]:
    from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415 - see configure
    from structlog.processors import TimeStamper, add_log_level  # noqa: PLC0415 - see configure

    # The default traceback shows local variables: keys and prompts are among them.
    renderer = ConsoleRenderer(
        colors=colors and not os.environ.get("NO_COLOR"), exception_formatter=plain_traceback, sort_keys=False
    )
    return [
        add_log_level,
        TimeStamper("%H:%M:%S", utc=False),
        lambda logger, level, event: redact(renderer(logger, level, event)),
    ]


_encode = msgspec.json.Encoder(enc_hook=repr).encode


def _as_json(_logger: WrappedLogger, level: str, event: EventDict) -> str:
    line = {"timestamp": datetime.now(UTC), "level": level, "event": event.pop("event"), **event}
    try:
        return redact(_encode(line).decode())
    except (UnicodeEncodeError, OverflowError, TypeError):  # half a surrogate pair, an integer beyond 64 bits, odd keys
        return redact(stdlib_json.dumps(line, default=str, skipkeys=True))


class _Writer:
    """Where structlog leaves finished lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def info(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more, the disk is full, the stream is closed
            return

    debug = warning = error = critical = info


class _Bridge(logging.Handler):
    """Makes events of what libraries log in the standard library's way."""

    def __init__(self, log: WrappedLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the arguments do not fit the format
            message = str(record.msg)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        self._log.log(level, message, logger=record.name, exc_info=record.exc_info)
