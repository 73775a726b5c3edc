"""`POST /v1/messages` over HTTP, with a broker behind it that does what a test says."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.brokers.base import Place
from synapse.domain.caller import Band, Caller
from synapse.domain.errors import ProviderFailed, ShuttingDown
from synapse.domain.events import CallDelta, Delta, Error, Finish, FinishReason, Thought
from synapse.domain.usage import Usage
from synapse.server.callers import Callers

if TYPE_CHECKING:
    import aiohttp

    from conftest import Open, Ports
    from synapse.domain.events import Entry, Event
    from synapse.testing import FakeClock

BODY = {"model": "a", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
STREAMED = {**BODY, "stream": True}
BECAUSE = Delta("Because.")
END = Finish(FinishReason.STOP, Usage(10, 5, 2, 3, 15, 4))


def log(*events: Event) -> tuple[Entry, ...]:
    """Return a log of these events."""
    return tuple([((1, seq), event) for seq, event in enumerate(events, 1)])


async def ask(
    ports: Ports, body: object = BODY, path: str = "/v1/messages", **headers: str
) -> tuple[aiohttp.ClientResponse, object]:
    """Send a body; return the answer and its JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response, data = await ports.fetch(path, method="POST", body=body, headers=named)
    return response, json.loads(data)


def frames(data: bytes) -> list[tuple[str, dict[str, object]]]:
    """Read a stream: the name of each event and its data, which has the same."""
    read = []
    for block in data.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        name, fields = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
        assert fields["type"] == name
        read.append((name, fields))
    return read


async def when(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in the loop without the passing of time."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


async def test_a_whole_answer_is_a_message(open_ports: Open) -> None:
    """`input_tokens` excludes what was read from the cache or written into it."""
    ports = await open_ports()
    ports.broker.script = log(BECAUSE, END)

    response, body = await ask(ports)

    assert body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "a",
        "content": [{"type": "text", "text": "Because."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 4,
            "cache_read_input_tokens": 3,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
    assert response.headers["request-id"] == "task_1"
    assert "x-request-id" not in response.headers


@pytest.mark.parametrize(
    ("finish", "reason", "sequence"),
    [
        (Finish(FinishReason.STOP), "end_turn", None),
        (Finish(FinishReason.STOP, stop_sequence="END"), "stop_sequence", "END"),
        (Finish(FinishReason.LENGTH), "max_tokens", None),
        (Finish(FinishReason.TOOL_CALLS), "tool_use", None),
        (Finish(FinishReason.CONTENT_FILTER), "refusal", None),
    ],
)
async def test_an_end_has_anthropics_reason(
    open_ports: Open, finish: Finish, reason: str, sequence: str | None
) -> None:
    """The same, whole and streamed; a refusal has details."""
    ports = await open_ports()
    ports.broker.script = log(BECAUSE, finish)

    _, whole = await ask(ports)
    _, data = await ports.fetch("/v1/messages", method="POST", body=STREAMED)

    details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
    ending = {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}
    assert isinstance(whole, dict)
    assert {name: whole[name] for name in ending} == ending
    assert frames(data)[-2][1]["delta"] == ending


async def test_calls_without_a_reason_for_them_still_end_in_tool_use(open_ports: Open) -> None:
    """Some providers call the end of an answer with calls an ordinary one."""
    ports = await open_ports()
    ports.broker.script = log(CallDelta(0, None, "weather", ""), Finish(FinishReason.STOP))

    _, whole = await ask(ports)

    assert isinstance(whole, dict)
    assert whole["stop_reason"] == "tool_use"
    assert whole["content"] == [{"type": "tool_use", "id": "toolu_1_0", "name": "weather", "input": {}}]


async def test_arguments_that_are_no_object_stand_in_one(open_ports: Open) -> None:
    """A limit may have cut them short; `input` is an object all the same."""
    ports = await open_ports()
    ports.broker.script = log(CallDelta(0, "c", "weather", '{"a": '), Finish(FinishReason.LENGTH))

    _, whole = await ask(ports)

    assert isinstance(whole, dict)
    assert whole["content"][0]["input"] == {"INVALID_JSON": '{"a": '}


async def test_a_stream_has_blocks_one_after_the_other(open_ports: Open) -> None:
    """A signature ends a block of thoughts, sealed ones come whole, arguments come in pieces; there is no [DONE]."""
    ports = await open_ports()
    ports.broker.script = log(
        Thought("Hm"),
        Thought("", "sig"),
        Thought("", redacted="sealed"),
        Delta("Let "),
        Delta("me"),
        CallDelta(0, "c0", "weather", "", signature="proof"),
        CallDelta(0, arguments='{"a":1}'),
        CallDelta(1, "c1", "clock"),
        CallDelta(1, arguments="{}", signature="late"),
        END,
    )

    response, data = await ports.fetch("/v1/messages", method="POST", body=STREAMED)

    events = frames(data)
    assert response.content_type == "text/event-stream"
    assert events[0][1]["message"] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "a",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    use = {"type": "tool_use", "input": {}}
    assert [(e.get("index"), e.get("content_block") or e.get("delta")) for _, e in events[1:-2]] == [
        (0, {"type": "thinking", "thinking": "", "signature": ""}),
        (0, {"type": "thinking_delta", "thinking": "Hm"}),
        (0, {"type": "signature_delta", "signature": "sig"}),
        (0, None),
        (1, {"type": "redacted_thinking", "data": "sealed"}),
        (1, None),
        (2, {"type": "text", "text": ""}),
        (2, {"type": "text_delta", "text": "Let "}),
        (2, {"type": "text_delta", "text": "me"}),
        (2, None),
        (3, {**use, "id": "c0", "name": "weather", "signature": "proof"}),
        (3, {"type": "input_json_delta", "partial_json": '{"a":1}'}),
        (3, None),
        (4, {**use, "id": "c1", "name": "clock"}),
        (4, {"type": "input_json_delta", "partial_json": "{}"}),
        (4, {"type": "signature_delta", "signature": "late"}),
        (4, None),
    ]
    assert events[-2][1]["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 3,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert [name for name, _ in events[-2:]] == ["message_delta", "message_stop"]
    assert b"[DONE]" not in data


async def test_a_stream_that_waits_begins_after_two_seconds_and_pings(open_ports: Open, clock: FakeClock) -> None:
    """Pings have their `event:` line; beside it a comment says where the task stands."""
    ports = await open_ports()
    ports.broker.place_of_all = Place(3, 12.5)
    asking = asyncio.ensure_future(ports.session.post(f"{ports.http}/v1/messages", json=STREAMED))
    await when(lambda: clock.timers == 1)

    clock.advance(2.0)
    async with await asking as response:
        blocks = [await response.content.readuntil(b"\n\n") for _ in range(2)]
        ports.broker.place_of_all = None
        await when(lambda: clock.timers == 1)
        clock.advance(5.0)
        blocks.append(await response.content.readuntil(b"\n\n"))
        for entry in log(BECAUSE, END):
            ports.broker.logs[0].append(entry)
        rest = await response.read()

    assert response.headers["x-synapse-position"] == "3"
    assert blocks[0].startswith(b"event: message_start\n")
    assert blocks[1] == b': queued position=3 eta=12.5\nevent: ping\ndata: {"type":"ping"}\n\n'
    assert blocks[2] == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert [name for name, _ in frames(rest)] == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize("body", [BODY, STREAMED])
async def test_an_early_failure_keeps_its_status(open_ports: Open, body: object) -> None:
    """In Anthropic's envelope, with the task's id in header and body."""
    ports = await open_ports()
    ports.broker.script = log(Error(ProviderFailed("it is on fire")))

    response, answer = await ask(ports, body)

    assert response.status == 502
    assert answer == {
        "type": "error",
        "error": {"type": "api_error", "message": "it is on fire"},
        "request_id": "task_1",
    }
    assert (response.headers["request-id"], response.headers["x-should-retry"]) == ("task_1", "false")


async def test_a_late_failure_is_an_error_event(open_ports: Open, clock: FakeClock) -> None:
    """Nothing comes after it: there is no end to a message that has none."""
    ports = await open_ports()
    asking = asyncio.ensure_future(ports.session.post(f"{ports.http}/v1/messages", json=STREAMED))
    await when(lambda: clock.timers == 1)
    ports.broker.logs[0].append(((1, 1), BECAUSE))

    async with await asking as response:
        await when(lambda: clock.timers == 1)
        ports.broker.logs[0].append(((1, 2), Error(ShuttingDown("no more"))))
        events = frames(await response.read())

    assert [name for name, _ in events] == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert events[-1][1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "no more"},
        "request_id": "task_1",
    }


async def test_a_caller_who_goes_ends_the_task(open_ports: Open, clock: FakeClock) -> None:
    """Whether its answer was to be streamed or not."""
    ports = await open_ports()
    for body in (BODY, STREAMED):
        asking = asyncio.ensure_future(ports.session.post(f"{ports.http}/v1/messages", json=body))
        count = len(ports.broker.logs)
        await when(lambda count=count: len(ports.broker.logs) > count and clock.timers == 1)  # type: ignore[misc]
        clock.advance(1.0)
        await when(lambda: clock.timers == 1)

        asking.cancel()

        await when(lambda: clock.timers == 0)


async def test_how_to_queue_a_task_is_said_as_on_other_ports(open_ports: Open) -> None:
    """By fields, and by headers, which are stronger."""
    ports = await open_ports()
    ports.broker.script = log(BECAUSE, END)
    fields = {"priority": "batch", "max_wait": 5, "timeout": 6, "fallbacks": ["c"]}

    await ask(ports, {**BODY, **fields})
    await ask(ports, {**BODY, **fields}, x_synapse_max_wait="7", x_synapse_timeout="8")

    tasks = ports.broker.tasks
    assert [(t.band, t.max_wait, t.timeout) for t in tasks] == [(Band.BATCH, 5, 6), (Band.BATCH, 7, 8)]
    assert [route.code for route in tasks[0].fallbacks] == ["c"]


async def test_what_is_dropped_is_listed(open_ports: Open) -> None:
    """In a header, where the caller agreed to it by another or in the body; else it is refused."""
    ports = await open_ports()
    ports.broker.script = log(BECAUSE, END)
    body = {**BODY, "container": "c"}

    refused, _ = await ask(ports, body)
    by_header, _ = await ask(ports, body, x_synapse_drop_unsupported="true")
    by_field, _ = await ask(ports, {**body, "drop_unsupported": True})

    assert refused.status == 400
    assert [answer.headers["x-synapse-dropped"] for answer in (by_header, by_field)] == ["container", "container"]


async def test_a_fallback_is_named(open_ports: Open) -> None:
    """As the model of the message; in a stream only its end can know."""
    ports = await open_ports()
    ports.broker.script = log(BECAUSE, Finish(FinishReason.STOP, fallen_to="b"))

    _, whole = await ask(ports)
    _, data = await ports.fetch("/v1/messages", method="POST", body=STREAMED)

    assert isinstance(whole, dict)
    assert whole["model"] == "b"
    assert frames(data)[-2][1]["model"] == "b"


ALICE, BOB = Caller("alice"), Caller("bob", models=frozenset({"b"}))
CALLERS = Callers({hashlib.sha256(caller.name.encode()).digest(): caller for caller in (ALICE, BOB)})


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({"x-api-key": "alice", "anthropic-version": "2023-06-01"}, ALICE),
        ({"Authorization": "Bearer alice", "anthropic-version": "2026-10-21"}, ALICE),
        ({"Authorization": "Bearer bob", "x-api-key": "alice"}, ALICE),
    ],
)
async def test_either_header_has_the_key_and_x_api_key_counts_where_both_do(
    open_ports: Open, headers: dict[str, str], caller: Caller
) -> None:
    """As at Anthropic's; any version is taken, and none."""
    ports = await open_ports(CALLERS)
    ports.broker.script = log(BECAUSE, END)

    response, _ = await ports.fetch("/v1/messages?beta=true", method="POST", body=BODY, headers=headers)

    assert response.status == 200
    assert [task.caller for task in ports.broker.tasks] == [caller]


class Refusal(msgspec.Struct, frozen=True):
    """What is sent, and how it is refused."""

    body: object
    headers: dict[str, str]
    status: int
    kind: str
    message: str
    """Its beginning."""


KEY = {"x-api-key": "alice"}
REFUSALS = [
    Refusal(BODY, {}, 401, "authentication_error", "no key came along"),
    Refusal(BODY, {"x-api-key": "x"}, 401, "authentication_error", "the key that came along is that of no caller"),
    Refusal(BODY, {"x-api-key": "bob"}, 403, "permission_error", "model: the caller 'bob' may not use the model 'a'"),
    Refusal({**BODY, "model": "d"}, KEY, 404, "not_found_error", "there is no model 'd'"),
    Refusal({"model": "a", "messages": []}, KEY, 400, "invalid_request_error", "max_tokens: it is required"),
    Refusal({**BODY, "x": "x" * 2000}, KEY, 413, "request_too_large", "the body has "),
    Refusal({**BODY, "priority": "x"}, KEY, 400, "invalid_request_error", "priority: got 'x'"),
    Refusal(
        {**BODY, "messages": [{"role": "tool", "content": "x"}]},
        KEY,
        400,
        "invalid_request_error",
        "messages[0].role: got 'tool'; user, assistant and system do work",
    ),
    Refusal(
        {**BODY, "messages": [{"role": "assistant", "content": [{"type": "document"}]}]},
        KEY,
        400,
        "invalid_request_error",
        "messages[0].content[0].type: got 'document'; blocks that do work are text, image,",
    ),
    Refusal(
        {**BODY, "thinking": {"type": "between_tools"}},
        KEY,
        400,
        "invalid_request_error",
        "thinking.type: got 'between_tools'; enabled, adaptive and disabled do work",
    ),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.message)
async def test_what_is_refused_is_refused_in_anthropics_envelope(open_ports: Open, refusal: Refusal) -> None:
    """With a request id in header and body, and the advice not to try again."""
    ports = await open_ports(CALLERS)

    response, data = await ports.fetch("/v1/messages", method="POST", body=refusal.body, headers=refusal.headers)

    answer = json.loads(data)
    assert (response.status, answer["type"], answer["error"]["type"]) == (refusal.status, "error", refusal.kind)
    assert answer["error"]["message"].startswith(refusal.message)
    assert answer["request_id"] == response.headers["request-id"]
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("key", "model", "status", "kind"),
    [
        ("x", "a", 401, "authentication_error"),
        ("bob", "a", 404, "not_found_error"),
        ("alice", "d", 404, "not_found_error"),
    ],
)
async def test_what_cannot_be_counted_is_refused_in_it_too(
    open_ports: Open, key: str, model: str, status: int, kind: str
) -> None:
    """A model that a caller may not use is none that it is told of."""
    ports = await open_ports(CALLERS)
    body = {"model": model, "messages": BODY["messages"]}

    response, answer = await ask(ports, body, "/v1/messages/count_tokens", x_api_key=key)

    assert isinstance(answer, dict)
    assert (response.status, answer["error"]["type"]) == (status, kind)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/messages", 405), ("POST", "/v1/messages/x", 404)])
async def test_routes_there_are_not_are_refused_in_it_too(
    open_ports: Open, method: str, path: str, status: int
) -> None:
    """Below this port's path all errors are its own."""
    ports = await open_ports()

    response, data = await ports.fetch(path, method=method)

    assert (response.status, json.loads(data)["type"]) == (status, "error")
    assert json.loads(data)["request_id"] == response.headers["request-id"]


async def test_tokens_are_counted_by_an_estimate(open_ports: Open) -> None:
    """The one that tasks are scheduled by; nothing becomes a task. `max_tokens` is not needed."""
    ports = await open_ports()
    body = {"model": "a", "messages": BODY["messages"]}
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}}}

    (response, few), (_, more) = [
        await ask(ports, {**body, **extra}, "/v1/messages/count_tokens")
        for extra in (
            {},
            {"system": "Be brief, please", "tools": [tool]},
        )
    ]

    assert few == {"input_tokens": 2}
    assert isinstance(more, dict)
    assert more["input_tokens"] > 20
    assert response.headers["request-id"].startswith("req_")
    assert ports.broker.tasks == []
