"""`POST /v1/responses` as a route: what is decided by status, headers and comments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import pytest

from synapse.brokers.base import Place
from synapse.domain.caller import Band
from synapse.domain.errors import Expired, ProviderFailed, QueueFull, SynapseError
from synapse.domain.events import Delta, Entry, Error, Finish, FinishReason, Restart, Thought
from synapse.testing import FakeClock

if TYPE_CHECKING:
    import aiohttp

    from synapse.brokers.log import EventLog
    from synapse.domain.task import Task

PATH = "/v1/responses"
PLAIN = {"model": "a", "input": "Why?"}
FINISH = ((1, 2), Finish(FinishReason.STOP))
ANSWER = (((1, 1), Delta("Because.")), FINISH)


class Broker(Protocol):
    """What tests say of the queue."""

    place_of_all: Place | None
    script: tuple[Entry, ...]
    logs: list[EventLog]
    tasks: list[Task]


class Ports(Protocol):
    """The open ports."""

    broker: Broker
    http: str
    session: aiohttp.ClientSession

    async def fetch(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Ask over HTTP; return the answer with its body."""


Open = Callable[[], Awaitable[Ports]]


async def when(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in the loop without the passing of time."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for; the test's timeout ends it
        await asyncio.sleep(0.001)


async def asked(ports: Ports, clock: FakeClock, **fields: object) -> asyncio.Future[aiohttp.ClientResponse]:
    """Ask; return when the task is accepted and its port waits for its log."""
    asking = asyncio.ensure_future(ports.session.post(f"{ports.http}{PATH}", json=PLAIN | fields))
    await when(lambda: clock.timers == 1)
    return asking


async def block(response: aiohttp.ClientResponse) -> str:
    """Read the next block of a stream."""
    return (await response.content.readuntil(b"\n\n")).decode().removesuffix("\n\n")


async def refused(ports: Ports, status: int, **fields: object) -> dict[str, object]:
    """Ask for what is refused with a status; return the error."""
    response, body = await ports.fetch(PATH, method="POST", body=PLAIN | fields)
    assert response.status == status, body
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error: dict[str, object] = json.loads(body)["error"]
    return error


@pytest.mark.parametrize("stream", [True, False])
async def test_the_body_decides_whether_an_answer_is_streamed(open_ports: Open, *, stream: bool) -> None:
    """Whatever the client accepts. The id of the request is that of its task."""
    ports = await open_ports()
    ports.broker.script = ANSWER

    response, body = await ports.fetch(PATH, method="POST", body=PLAIN | {"stream": stream})

    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert (response.status, response.headers["content-type"]) == (200, kind)
    assert response.headers["x-request-id"] == "task_1"
    assert b'"status":"completed"' in body
    assert body.startswith(b"event: response.created\ndata: {" if stream else b'{"id":"resp_1"')


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (ProviderFailed("it is on fire"), 502, {"x-should-retry": "false"}),
        (Expired("it waited too long"), 504, {"x-should-retry": "false"}),
        (QueueFull("full", retry_after=2.5), 429, {"retry-after": "3"}),
    ],
)
async def test_an_early_failure_keeps_its_status(
    open_ports: Open, error: SynapseError, status: int, headers: dict[str, str], *, stream: bool
) -> None:
    """Streamed or not: as long as nothing has been sent it is an answer in OpenAI's envelope."""
    ports = await open_ports()
    ports.broker.script = (((2, 0), Restart("the attempt before this one failed")), ((2, 1), Error(error)))

    response, body = await ports.fetch(PATH, method="POST", body=PLAIN | {"stream": stream})

    assert response.status == status
    assert json.loads(body)["error"]["message"] == error.message
    assert {name: response.headers.get(name) for name in headers} == headers
    assert response.headers["x-request-id"] == "task_1"


async def test_the_status_is_held_back_for_two_seconds(open_ports: Open, clock: FakeClock) -> None:
    """A failure in that time has its own."""
    ports = await open_ports()
    asking = await asked(ports, clock, stream=True)

    clock.advance(1.9)
    ports.broker.logs[0].append(((0, 1), Error(ProviderFailed("it is on fire"))))

    async with await asking as response:
        assert response.status == 502


@pytest.mark.parametrize(
    ("place", "comment"),
    [
        (None, ": keepalive"),
        (Place(3, None), ": queued position=3"),
        (Place(3, 12.54), ": queued position=3 eta=12.5"),
    ],
)
async def test_a_stream_that_waits_has_comments_and_no_events(
    open_ports: Open, clock: FakeClock, place: Place | None, comment: str
) -> None:
    """A comment line and nothing else. The response is created when there is something of it."""
    ports = await open_ports()
    ports.broker.place_of_all = place
    asking = await asked(ports, clock, stream=True)

    clock.advance(2.0)
    async with await asking as response:
        first = await block(response)
        await when(lambda: clock.timers == 1)
        clock.advance(5.0)
        second = await block(response)
        ports.broker.place_of_all = None
        ports.broker.logs[0].append(ANSWER[0])
        names = [(await block(response)).partition("\n")[0] for _ in range(5)]
        await when(lambda: clock.timers == 1)
        clock.advance(5.0)
        silent = await block(response)
        ports.broker.logs[0].append(ANSWER[1])
        rest = await response.read()

    assert (response.status, first, second, silent) == (200, comment, comment, ": keepalive")
    assert [name.removeprefix("event: response.") for name in names] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
    ]
    assert rest.count(b"\n\n") == rest.count(b"event: ") == 4
    assert response.headers.get("x-synapse-position") == (str(place.position) if place else None)


async def test_a_failure_after_the_status_is_the_last_event(open_ports: Open, clock: FakeClock) -> None:
    """The response failed; it is not an `error` event, which the official client would hand on as if all were well."""
    ports = await open_ports()
    asking = await asked(ports, clock, stream=True)

    clock.advance(2.0)
    async with await asking as response:
        assert await block(response) == ": keepalive"
        ports.broker.logs[0].append(((1, 1), Error(ProviderFailed("it is on fire"))))
        *_, last, rest = (await response.read()).split(b"\n\n")

    name, data = last.split(b"\n")
    event = json.loads(data.removeprefix(b"data: "))
    assert (response.status, name, rest) == (200, b"event: response.failed", b"")
    assert event["response"]["error"] == {"code": "server_error", "message": "it is on fire"}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_may_take_its_time(open_ports: Open, clock: FakeClock, *, stream: bool) -> None:
    """Hours, if it must."""
    ports = await open_ports()
    asking = await asked(ports, clock, stream=stream)

    for seconds in (0.05, 2.0, 5.0, 5.0):
        clock.advance(seconds)
        await when(lambda: clock.timers == 1)
    for entry in ANSWER:
        ports.broker.logs[0].append(entry)

    async with await asking as response:
        assert response.status == 200
        assert b"Because." in await response.read()


async def test_an_answer_that_was_begun_anew_is_that_of_the_last_attempt(open_ports: Open) -> None:
    """Where nothing is streamed nobody has seen the first one."""
    ports = await open_ports()
    ports.broker.script = (
        ((1, 1), Thought("Hm.")),
        ((1, 2), Delta("Bec")),
        ((2, 0), Restart("cut")),
        ((2, 1), Delta("Because.")),
        ((2, 2), Finish(FinishReason.STOP)),
    )

    _, body = await ports.fetch(PATH, method="POST", body=PLAIN)

    assert [item["content"][0]["text"] for item in json.loads(body)["output"]] == ["Because."]


async def test_what_the_body_and_the_headers_say_reaches_the_task(open_ports: Open) -> None:
    """Tiers are bands; a header is stronger than the body."""
    ports = await open_ports()
    ports.broker.script = ANSWER
    body = PLAIN | {"fallbacks": ["c"], "max_wait": 5, "timeout": 6, "service_tier": "flex"}

    _, answer = await ports.fetch(PATH, method="POST", body=body, headers={"X-Synapse-Max-Wait": "7"})
    await ports.fetch(PATH, method="POST", body=PLAIN | {"priority": "standard", "service_tier": "flex"})

    first, second = ports.broker.tasks
    assert json.loads(answer)["service_tier"] == "flex"
    assert (first.max_wait, first.timeout, first.band, second.band) == (7.0, 6.0, Band.BATCH, Band.STANDARD)
    assert [route.code for route in first.fallbacks] == ["c"]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_left_out_is_listed(open_ports: Open, *, stream: bool) -> None:
    """In a header of the answer."""
    ports = await open_ports()
    ports.broker.script = ANSWER
    body = PLAIN | {"stream": stream, "context_management": [{"type": "compaction"}]}

    response, _ = await ports.fetch(PATH, method="POST", body=body, headers={"X-Synapse-Drop-Unsupported": "true"})
    error = await refused(ports, 400, **body)

    assert response.headers["x-synapse-dropped"] == "context_management"
    assert (error["code"], error["param"]) == ("unsupported_parameter", "context_management")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": None}, "input", "input: expected str | array, got null"),
        ({"input": []}, "input", "input: it is empty"),
        ({"input": [{"role": "user"}]}, "input[0].content", "input[0].content: it is required"),
        ({"temperature": -1}, "temperature", "temperature: got -1.0, expected a number from 0 to 2"),
        ({"metadata": {"a": 1}}, "metadata[...]", "metadata[...]: expected str, got int"),
        ({"background": True}, "background", "background: Synapse cannot honour it; answers are not kept"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_id: Synapse cannot honour it"),
        ({"service_tier": "gold"}, "service_tier", "service_tier: expected one of"),
        ({"fallbacks": ["nix"]}, "fallbacks[0]", "fallbacks[0]: there is no model 'nix'"),
        ({"priority": "urgent"}, "priority", "priority: got 'urgent'"),
    ],
)
async def test_a_body_that_is_wrong_is_a_400_also_of_a_stream(
    open_ports: Open, fields: dict[str, object], param: str, message: str, *, stream: bool
) -> None:
    """Plain JSON in OpenAI's envelope, with the field."""
    error = await refused(await open_ports(), 400, stream=stream, **fields)

    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert str(error["message"]).startswith(message)


async def test_a_model_that_there_is_not_is_named(open_ports: Open) -> None:
    """With those there are."""
    error = await refused(await open_ports(), 404, model="nix")

    assert (error["code"], error["param"]) == ("model_not_found", "model")


async def test_the_route_takes_no_other_method(open_ports: Open) -> None:
    """Answers are not kept, so there is nothing to get."""
    ports = await open_ports()

    listed, _ = await ports.fetch(PATH)
    one, body = await ports.fetch(f"{PATH}/resp_1")

    assert (listed.status, one.status) == (405, 404)
    assert json.loads(body)["error"]["code"] == "unknown_url"
