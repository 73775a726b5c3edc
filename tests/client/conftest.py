"""Both clients behind one face, so that every scenario is written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Required, TypedDict, Unpack

import pytest

from synapse import AsyncClient, Client, GenerationConfig, GenerationResult
from synapse.client.images import ImageSource


class Server(TypedDict, total=False):
    """What a client may be told about a server beside its address."""

    api_key: str | None
    tls: bool
    root_certificates: bytes
    metadata: Mapping[str, str] | Iterable[tuple[str, str]]


class Task(TypedDict, total=False):
    """What both ways to generate take."""

    prompt: Required[str]
    model_code: Required[str]
    config: GenerationConfig | Mapping[str, float | None]
    images: Iterable[ImageSource]
    max_wait: float
    timeout: float


class ThreadedClient:
    """`Client` with the methods of `AsyncClient`; every step of it runs in a thread."""

    def __init__(self, target: str, **server: Unpack[Server]) -> None:
        """Make the client."""
        self._client = Client(target, **server)

    async def generate_task(self, *, stream: bool = True, **task: Unpack[Task]) -> AsyncGenerator[GenerationResult]:
        """Yield what `Client.generate_task` yields."""
        results = self._client.generate_task(stream=stream, **task)
        try:
            while (result := await asyncio.to_thread(next, results, None)) is not None:
                yield result
        finally:
            results.close()

    async def generate(self, **task: Unpack[Task]) -> GenerationResult:
        """Return what `Client.generate` returns."""
        return await asyncio.to_thread(self._client.generate, **task)

    async def list_models(self) -> list[str]:
        """Return what `Client.list_models` returns."""
        return await asyncio.to_thread(self._client.list_models)

    async def aclose(self) -> None:
        """Close the client."""
        await asyncio.to_thread(self._client.close)


Connect = Callable[..., AsyncClient | ThreadedClient]


@pytest.fixture(params=[AsyncClient, ThreadedClient], ids=["asyncio", "threads"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Make clients of either kind; they are closed after the test."""
    kind: type[AsyncClient | ThreadedClient] = request.param
    async with AsyncExitStack() as stack:

        def make(target: str, **server: Unpack[Server]) -> AsyncClient | ThreadedClient:
            client = kind(target, **server)
            stack.push_async_callback(client.aclose)
            return client

        yield make
