"""A whole Synapse for the official clients: port, service, broker and worker, with any provider behind them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Protocol
from zoneinfo import ZoneInfo

import pytest

from synapse.brokers.base import TaskEnd
from synapse.brokers.memory import MemoryBroker
from synapse.domain.clock import SystemClock
from synapse.domain.quota import Quota
from synapse.domain.request import Request
from synapse.domain.task import Route
from synapse.domain.unsupported import Unsupported
from synapse.providers.base import Provider
from synapse.scheduling.ledger import Ledger, Terms
from synapse.scheduling.policy import RetryRules
from synapse.server.callers import EVERYBODY, Callers
from synapse.server.http import listener
from synapse.server.http.app import HttpApp
from synapse.service import Limits, Service
from synapse.worker.attempt import AttemptRules
from synapse.worker.worker import Worker

HOST = "127.0.0.1"
PROVIDER = "up"
PLENTY = Quota(rpm=10_000)


class Server:
    """A running Synapse."""

    def __init__(self, url: str, broker: MemoryBroker, ends: list[TaskEnd]) -> None:
        """Take what tests look at."""
        self.url = url
        """Without a slash at the end."""
        self.broker = broker
        self.ends = ends
        """What has become of the tasks so far."""

    async def at_rest(self) -> None:
        """Wait until no task waits or runs; the test's timeout ends it otherwise."""
        while (stats := self.broker.stats()).waiting or stats.running:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


class Serve(Protocol):
    """Starts a Synapse."""

    async def __call__(
        self,
        provider: Provider,
        *,
        models: Sequence[str] = ("m",),
        callers: Callers = EVERYBODY,
        unsupported: Mapping[str, Callable[[Request, str], tuple[Unsupported, ...]]] | None = None,
        keepalive_seconds: float = 5.0,
        max_size: int = 100,
        slots: int = 10,
        attempts: int = 3,
    ) -> Server:
        """Start it over a provider that has these models."""


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Give what starts a Synapse; it is stopped after the test."""
    async with AsyncExitStack() as parts:

        async def start(
            provider: Provider,
            *,
            models: Sequence[str] = ("m",),
            callers: Callers = EVERYBODY,
            unsupported: Mapping[str, Callable[[Request, str], tuple[Unsupported, ...]]] | None = None,
            keepalive_seconds: float = 5.0,
            max_size: int = 100,
            slots: int = 10,
            attempts: int = 3,
        ) -> Server:
            clock, ends, numbers = SystemClock(), list[TaskEnd](), itertools.count(1)
            ledger = Ledger(Terms(PROVIDER, ZoneInfo("UTC"), variables=(), quota=PLENTY), [])
            broker = MemoryBroker({PROVIDER: ledger}, clock=clock, max_size=max_size, on_end=ends.append)
            service = Service(
                broker,
                {code: Route(code, PROVIDER, code) for code in models},
                clock=clock,
                new_id=lambda: f"task_{next(numbers)}",
                limits=Limits(),
                unsupported=unsupported,
            )
            rules = AttemptRules(
                RetryRules(max_attempts=attempts, base_delay=0.001, max_delay=0.001),
                first_event_timeout=60.0,
                stall_timeout=60.0,
                answer_timeout=60.0,
                clock=clock,
                random=lambda: 0.5,
            )
            working = asyncio.ensure_future(Worker(broker, {PROVIDER: provider}, rules, slots=slots).run())
            parts.push_async_callback(_stop, working)
            app = HttpApp(service, max_request_bytes=1_000_000, keepalive_seconds=keepalive_seconds, callers=callers)
            port = await parts.enter_async_context(listener.listening(app, HOST, 0))
            return Server(f"http://{HOST}:{port}", broker, ends)

        yield start


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
