"""Real traffic through this port: what clients have sent is read, and what was answered is written as it was.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for, and where there is none these tests are skipped.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from synapse.domain.answer import Answer, Collector
from synapse.domain.errors import InvalidRequest
from synapse.domain.events import Finish
from synapse.domain.request import Request, Role
from synapse.domain.task import Task
from synapse.providers.wires.anthropic import WIRE
from synapse.server.http.anthropic.answer import message
from synapse.server.http.anthropic.body import CountBody, MessagesBody, count_request, messages_request
from synapse.server.http.anthropic.stream import MessageStream, encode_start

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[5] / "shared" / "recordings")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recordings in {FOLDER}: set SYNAPSE_RECORDINGS to the folder that has them"
)
FILES = sorted((FOLDER / "anthropic").glob("*.json"))
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TASK = Task("task_1", Request("claude", ()), "p", "claude", 0.0, 1.0, 1.0)
REFUSED = {"stream-citations": "messages[0].content[1].citations"}
"""The field that cannot be passed on, by the recording that has it."""


def exchange(path: Path) -> dict[str, Any]:
    """Read a recording."""
    return dict(json.loads(path.read_text()))


ASKED = [path for path in FILES if "/v1/messages" in exchange(path)["request"]["url"] and "batch" not in path.stem]
ANSWERED = [path for path in ASKED if exchange(path)["response"]["status"] == 200 and "count" not in path.stem]


def read(request: dict[str, Any]) -> Request:
    """Read what a client has sent."""
    body = msgspec.json.encode(request["body"])
    if "count_tokens" in request["url"]:
        return count_request(msgspec.json.decode(body, type=CountBody))
    return messages_request(msgspec.json.decode(body, type=MessagesBody))


@pytest.mark.parametrize("path", [path for path in ASKED if path.stem not in REFUSED], ids=lambda path: path.stem)
def test_what_clients_have_sent_is_read(path: Path) -> None:
    """Every turn of it is in a message."""
    request = exchange(path)["request"]

    roles = [message.role.value for message in read(request).messages if message.role is not Role.SYSTEM]

    assert roles == [role for role, _ in itertools.groupby(turn["role"] for turn in request["body"]["messages"])]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_passed_on_is_refused(name: str) -> None:
    """By the name of the field and its place."""
    with pytest.raises(InvalidRequest) as caught:
        read(exchange(FOLDER / "anthropic" / f"{name}.json")["request"])

    assert caught.value.field == REFUSED[name]


def events_of(response: dict[str, Any]) -> list[Any]:
    """Read the events of an answer; a plain one is one."""
    if response["body_kind"] == "json":
        return [response["body"]]
    return [json.loads(line[6:]) for line in response["body"].splitlines() if line.startswith("data: ")]


def signals_of(response: dict[str, Any]) -> list[Any]:
    """Read an answer as the wire does."""
    decoder = WIRE.decoder()
    signals = [signal for event in events_of(response) for signal in decoder.feed(json.dumps(event).encode())]
    return [*signals, decoder.end()]


def collect(signals: list[Any]) -> Answer:
    """Put an answer together."""
    answer = Collector().add_all([((1, seq), signal) for seq, signal in enumerate(signals, 1)])
    assert answer is not None
    return answer


@pytest.mark.parametrize("path", ANSWERED, ids=lambda path: path.stem)
def test_what_was_answered_is_written_as_it_was(path: Path) -> None:
    """Whole and streamed; the client's own types take it in strict mode, and the wire reads the same again."""
    signals = signals_of(exchange(path)["response"])
    assert isinstance(signals[-1], Finish)
    answer = collect(signals)

    whole = msgspec.json.encode(message(TASK, answer))
    entries = [((1, seq), signal) for seq, signal in enumerate(signals, 1)]
    stream = (encode_start(TASK, 1) + MessageStream(TASK).encode(entries)).decode()

    Message.model_validate_json(whole, strict=True)
    events = events_of({"body_kind": "sse", "body": stream})
    for event in events:
        EVENTS.validate_json(json.dumps(event), strict=True)
    assert collect(signals_of({"body_kind": "json", "body": json.loads(whole)})) == answer
    assert collect(signals_of({"body_kind": "sse", "body": stream})) == answer


@pytest.mark.parametrize(
    "path", [path for path in ANSWERED if exchange(path)["response"]["body_kind"] == "json"], ids=lambda path: path.stem
)
def test_a_plain_answer_has_the_blocks_the_end_and_the_counts_it_had(path: Path) -> None:
    """Field by field, as far as the field is there at all."""
    recorded = exchange(path)["response"]["body"]

    written = json.loads(msgspec.json.encode(message(TASK, collect(signals_of(exchange(path)["response"])))))

    for theirs, ours in zip(recorded["content"], written["content"], strict=True):
        assert {name: theirs[name] for name in ours} == ours
    for name in ("stop_reason", "stop_sequence"):
        assert written[name] == recorded[name]
    for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"):
        assert written["usage"][name] == recorded["usage"][name]
