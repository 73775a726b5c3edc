"""A whole Synapse for each test, with a scripted provider behind it; afterwards nothing may be left of its work."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from callers import EVERY_WAY, STREAMED, WHOLE
from process import Process, serving
from stack import Launch, Provide, Stack, Start, configuration, openai, synapse

from synapse.testing.upstream import Answer, Upstream

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable, Mapping

    from callers import Ask
    from stack import Tree

    from synapse.domain.clock import Clock


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run on the event loop that `synapse serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Shared:
    """Those Synapses that differ in nothing but their configuration's sections: each serves many tests.

    What one test does to it is a burden for all that follow, as it is for a server that runs for months.
    """

    def __init__(self, parts: contextlib.AsyncExitStack, folder: Path) -> None:
        """Take where they are closed at the end, and a folder for their configurations."""
        self._parts = parts
        self._folder = folder
        self._stacks: dict[str, Stack] = {}

    async def take(self, sections: Tree) -> Stack:
        """Return the one with these sections, which is started if need be."""
        name = json.dumps(sections, sort_keys=True)
        if name not in self._stacks:
            upstream = await self._parts.enter_async_context(Upstream())
            tree = configuration({"up": openai(upstream)}, **sections)  # type: ignore[arg-type]
            stack = await self._parts.enter_async_context(synapse(tree, self._folder))
            stack.upstreams.append(upstream)
            self._stacks[name] = stack
        return self._stacks[name]

    def drop(self, stack: Stack) -> None:
        """Give a stack to no other test."""
        self._stacks = {name: known for name, known in self._stacks.items() if known is not stack}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    """Keep the stacks that tests share."""
    async with contextlib.AsyncExitStack() as parts:
        yield Shared(parts, tmp_path_factory.mktemp("shared"))


@pytest_asyncio.fixture(loop_scope="session")
async def start(shared: Shared, tmp_path: Path) -> AsyncIterator[Start]:
    """Give what starts a Synapse; after the test it must be at rest, and close all its connections when it stops."""
    async with contextlib.AsyncExitStack() as providers:
        stacks: list[Stack] = []
        upstreams: list[Upstream] = []
        async with contextlib.AsyncExitStack() as parts:

            async def begin(
                *answers: Answer,
                models: Callable[[Upstream], Tree] | None = None,
                environ: Mapping[str, str] | None = None,
                clock: Clock | None = None,
                **sections: Tree,
            ) -> Stack:
                if models is None and environ is None and clock is None:
                    stack = await shared.take(sections)
                else:
                    upstream = await providers.enter_async_context(Upstream())
                    tree = configuration(models(upstream) if models else {"up": openai(upstream)}, **sections)
                    stack = await parts.enter_async_context(synapse(tree, tmp_path, environ=environ, clock=clock))
                    stack.upstreams.append(upstream)
                    upstreams.append(upstream)
                await stack.begin_anew(*answers)
                stacks.append(stack)
                return stack

            yield begin
            for stack in stacks:
                try:
                    await stack.at_rest()
                except AssertionError:
                    shared.drop(stack)
                    raise
        for upstream in upstreams:
            await upstream.until(lambda upstream=upstream: upstream.open == 0)


@pytest_asyncio.fixture(loop_scope="session")
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Give what starts `synapse serve` as a process; it does not outlive the test."""
    async with contextlib.AsyncExitStack() as parts:

        async def begin(models: Tree, *, environ: Mapping[str, str] | None = None, **sections: Tree) -> Process:
            tree = configuration(models, **sections)
            return await parts.enter_async_context(serving(tree, tmp_path, environ=environ))

        yield begin


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Provide]:
    """Give what starts scripted providers, for a Synapse in another process."""
    async with contextlib.AsyncExitStack() as providers:
        yield lambda *answers: providers.enter_async_context(Upstream(*answers))


@pytest.fixture(params=list(EVERY_WAY.values()), ids=list(EVERY_WAY))
def ask(request: pytest.FixtureRequest) -> Ask:
    """Give each way to ask in turn."""
    way: Ask = request.param
    return way


@pytest.fixture(params=list(WHOLE.values()), ids=list(WHOLE))
def ask_whole(request: pytest.FixtureRequest) -> Ask:
    """Give each way to ask for a whole answer in turn."""
    way: Ask = request.param
    return way


@pytest.fixture(params=list(STREAMED.values()), ids=list(STREAMED))
def ask_stream(request: pytest.FixtureRequest) -> Ask:
    """Give each way to ask for a stream in turn."""
    way: Ask = request.param
    return way
