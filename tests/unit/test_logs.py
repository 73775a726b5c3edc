"""Logs: their form, what they leave out, and what they survive."""

from __future__ import annotations

import io
import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from synapse.logs import configure, redact

KEYS = [
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "AQ.Ab8RN6abcdefghijklmnop",
    "sk-or-v1-0123456789abcdef",
    "sk-fake-key",
    "gsk_0123456789abcdef",
]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Broken(io.StringIO):
    """A stream that cannot be written to."""

    def write(self, _text: str) -> int:
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


def fail(message: str) -> None:
    """Raise an error to be logged."""
    raise ValueError(message)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was: it belongs to the whole process."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("around", ["{}", "?key={}&x=1", "the key '{}' is invalid", "Bearer {}", '"{}"', "x,{};"])
def test_keys_are_taken_out_of_any_text(key: str, around: str) -> None:
    """What stands around a key stays."""
    text = around.format(key)

    assert key not in redact(text)
    assert key[-5:] not in redact(text)
    assert redact(text).startswith(around.partition("{")[0])


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer …"),
        ("authorization: bearer abcdefgh1234; x", "authorization: bearer …; x"),
        ("http://user:pw@proxy:3128/x", "http://…@proxy:3128/x"),
        ("task-0123456789abcdef", "task-0123456789abcdef"),
        ("risk-averse-and-slow", "risk-averse-and-slow"),
        ("someone@example.com", "someone@example.com"),
        ("the bearer of this", "the bearer of this"),
        ("z-ai/glm-4.5-air:free", "z-ai/glm-4.5-air:free"),
    ],
)
def test_only_what_looks_like_a_secret_is_taken_out(text: str, redacted: str) -> None:
    """Words, model codes and mail addresses stay."""
    assert redact(text) == redacted


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """What takes a key's place does not look like a key."""
    assert redact(redact(text)) == redact(text)


def test_an_event_is_one_json_object_a_line() -> None:
    """With the time in UTC, the level, the event, and the fields as they were given."""
    stream = io.StringIO()
    configure(stream)

    structlog.get_logger().info("task", id="task_1", model=None, attempts=1, total_ms=1.5, models=["a"], odd=math.nan)
    structlog.get_logger().warning("second\nline")

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert list(first) == ["timestamp", "level", "event", "id", "model", "attempts", "total_ms", "models", "odd"]
    assert first | {"timestamp": None} == {
        "timestamp": None,
        "level": "info",
        "event": "task",
        "id": "task_1",
        "model": None,
        "attempts": 1,
        "total_ms": 1.5,
        "models": ["a"],
        "odd": None,
    }
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first["timestamp"])) < timedelta(minutes=1)
    assert (second["level"], second["event"]) == ("warning", "second\nline")


def test_a_terminal_gets_readable_lines() -> None:
    """With fields as name=value, in the order given."""
    stream = Terminal()
    configure(stream, json=None)

    structlog.get_logger().info("ready", http="http://127.0.0.1:8080", slots=128)

    plain = "".join(
        part.partition("m")[2] if index else part for index, part in enumerate(stream.getvalue().split("\x1b["))
    )
    assert "info" in plain
    assert plain.rstrip().endswith("http=http://127.0.0.1:8080 slots=128")


def test_the_form_can_be_chosen() -> None:
    """JSON on a terminal, and lines for people in a file, without colours there."""
    terminal, file = Terminal(), io.StringIO()

    configure(terminal, json=True)
    structlog.get_logger().info("ready")
    configure(file, json=False)
    structlog.get_logger().info("ready", slots=1)

    assert json.loads(terminal.getvalue())["event"] == "ready"
    assert file.getvalue().endswith("slots=1\n")
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_key_gets_into_a_log(as_json: bool) -> None:  # noqa: FBT001
    """Not as the event, nor in a field, a list, a traceback, or an object's representation."""
    stream = io.StringIO()
    configure(stream, json=as_json)
    log = structlog.get_logger()

    for key in KEYS:
        log.info(key, field=key, fields=[{"a": f"x={key}"}], thing=ValueError(key))
        try:
            fail(f"bad key {key}")
        except ValueError:
            log.exception("failed", url=f"https://example.com/?key={key}")

    assert stream.getvalue().count("bad key") >= len(KEYS)
    assert not [key for key in KEYS if key in stream.getvalue()]


def test_a_traceback_shows_no_local_variables() -> None:
    """Keys and prompts are among them."""
    stream = io.StringIO()
    configure(stream, json=False)
    prompt = f"write {12} poems"

    try:
        fail(str(len(prompt)))
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "ValueError: 14" in stream.getvalue()
    assert prompt not in stream.getvalue()


def test_events_below_the_level_are_left_out() -> None:
    """INFO is the level unless another is given."""
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().debug("quiet")
    configure(stream, level=logging.ERROR)
    structlog.get_logger().warning("quiet")
    structlog.get_logger().error("loud")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_libraries_log_in_the_same_form_from_warning_on() -> None:
    """Their logger's name tells which it was."""
    stream = io.StringIO()
    configure(stream)

    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    logging.getLogger("grpc").log(35, "between two levels")
    try:
        fail("why")
    except ValueError:
        logging.getLogger("aiohttp").exception("failed")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"], line["logger"]) for line in lines] == [
        ("warning", "slow callback", "asyncio"),
        ("warning", "between two levels", "grpc"),
        ("error", "failed", "aiohttp"),
    ]
    assert lines[2]["exception"].endswith("ValueError: why")


def test_what_a_library_formats_wrongly_is_still_logged() -> None:
    """Its fault is not ours to fail by."""
    stream = io.StringIO()
    configure(stream)

    logging.getLogger("odd").warning("%d items", "many")

    assert json.loads(stream.getvalue())["event"] == "%d items"


def test_any_field_can_be_logged() -> None:
    """Half a surrogate pair, numbers beyond 64 bits, odd objects and odd keys do not stop the work."""
    stream = io.StringIO()
    configure(stream)
    log = structlog.get_logger()

    log.info("text", field="\ud800")
    log.info("number", field=2**70)
    log.info("object", field=object())
    log.info("keys", field={(1, 2): 3})

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
        "text",
        "number",
        "object",
        "keys",
    ]


def test_a_stream_that_is_gone_loses_events_and_nothing_else() -> None:
    """A full disk or a closed pipe must not end a task."""
    closed = io.StringIO()
    configure(closed)
    closed.close()
    structlog.get_logger().info("lost")
    configure(Broken())
    structlog.get_logger().info("lost")


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    """Modules make theirs when they are imported."""
    script = (
        "import structlog, sys; log = structlog.get_logger('early'); from synapse import logs; "
        "logs.configure(sys.stderr); log.info('late', n=1)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603

    assert json.loads(result.stderr)["event"] == "late"
