"""A whole Synapse for each test, with a scripted provider behind it; afterwards nothing may be left of its work."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
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


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Give what starts a Synapse; after the test it must be at rest, and close all its connections when it stops."""
    async with contextlib.AsyncExitStack() as providers:
        upstream = Upstream()
        async with contextlib.AsyncExitStack() as parts:
            stacks: list[Stack] = []

            async def begin(
                *answers: Answer,
                models: Callable[[Upstream], Tree] = lambda upstream: {"up": openai(upstream)},
                environ: Mapping[str, str] | None = None,
                clock: Clock | None = None,
                **sections: Tree,
            ) -> Stack:
                nonlocal upstream
                upstream = await providers.enter_async_context(Upstream(*answers))
                tree = configuration(models(upstream), **sections)
                stack = await parts.enter_async_context(synapse(tree, tmp_path, environ=environ, clock=clock))
                stack.upstreams.append(upstream)
                stacks.append(stack)
                return stack

            yield begin
            for stack in stacks:
                await stack.at_rest()
        await upstream.until(lambda: upstream.open == 0)


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Give what starts `synapse serve` as a process; it does not outlive the test."""
    async with contextlib.AsyncExitStack() as parts:

        async def begin(models: Tree, *, environ: Mapping[str, str] | None = None, **sections: Tree) -> Process:
            tree = configuration(models, **sections)
            return await parts.enter_async_context(serving(tree, tmp_path, environ=environ))

        yield begin


@pytest.fixture
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
