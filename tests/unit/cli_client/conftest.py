"""The commands as users run them: in a process of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

PROGRAM = """
import argparse
import sys

from synapse.cli import generate, models
from synapse.domain.errors import SynapseError

parser = argparse.ArgumentParser(prog="synapse")
subparsers = parser.add_subparsers(dest="command", required=True)
generate.add_parser(subparsers)
models.add_parser(subparsers)
arguments = parser.parse_args()
try:
    sys.exit({"generate": generate, "models": models}[arguments.command].run(arguments))
except SynapseError as error:
    sys.exit(f"synapse: {error}")
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a command whose server is the first argument; it is killed when the test is over."""
    async with AsyncExitStack() as stack:

        async def begin(server: str, *arguments: str, **streams: int) -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, *arguments),
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
