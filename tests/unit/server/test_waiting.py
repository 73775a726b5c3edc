"""What a caller hears while its task waits, on both ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest

from synapse.brokers.base import Place
from synapse.domain.errors import ProviderFailed
from synapse.domain.events import Delta, Error, Finish, FinishReason
from synapse.protos import generate_pb2 as pb
from synapse.testing import FakeClock

if TYPE_CHECKING:
    import aiohttp

    from conftest import Open, Ports

FINISH = ((1, 2), Finish(FinishReason.STOP))


async def when(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in the loop without the passing of time."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


async def asked(ports: Ports, clock: FakeClock, *, stream: bool = True) -> asyncio.Task[aiohttp.ClientResponse]:
    """Ask over HTTP; return when the task is accepted and its port waits for its log."""
    body = {"prompt": "Why?", "model_code": "a", "stream": stream}
    asking = asyncio.ensure_future(ports.session.post(f"{ports.http}/generate", json=body))
    await when(lambda: clock.timers == 1)
    return asking


async def comments(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Read the blocks of a stream."""
    while block := await response.content.readuntil(b"\n\n"):
        yield block.decode().removesuffix("\n\n")


@pytest.mark.parametrize(
    ("place", "comment", "headers"),
    [
        (None, ": keepalive", {}),
        (Place(3, None), ": queued position=3", {"x-synapse-position": "3"}),
        (
            Place(3, 12.54),
            ": queued position=3 eta=12.5",
            {"x-synapse-position": "3", "x-synapse-eta": "12.5"},
        ),
        (Place(1, 0.0), ": queued position=1 eta=0.0", {"x-synapse-position": "1", "x-synapse-eta": "0.0"}),
        (
            Place(12345, 86400.0),
            ": queued position=12345 eta=86400.0",
            {"x-synapse-position": "12345", "x-synapse-eta": "86400.0"},
        ),
    ],
)
async def test_a_stream_that_waits_says_where_it_stands(
    open_ports: Open, clock: FakeClock, place: Place | None, comment: str, headers: dict[str, str]
) -> None:
    """After two seconds, at once with the headers, and in them; what is not known is left out."""
    ports = await open_ports()
    ports.broker.place_of_all = place
    asking = await asked(ports, clock)

    clock.advance(2.0)
    async with await asking as response:
        first = await anext(comments(response))

    assert first == comment
    assert {name.lower(): value for name, value in response.headers.items() if "position" in name or "eta" in name} == (
        headers
    )


async def test_what_is_said_of_a_place_is_what_holds_then(open_ports: Open, clock: FakeClock) -> None:
    """Each comment has the place of its moment; when the task runs there is none."""
    ports = await open_ports()
    ports.broker.place_of_all = Place(2, 9.0)
    asking = await asked(ports, clock)
    clock.advance(2.0)

    async with await asking as response:
        blocks = comments(response)
        heard = [await anext(blocks)]
        for place in (Place(1, 4.0), None):
            ports.broker.place_of_all = place
            await when(lambda: clock.timers == 1)
            clock.advance(5.0)
            heard.append(await anext(blocks))
        ports.broker.logs[0].append(((1, 1), Delta("Because.")))
        heard.append(await anext(blocks))
        ports.broker.logs[0].append(FINISH)
        heard.append(await anext(blocks))

    assert heard[:3] == [": queued position=2 eta=9.0", ": queued position=1 eta=4.0", ": keepalive"]
    assert heard[3] == 'id: 1-1\ndata: {"text":"Because."}'
    assert heard[4].startswith('id: 1-2\ndata: {"text":"","model_code":"a","finish_reason":"stop",')


async def test_a_stream_that_need_not_wait_has_no_place(open_ports: Open) -> None:
    """Neither header nor comment, though the broker would know one."""
    ports = await open_ports()
    ports.broker.place_of_all = Place(3, 12.5)
    ports.broker.script = (((1, 1), Delta("Because.")), FINISH)

    response, body = await ports.fetch(
        "/generate", method="POST", body={"prompt": "W", "model_code": "a", "stream": True}
    )

    assert not {"x-synapse-position", "x-synapse-eta"} & {name.lower() for name in response.headers}
    assert b": " not in body.replace(b"id: ", b"").replace(b"data: ", b"")


async def test_an_early_failure_keeps_its_status_while_the_task_has_a_place(open_ports: Open, clock: FakeClock) -> None:
    """Nothing is committed before the two seconds are over."""
    ports = await open_ports()
    ports.broker.place_of_all = Place(3, 12.5)
    asking = await asked(ports, clock)

    clock.advance(1.9)
    ports.broker.logs[0].append(((0, 1), Error(ProviderFailed("it is on fire"))))
    async with await asking as response:
        assert response.status == 502


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("place", [None, Place(3, None), Place(3, 12.54)])
async def test_a_call_that_waits_says_where_it_stands(
    open_ports: Open,
    clock: FakeClock,
    stream: bool,  # noqa: FBT001
    place: Place | None,
) -> None:
    """Each KEEPALIVE has position and estimate where they are known; the answer has neither."""
    ports = await open_ports()
    ports.broker.place_of_all = place
    call = ports.call(stream=stream)
    reading = asyncio.ensure_future(call.read())
    await when(lambda: clock.timers == 1)

    clock.advance(5.0)
    alive = await reading
    ports.broker.logs[0].append(((1, 1), Delta("Because.")))
    ports.broker.logs[0].append(FINISH)
    last = await call.read()

    assert (alive.type, alive.task_id) == (pb.Response.KEEPALIVE, "task_1")
    assert alive.position == (place.position if place else 0)
    assert (alive.eta_seconds if alive.HasField("eta_seconds") else None) == (place and place.eta)
    assert (last.type, last.chunk, last.position, last.HasField("eta_seconds")) == (0, "Because.", 0, False)
