"""A whole Synapse in the test's own event loop, on free ports, and what is left of its work."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import aiohttp
import grpc.aio

from synapse import AsyncClient
from synapse.app import App, running
from synapse.config import load
from synapse.providers.catalog import resolve
from synapse.testing.upstream import TASK_NAME, Answer, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from process import Process

    from synapse.domain.clock import Clock

Tree = Mapping[str, object]

_LOOK_AGAIN = 0.002
"""Seconds between two looks at something that tells nobody when it changes."""


class Stack:
    """A running Synapse and callers for its ports."""

    def __init__(self, app: App, caller: aiohttp.ClientSession, client: AsyncClient, channel: grpc.aio.Channel) -> None:
        """Take the running parts."""
        self.app = app
        self.http = f"http://127.0.0.1:{app.http_port}"
        self.grpc = f"127.0.0.1:{app.grpc_port}"
        self.caller = caller
        """For the REST port; it keeps no connections."""
        self.client = client
        self.channel = channel
        """For the gRPC port; it sends and takes messages of any size."""
        self.upstreams: list[Upstream] = []
        """The providers behind it."""
        self._before = _others_tasks()

    async def begin_anew(self, *answers: Answer) -> None:
        """Put another provider in the place of the one there was, and take what there is now for what stays."""
        await self.upstream.begin_anew(*answers)
        self._before = _others_tasks()

    @property
    def upstream(self) -> Upstream:
        """The first provider behind it."""
        return self.upstreams[0]

    async def at_rest(self) -> None:
        """Wait until nothing is left of any task's work. Raises AssertionError with what is, after a while."""
        try:
            await eventually(lambda: not self._left())
        except TimeoutError:
            raise AssertionError(f"left over: {self._left()}") from None

    def _left(self) -> dict[str, object]:
        """Say what there still is of tasks that ought to be over: counts that are not 0, and asyncio's tasks."""
        stats = self.app.broker.stats()
        counts = {
            "waiting": stats.waiting,
            "running": stats.running,
            "held": stats.held,
            "slots": self.app.worker.slots.taken,
            "upstream connections in use": sum(upstream.in_use for upstream in self.upstreams),
            "asyncio tasks": dict(_others_tasks() - self._before),
        }
        return {name: count for name, count in counts.items() if count}


def _others_tasks() -> Counter[str]:
    """Count the tasks of the event loop that are neither the test's own nor a scripted provider's, by what they run.

    Not by identity: a port that waits for the next call does so in a new task each time.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks if task.get_name() != TASK_NAME)


@contextlib.asynccontextmanager
async def synapse(
    tree: Tree, folder: Path, *, environ: Mapping[str, str] | None = None, clock: Clock | None = None
) -> AsyncIterator[Stack]:
    """Run what the configuration says, on free ports and one core."""
    environ = environ or {}
    file = folder / "config.yaml"
    file.write_text(json.dumps(tree))
    config = load(file, environ)
    async with contextlib.AsyncExitStack() as parts:
        app = await parts.enter_async_context(
            running(config, resolve(config, environ), cores=1, environ=environ, clock=clock)
        )
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        caller = await parts.enter_async_context(aiohttp.ClientSession(connector=connector))
        client = await parts.enter_async_context(AsyncClient(f"127.0.0.1:{app.grpc_port}"))
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = await parts.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}", options))
        await channel.channel_ready()
        await client.list_models()  # both sides of gRPC have then begun all that stays
        yield Stack(app, caller, client, channel)


def configuration(models: Tree, **sections: Tree) -> Tree:
    """Return a configuration for tests: free ports, quick retries, and whatever else is given by section."""
    tree: dict[str, Tree] = {
        "server": {"http_port": 0, "grpc_port": 0, "keepalive_seconds": 5},
        "retry": {"base_delay": 0.001},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    return {**tree, "models": models}


def openai(upstream: Upstream | str, *codes: str, **more: object) -> Tree:
    """Return a provider of OpenAI's dialect, with the model `m` unless others are named."""
    url = upstream if isinstance(upstream, str) else upstream.url
    return {"type": "openai", "base_url": url, "codes": list(codes) or ["m"], **more}


class Start(Protocol):
    """Starts a Synapse for the test; one that other tests have used and left at rest, where it would be the same."""

    async def __call__(
        self,
        *answers: Answer,
        models: Callable[[Upstream], Tree] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        **sections: Tree,
    ) -> Stack:
        """Put one in front of a provider that gives these answers.

        Its model is `m` of a provider `up`, unless `models` says otherwise.
        """


class Launch(Protocol):
    """Starts `synapse serve`."""

    async def __call__(self, models: Tree, *, environ: Mapping[str, str] | None = None, **sections: Tree) -> Process:
        """Start it with these models."""


Provide = Callable[..., Awaitable[Upstream]]
"""Starts a scripted provider with these answers."""


async def eventually(holds: Callable[[], object], within: float = 5.0) -> None:
    """Wait until something holds that no event tells of. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(_LOOK_AGAIN)
