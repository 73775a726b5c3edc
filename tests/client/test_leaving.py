"""A task whose caller goes is cancelled at the server, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

import pytest

from synapse import AsyncClient, Cancelled, Client, TimedOut
from synapse.testing.grpc_server import ScriptedServer, chunk, keepalive

if TYPE_CHECKING:
    from conftest import Connect

TASK = {"prompt": "Why?", "model_code": "sim/echo"}
SOON = 10.0
"""Seconds, far less than any timeout by which a server would notice by itself."""


def unending() -> ScriptedServer:
    """Return a server that says one thing and then holds the call open."""
    return ScriptedServer([chunk("first"), asyncio.Event()])


async def test_break_cancels_the_task() -> None:
    """Leaving the loop is enough."""
    async with unending() as server, AsyncClient(server.target) as client:
        async for _ in client.generate_task(**TASK):
            break

        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_break_cancels_the_task_of_a_thread() -> None:
    """Leaving the loop is enough."""

    def take_one(client: Client) -> None:
        for _ in client.generate_task(**TASK):
            break

    async with unending() as server:
        with Client(server.target) as client:
            await asyncio.to_thread(take_one, client)

            await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_an_error_in_the_loop_cancels_the_task() -> None:
    """The caller's own exception passes unchanged, and the task ends."""

    async def fail(client: AsyncClient) -> None:
        async for _ in client.generate_task(**TASK):
            raise KeyError("mine")

    async with unending() as server, AsyncClient(server.target) as client:
        with pytest.raises(KeyError, match="mine"):
            await fail(client)

        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_an_error_in_a_threads_loop_cancels_the_task() -> None:
    """The caller's own exception passes unchanged, and the task ends."""

    def fail(client: Client) -> None:
        for _ in client.generate_task(**TASK):
            raise KeyError("mine")

    async with unending() as server:
        with Client(server.target) as client:
            with pytest.raises(KeyError, match="mine"):
                await asyncio.to_thread(fail, client)

            await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_closing_the_generator_cancels_the_task() -> None:
    """`aclosing` and `aclose` end a task whose generator is kept in a variable."""
    async with unending() as server, AsyncClient(server.target) as client:
        async with aclosing(client.generate_task(**TASK)) as results:
            await anext(results)

        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_closing_a_threads_generator_cancels_the_task() -> None:
    """`closing` and `close` end a task whose generator is kept in a variable."""

    def take_one(client: Client) -> None:
        with closing(client.generate_task(**TASK)) as results:
            next(results)

    async with unending() as server:
        with Client(server.target) as client:
            await asyncio.to_thread(take_one, client)

            await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_leaving_the_clients_block_cancels_the_task() -> None:
    """The client's end is the end of what it has begun; the generator says so when asked again."""
    async with unending() as server:
        async with AsyncClient(server.target) as client:
            results = client.generate_task(**TASK)
            await anext(results)

        await asyncio.wait_for(server.cancelled.wait(), SOON)
        with pytest.raises(Cancelled):
            await anext(results)


async def test_leaving_the_clients_block_cancels_the_task_of_a_thread() -> None:
    """The client's end is the end of what it has begun; the generator says so when asked again."""

    def take_one(target: str) -> Iterator[object]:
        with Client(target) as client:
            results = client.generate_task(**TASK)
            next(results)
        return results

    async with unending() as server:
        results = await asyncio.to_thread(take_one, server.target)

        await asyncio.wait_for(server.cancelled.wait(), SOON)
        with pytest.raises(Cancelled):
            await asyncio.to_thread(next, results)


async def test_closing_the_client_ends_who_waits_for_it(connect: Connect) -> None:
    """Another task or thread that waits for an answer gets Cancelled, and is not itself cancelled."""
    async with ScriptedServer([keepalive(), asyncio.Event()]) as server:
        client = connect(server.target)
        results = client.generate_task(**TASK)
        await anext(results)
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)

        await client.aclose()

        with pytest.raises(Cancelled):
            await waiting
        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_cancelling_the_callers_task_cancels_the_servers() -> None:
    """A cancelled asyncio task stays cancelled: it never sees a SynapseError instead."""
    async with unending() as server, AsyncClient(server.target) as client:
        results = client.generate_task(**TASK)
        await anext(results)
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_a_task_that_is_cancelled_while_the_client_closes_stays_cancelled() -> None:
    """Closing a client does not turn its caller's cancellation into an error."""
    async with unending() as server:
        client = AsyncClient(server.target)
        results = client.generate_task(**TASK)
        await anext(results)
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)

        waiting.cancel()
        await client.aclose()

        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_timeout_of_asyncio_cancels_the_task() -> None:
    """`asyncio.timeout` around a call works as around anything."""
    async with unending() as server, AsyncClient(server.target) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.generate(**TASK)

        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_the_client_gives_up_when_the_server_forgets_the_timeout(connect: Connect) -> None:
    """A server that ignores `timeout` is left soon after it, and hears of it."""
    async with unending() as server:
        with pytest.raises(TimedOut, match=server.target):
            await asyncio.wait_for(connect(server.target).generate(**TASK, timeout=0.1), 5)

        await asyncio.wait_for(server.cancelled.wait(), SOON)


async def test_a_finished_task_is_not_cancelled(connect: Connect) -> None:
    """Nothing is cancelled at the server when the answer was read to its end."""
    async with ScriptedServer([chunk("all")]) as server:
        client = connect(server.target)
        await client.generate(**TASK)
        await client.aclose()

        assert not server.cancelled.is_set()


async def test_a_closed_client_stays_closed(connect: Connect) -> None:
    """Using it again is a mistake in the program and says so; closing it again is none."""
    client = connect("localhost:1")
    await client.aclose()
    await client.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await client.list_models()
    with pytest.raises(RuntimeError, match="closed"):
        await client.generate(**TASK)
