"""Streams that OpenAI sent: what is written for the same answer has the same events, with the same keys.

The recordings are not part of this repository. `SYNAPSE_RECORDINGS` names their folder; without it, one beside the
checkout is looked for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from synapse.domain.errors import InvalidRequest
from synapse.domain.events import CallDelta, Delta, Event, Finish, FinishReason, Logprobs, Thought
from synapse.domain.usage import Usage
from synapse.server.http.openai.errors import error_json
from synapse.server.http.openai.responses_request import decode_body, responses_request

if TYPE_CHECKING:
    from conftest import Write

FOLDER = Path(os.environ.get("SYNAPSE_RECORDINGS") or Path(__file__).resolve().parents[5] / "shared" / "recordings")
FILES = FOLDER / "openai-responses"

pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"no recordings in {FILES}: set SYNAPSE_RECORDINGS to the folder that has them"
)

Json = dict[str, Any]

STREAMS = ["stream-text", "stream-text-gpt5-nano", "stream-logprobs", "stream-tools-gpt5-nano"]
OLDER_STREAMS = ["stream-tools-1", "stream-tools-2"]
"""Of March 2025, when events had no numbers and responses fewer keys."""
NOT_OURS = frozenset({"obfuscation", "moderation", "tool_usage", "billing", "output_schema", "context", "mode"})
"""Keys of what only OpenAI does."""


def recorded(name: str) -> Json:
    """Return a recorded exchange."""
    exchange: Json = json.loads((FILES / f"{name}.json").read_text())
    return exchange


def events_of(body: str) -> list[Json]:
    """Return the events of a recorded stream."""
    lines = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def heard(events: list[Json]) -> list[Event]:
    """Return what a wire would have made of a recorded stream."""
    answer: list[Event] = []
    calls = -1
    for event in events:
        match event["type"].removeprefix("response."):
            case "output_text.delta":
                answer.append(Delta(event["delta"]))
                if event.get("logprobs"):
                    answer.append(Logprobs(msgspec.Raw(msgspec.json.encode(event["logprobs"]))))
            case "output_item.added" if event["item"]["type"] == "function_call":
                calls += 1
                answer.append(CallDelta(calls, event["item"]["call_id"], event["item"]["name"]))
            case "function_call_arguments.delta":
                answer.append(CallDelta(calls, arguments=event["delta"]))
            case "output_item.done" if event["item"]["type"] == "reasoning":
                answer.append(Thought("", redacted=event["item"]["encrypted_content"]))
    return [*answer, Finish(FinishReason.STOP, Usage(1, 1))]


def shape(value: object) -> object:
    """Return the keys of something, and of all that is in it."""
    match value:
        case dict():
            return {key: shape(each) for key, each in value.items() if key not in NOT_OURS}
        case list():
            return [shape(each) for each in value]
        case _:
            return None


def shape_of(event: Json) -> object:
    """Return the keys of an event. What was asked is told again as it came, and what usage consists of can grow."""
    event = dict(event)
    if "response" in event:
        asked = {"tools": [], "usage": None, "metadata": {}}
        event["response"] = {**event["response"], **asked}
    if event["type"].endswith("content_part.done"):
        event["part"] = {**event["part"], "logprobs": []}
    return shape(event)


def numbered(events: list[Json]) -> list[int | None]:
    """Return the numbers of events."""
    return [event.get("sequence_number") for event in events]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_events_and_the_keys_of_the_recorded_one(asking: Write, name: str) -> None:
    """In the same order, with the same numbers, down to the last key of the response."""
    exchange = recorded(name)
    theirs = events_of(exchange["response"]["body"])
    fields = {key: value for key, value in exchange["request"]["body"].items() if key not in {"model", "input"}}

    ours = asking(**fields).events(heard(theirs))

    assert [event["type"] for event in ours] == [event["type"] for event in theirs]
    assert numbered(ours) == numbered(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert shape_of(our) == shape_of(their)


@pytest.mark.parametrize("name", OLDER_STREAMS)
def test_a_stream_has_the_events_of_an_older_one_and_more_keys(asking: Write, name: str) -> None:
    """In the same order; numbers, logprobs and most keys of a response came later."""
    theirs = events_of(recorded(name)["response"]["body"])

    ours = asking().events(heard(theirs))

    assert [event["type"] for event in ours] == [event["type"] for event in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert set(our) >= set(their)
        assert set(our.get("response", {})) >= set(their.get("response", {}))


@pytest.mark.parametrize("name", [*STREAMS, *OLDER_STREAMS])
def test_a_stream_says_what_the_recorded_one_says(asking: Write, name: str) -> None:
    """The same output, but for ids."""
    theirs = events_of(recorded(name)["response"]["body"])

    ours = asking().events(heard(theirs))

    assert [_said(item) for item in ours[-1]["response"]["output"]] == [
        _said(item) for item in theirs[-1]["response"]["output"]
    ]


def _said(item: Json) -> object:
    match item["type"]:
        case "message":
            return [part["text"] for part in item["content"]]
        case "function_call":
            return item["call_id"], item["name"], item["arguments"], item["status"]
        case kind:
            return kind


@pytest.mark.parametrize("name", [*STREAMS, *OLDER_STREAMS])
def test_recorded_requests_are_read(name: str) -> None:
    """Whoever wrote them."""
    body = recorded(name)["request"]["body"]

    request = responses_request(decode_body(msgspec.json.encode(body)))

    assert request.model == body["model"]
    assert [tool.name for tool in request.tools] == [tool["name"] for tool in body.get("tools", ())]


def test_a_bad_request_has_the_envelope_of_the_recorded_one() -> None:
    """With the field that is wrong."""
    exchange = recorded("error-400")

    with pytest.raises(InvalidRequest) as caught:
        responses_request(decode_body(msgspec.json.encode(exchange["request"]["body"])))

    ours, theirs = json.loads(error_json(caught.value))["error"], exchange["response"]["body"]["error"]
    assert set(ours) == set(theirs)
    assert (ours["param"], ours["type"]) == (theirs["param"], theirs["type"])
