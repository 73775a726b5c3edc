"""`POST /v1/chat/completions` as a route: what is decided by status, headers and comments."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from synapse.brokers.base import Place
from synapse.domain.caller import Band, Caller
from synapse.domain.errors import Expired, ProviderFailed, QueueFull, SynapseError
from synapse.domain.events import Delta, Error, Finish, FinishReason, Restart
from synapse.server.callers import Callers
from synapse.testing import FakeClock

if TYPE_CHECKING:
    import aiohttp

    from conftest import Open, Ports

PATH = "/v1/chat/completions"
PLAIN = {"model": "a", "messages": [{"role": "user", "content": "Why?"}]}
FINISH = ((1, 2), Finish(FinishReason.STOP))
ANSWER = (((1, 1), Delta("Because.")), FINISH)


async def when(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in the loop without the passing of time."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for; the test's timeout ends it
        await asyncio.sleep(0.001)


async def asked(ports: Ports, clock: FakeClock, **fields: object) -> asyncio.Task[aiohttp.ClientResponse]:
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


async def test_the_body_decides_whether_an_answer_is_streamed(open_ports: Open) -> None:
    """The official client sends `Accept: application/json` with every request, streamed or not."""
    ports = await open_ports()
    ports.broker.script = ANSWER
    accept = {"Accept": "application/json"}

    streamed, events = await ports.fetch(PATH, method="POST", body=PLAIN | {"stream": True}, headers=accept)
    plain, body = await ports.fetch(PATH, method="POST", body=PLAIN, headers={"Accept": "text/event-stream"})

    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")
    assert plain.headers["content-type"] == "application/json"
    assert json.loads(body)["choices"][0]["message"]["content"] == "Because."


@pytest.mark.parametrize("stream", [True, False])
async def test_every_answer_tells_its_task(open_ports: Open, *, stream: bool) -> None:
    """As the id of the request: the official client keeps it."""
    ports = await open_ports()
    ports.broker.script = ANSWER

    response, _ = await ports.fetch(PATH, method="POST", body=PLAIN | {"stream": stream})

    assert response.headers["x-request-id"] == "task_1"
    assert "x-synapse-dropped" not in response.headers


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
    """Streamed or not, and it has the task's id."""
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
async def test_a_stream_that_waits_has_comments(
    open_ports: Open, clock: FakeClock, place: Place | None, comment: str
) -> None:
    """A comment line and nothing else: any other kind of line breaks the official client."""
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
        blocks = [await block(response), await block(response)]
        await when(lambda: clock.timers == 1)
        clock.advance(5.0)
        silent = await block(response)
        ports.broker.logs[0].append(ANSWER[1])
        rest = await response.read()

    assert (response.status, first, second, silent) == (200, comment, comment, ": keepalive")
    assert all(one.startswith("data: {") for one in blocks)
    assert rest.count(b"\n\n") == 2
    assert response.headers.get("x-synapse-position") == (str(place.position) if place else None)


async def test_a_failure_after_the_status_is_an_event(open_ports: Open, clock: FakeClock) -> None:
    """Then the stream ends."""
    ports = await open_ports()
    asking = await asked(ports, clock, stream=True)

    clock.advance(2.0)
    async with await asking as response:
        assert await block(response) == ": keepalive"
        ports.broker.logs[0].append(((1, 1), Error(ProviderFailed("it is on fire"))))
        rest = await response.read()

    error = {"message": "it is on fire", "type": "server_error", "param": None, "code": "provider_failed"}
    assert response.status == 200
    assert rest == b"data: " + json.dumps({"error": error}, separators=(",", ":")).encode() + b"\n\n"


async def test_a_failure_that_comes_with_the_first_words_has_its_status(open_ports: Open) -> None:
    """Nothing was committed yet."""
    ports = await open_ports()
    ports.broker.script = (ANSWER[0], ((1, 2), Error(ProviderFailed("it is on fire"))))

    await refused(ports, 502, stream=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_plain_answer_may_take_its_time(open_ports: Open, clock: FakeClock, *, stream: bool) -> None:
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


async def test_what_the_body_and_the_headers_say_reaches_the_task(open_ports: Open) -> None:
    """A header is the stronger one."""
    ports = await open_ports()
    ports.broker.script = ANSWER
    body = PLAIN | {"fallbacks": ["c"], "max_wait": 5, "timeout": 6, "service_tier": "flex"}

    response, _ = await ports.fetch(PATH, method="POST", body=body, headers={"X-Synapse-Max-Wait": "7"})

    (task,) = ports.broker.tasks
    assert response.status == 200
    assert (task.max_wait, task.timeout, task.band) == (7.0, 6.0, Band.BATCH)
    assert [route.code for route in task.fallbacks] == ["c"]


async def test_callers_are_known_by_either_header(open_ports: Open) -> None:
    """Without a key there is a 401 that the official client takes for one about its key."""
    app = Caller("app", models=frozenset({"a"}))
    ports = await open_ports(Callers({hashlib.sha256(b"secret").digest(): app}))
    ports.broker.script = ANSWER

    for headers in ({"Authorization": "Bearer secret"}, {"x-api-key": "secret"}):
        response, _ = await ports.fetch(PATH, method="POST", body=PLAIN, headers=headers)
        assert response.status == 200
    stranger, body = await ports.fetch(PATH, method="POST", body={}, headers={"Authorization": "Bearer other"})
    forbidden, reason = await ports.fetch(
        PATH, method="POST", body=PLAIN | {"model": "b"}, headers={"x-api-key": "secret"}
    )

    assert [task.caller for task in ports.broker.tasks] == [app, app]
    assert (stranger.status, stranger.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert forbidden.status == 403
    assert json.loads(reason)["error"]["param"] == "model"
    assert json.loads(reason)["error"]["message"] == "model: the caller 'app' may not use the model 'b'; it may use a"


async def test_a_model_that_there_is_not_is_named(open_ports: Open) -> None:
    """With those there are."""
    error = await refused(await open_ports(), 404, model="nix")

    assert (error["code"], error["type"], error["param"]) == ("model_not_found", "invalid_request_error", "model")
    assert error["message"] == "there is no model 'nix'. The models are: a, b, c"


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"messages": None}, "messages", "messages: expected array, got null"),
        ({"messages": []}, "messages", "messages: there are none"),
        ({"temperature": "hot"}, "temperature", "temperature: expected float | null, got str"),
        ({"n": 0}, "n", "n: expected int >= 1"),
        ({"logit_bias": {"1": 5}}, "logit_bias", "logit_bias: Synapse does not pass it on"),
        ({"fallbacks": ["nix"]}, "fallbacks[0]", "fallbacks[0]: there is no model 'nix'"),
        ({"priority": "urgent"}, "priority", "priority: got 'urgent'"),
        ({"max_wait": -1}, "max_wait", "max_wait: got -1"),
        ({"messages": [{"role": "x" * 900}]}, "messages[0].role", "messages[0].role: Invalid value 'xxx"),
    ],
)
async def test_a_body_that_is_wrong_is_a_400_in_openais_envelope(
    open_ports: Open, fields: dict[str, object], param: str, message: str
) -> None:
    """Never a 422, and never a body of another form: the client would show nothing of it."""
    error = await refused(await open_ports(), 400, **fields)

    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert str(error["message"]).startswith(message)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b'{"model":"a"}', b'{"messages":[]}'])
async def test_what_is_no_body_is_a_400_too(open_ports: Open, body: bytes) -> None:
    """Whatever it is."""
    ports = await open_ports()

    async with ports.session.post(f"{ports.http}{PATH}", data=body) as response:
        error = (await response.json())["error"]

    assert (response.status, error["type"]) == (400, "invalid_request_error")


async def test_a_body_that_is_too_large_is_a_413(open_ports: Open) -> None:
    """In the envelope."""
    error = await refused(await open_ports(), 413, padding="x" * 1000)

    assert error["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/v1/nix", "GET", 404, "unknown_url"),
        ("/v1/chat/completions", "GET", 405, "method_not_supported"),
        ("/v1/models/a", "DELETE", 405, "method_not_supported"),
    ],
)
async def test_what_is_no_route_is_said_in_the_envelope(
    open_ports: Open, path: str, method: str, status: int, code: str
) -> None:
    """Of all paths under /v1."""
    ports = await open_ports()

    response, body = await ports.fetch(path, method=method)

    assert response.status == status
    assert json.loads(body)["error"]["code"] == code
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("headers", "fields"),
    [({"X-Synapse-Drop-Unsupported": "true"}, {}), ({}, {"drop_unsupported": True})],
    ids=["header", "body"],
)
async def test_what_was_dropped_is_listed(open_ports: Open, headers: dict[str, str], fields: dict[str, object]) -> None:
    """Where the caller agreed to that, in the body or in a header."""
    ports = await open_ports()
    ports.broker.script = ANSWER
    body = PLAIN | fields | {"logit_bias": {"1": 5}, "verbosity": "low"}

    response, _ = await ports.fetch(PATH, method="POST", body=body, headers=headers)

    assert (response.status, response.headers["x-synapse-dropped"]) == (200, "logit_bias, verbosity")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_goes_takes_the_task_along(open_ports: Open, clock: FakeClock, *, stream: bool) -> None:
    """While it waits, streamed or not."""
    ports = await open_ports()
    asking = await asked(ports, clock, stream=stream)
    clock.advance(0.1)
    await when(lambda: clock.timers == 1)

    asking.cancel()

    await when(lambda: ports.broker.logs[-1].ended)
