"""Stopping: what runs may finish, what is new is refused, and the process ends as it ought to."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from callers import Outcome, calling, post, sse, stream_over_grpc, stream_over_rest, streaming, whole_over_rest
from dialect import finished, flood, said, whole
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stack import openai

from synapse.config import cpu_cores
from synapse.protos import generate_pb2 as pb
from synapse.testing.upstream import head

if TYPE_CHECKING:
    from process import Process
    from stack import Launch, Provide, Tree

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = 60
BODY: dict[str, object] = {"prompt": "Say it.", "model_code": "sim/lorem"}


def lorem(tokens: int = TOKENS, per_second: int = 100) -> Tree:
    """Return a provider whose answers take a while."""
    return {"simulator": {"codes": ["sim/lorem"], "tokens": tokens, "tokens_per_second": per_second}}


async def told(server: Process, event: str) -> None:
    """Read the log up to an event."""
    while not server.events(event):
        assert await server.read(), f"it ended without {event!r}: {server.log}"


async def begun(server: Process, count: int) -> list[asyncio.Task[Outcome]]:
    """Begin so many streams, over both ports in turn; return when each has its first word."""
    seen = [asyncio.Event() for _ in range(count)]
    ways = (stream_over_rest, stream_over_grpc)
    streams = [
        asyncio.create_task(ways[number % 2](server, model="sim/lorem", seen=event))
        for number, event in enumerate(seen)
    ]
    await asyncio.gather(*(event.wait() for event in seen))
    return streams


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_runs_finishes_whole_and_what_is_new_is_refused(launch: Launch, number: int) -> None:
    """Fifty streams go on to their end; meanwhile both ports refuse in words, and health says why."""
    server = await launch(lorem())
    streams = await begun(server, 50)

    server.child.send_signal(number)
    await told(server, "shutting down")
    refused, ready, alive, health = await asyncio.gather(
        post(server, BODY), page(server, "/readyz"), page(server, "/healthz"), health_of(server)
    )
    new_call = (await stream_over_grpc(server, model="sim/lorem")).failed
    with pytest.raises(grpc.aio.AioRpcError) as unavailable:
        await calling(server, model_code="sim/lorem").read()
    assert not any(stream.done() for stream in streams)
    outcomes = await asyncio.gather(*streams)

    assert {(len(each.text.split()), each.finish_reason) for each in outcomes} == {(TOKENS, "stop")}
    assert (refused.status, refused.error.type, refused.headers["retry-after"]) == (503, "shutting_down", "1")
    assert new_call.type == "shutting_down"
    assert unavailable.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (ready, alive) == (503, 200)
    assert health == health_pb2.HealthCheckResponse.NOT_SERVING
    assert await server.ended() == 0
    assert server.events("stopped")[0]["everything_finished"] is True


async def page(server: Process, path: str) -> int:
    """Return the status of a page."""
    async with server.caller.get(f"{server.http}{path}") as response:
        return response.status


async def health_of(server: Process) -> int:
    """Return what the gRPC health service says."""
    answer = await health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest())
    status: int = answer.status
    return status


async def test_what_waits_is_still_run(launch: Launch, provider: Provide) -> None:
    """A task that was accepted before the signal leaves the queue for a slot, not for an error."""
    release = asyncio.Event()
    upstream = await provider(
        lambda call: [release, *said("First.")] if b'"stream":true' in call.body else whole("Second.")
    )
    server = await launch(
        {"up": openai(upstream)}, worker={"concurrency_multiplier": 1}, server={"keepalive_seconds": 0.05}
    )
    first = [asyncio.create_task(stream_over_rest(server)) for _ in range(cpu_cores())]
    await upstream.called(cpu_cores())
    second = aiter(calling(server))
    assert (await anext(second)).type == pb.Response.KEEPALIVE

    server.child.terminate()
    await told(server, "shutting down")
    release.set()

    assert {outcome.text for outcome in await asyncio.gather(*first)} == {"First."}
    assert [message.chunk async for message in second if message.type == pb.Response.CHUNK] == ["Second."]
    assert server.events("shutting down")[0]["waiting"] == 1
    assert await server.ended() == 0


async def test_what_runs_beyond_the_grace_ends_with_an_error(launch: Launch) -> None:
    """Callers hear that the server stopped, over either port, streamed or not; the exit code is that of a good end."""
    server = await launch(lorem(tokens=10**6), server={"shutdown_grace": 0.2})
    whole = asyncio.create_task(whole_over_rest(server, model="sim/lorem"))
    streams = await begun(server, 10)
    began = time.monotonic()

    server.child.terminate()
    outcomes = await asyncio.gather(whole, *streams)

    assert {outcome.failed.type for outcome in outcomes} == {"shutting_down"}
    assert all(outcome.text for outcome in outcomes[1:])
    assert await server.ended() == 0
    assert 0.2 <= time.monotonic() - began < 4
    assert server.events("stopped")[0]["everything_finished"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(launch: Launch, number: int) -> None:
    """Who insists does not wait for the grace; the exit code tells of the signal."""
    server = await launch(lorem(tokens=10**6))
    streams = await begun(server, 4)

    server.child.send_signal(number)
    await told(server, "shutting down")
    server.child.send_signal(number)
    began = time.monotonic()

    assert await server.ended() == 128 + number
    assert time.monotonic() - began < 1
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def test_an_idle_server_stops_at_once(launch: Launch) -> None:
    """Connections that rest, or whose caller never finishes its request, do not hold it up for long."""
    server = await launch(lorem())
    port = int(server.http.rpartition(":")[2])
    resting = await asyncio.open_connection("127.0.0.1", port)
    resting[1].write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    await resting[0].readuntil(b'"ok"}')
    await server.client.list_models()
    began = time.monotonic()

    server.child.terminate()

    assert await server.ended() == 0
    assert time.monotonic() - began < 2
    resting[1].close()


async def test_a_caller_that_reads_nothing_does_not_hold_up_the_end(launch: Launch, provider: Provide) -> None:
    """When the grace is over, who has not taken its answer is left behind."""
    upstream = await provider(lambda _: [head(), flood("x" * 1000, 100_000), *finished()])
    server = await launch({"up": openai(upstream)}, server={"shutdown_grace": 0.2})
    async with streaming(server) as response:
        assert (await anext(sse(response))).json["text"]
        connection = upstream.connections[0]
        await upstream.standstill(0.2)
        began = time.monotonic()

        server.child.terminate()

        assert await server.ended() == 0
        assert time.monotonic() - began < 6
        assert connection.closed_at is not None
