"""The commands as users run them: in a process of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a command whose server is the first argument; it is killed when the test is over."""
    async with AsyncExitStack() as stack:

        async def begin(server: str, *arguments: str, **streams: int) -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "synapse", *arguments),
                env=os.environ | {"SYNAPSE_SERVER": server, "PYTHONUNBUFFERED": ""},
                **({"stdin": PIPE, "stdout": PIPE, "stderr": PIPE} | streams),
            )
            stack.push_async_callback(end, process)
            return process

        yield begin


PIPE = asyncio.subprocess.PIPE


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill what has not ended by itself."""
    if process.returncode is None:
        process.kill()
    await process.communicate()


Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def run(start: Start) -> Run:
    """Run a command to its end; return its exit status and what it wrote."""

    async def finish(server: str, *arguments: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
        process = await start(server, *arguments)
        out, err = await process.communicate(stdin)
        return process.returncode, out.decode(), err.decode()

    return finish
