"""A broker, a worker and a scripted provider in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from synapse.brokers.base import TaskEnd
from synapse.brokers.memory import MemoryBroker
from synapse.domain.task import Route
from synapse.scheduling.policy import RetryRules
from synapse.testing import FakeClock, ScriptedProvider
from synapse.testing.broker_contract import make_task
from synapse.testing.broker_contract.props import PROVIDER, keys
from synapse.testing.broker_contract.reader import Reader
from synapse.worker.attempt import AttemptRules
from synapse.worker.worker import Worker


class Stack:
    """The parts, and shorthands."""

    def __init__(self, clock: FakeClock, provider: ScriptedProvider, projects: tuple[str, ...], slots: int) -> None:
        """Join the parts; nothing runs yet."""
        self.clock = clock
        self.provider = provider
        self.ends: list[TaskEnd] = []
        self.broker = MemoryBroker({PROVIDER: keys(*projects)}, clock=clock, max_size=100, on_end=self.ends.append)
        self.rules = AttemptRules(
            RetryRules(max_attempts=3, base_delay=1.0, max_delay=30.0),
            first_event_timeout=120.0,
            stall_timeout=60.0,
            answer_timeout=600.0,
            clock=clock,
            random=lambda: 0.5,
        )
        self.worker = Worker(self.broker, {PROVIDER: provider}, self.rules, slots=slots)
        self.serving: asyncio.Task[None] | None = None
        self._numbers = iter(range(1, 1000))

    def serve(self) -> None:
        """Let the worker run."""
        self.serving = asyncio.ensure_future(self.worker.run())

    async def stop(self) -> None:
        """Stop the worker and wait for it."""
        if self.serving is not None:
            self.serving.cancel()
            await asyncio.wait([self.serving])

    async def submit(
        self,
        model: str = "m",
        *,
        stream: bool = False,
        timeout: float = 3600.0,  # noqa: ASYNC109 - the task's
        fallback: str | None = None,
    ) -> Reader:
        """Submit a task, perhaps with another model of the provider to fall back to; return its reader."""
        routes = (Route(f"the code of {fallback}", PROVIDER, fallback),) if fallback is not None else ()
        task = make_task(f"t{next(self._numbers)}", model, timeout=timeout, stream=stream, fallbacks=routes)
        await self.broker.enqueue(task)
        return Reader(task, self.broker.subscribe(task.id))


Start = Callable[..., Stack]


@pytest.fixture
async def assemble(clock: FakeClock) -> AsyncIterator[Start]:
    """Make a stack around a provider; its worker, if it runs, is stopped after the test."""
    async with AsyncExitStack() as stopping:

        def make(provider: ScriptedProvider, *projects: str, slots: int = 10) -> Stack:
            stack = Stack(clock, provider, projects, slots)
            stopping.push_async_callback(stack.stop)
            return stack

        yield make


@pytest.fixture
def start(assemble: Start) -> Start:
    """Make a stack whose worker runs."""

    def make(provider: ScriptedProvider, *projects: str, slots: int = 10) -> Stack:
        stack = assemble(provider, *projects, slots=slots)
        stack.serve()
        return stack

    return make
