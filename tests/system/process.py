"""`synapse serve` as a process of its own, started as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import grpc.aio

from synapse import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from stack import Tree

MEGABYTE = 1024 * 1024


class Process:
    """A running `synapse serve`, and callers for its ports."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        """Take the process."""
        self.child = child
        self.lines: list[str] = []
        """What it has written to standard error."""
        self.http = ""
        self.grpc = ""
        self.caller: aiohttp.ClientSession
        self.client: AsyncClient
        self.channel: grpc.aio.Channel

    @property
    def log(self) -> str:
        """All it has written to standard error."""
        return "".join(self.lines)

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the lines of the log that tell of such an event."""
        parsed = [json.loads(line) for line in self.lines]
        return [line for line in parsed if line["event"] == name]

    async def read(self) -> str:
        """Read the next line of standard error; empty when there are no more."""
        assert self.child.stderr is not None
        line = (await self.child.stderr.readline()).decode()
        if line:
            self.lines.append(line)
        return line

    async def ended(self) -> int:
        """Wait for the end of the process, with all that it says before that; return its exit code."""
        while await self.read():
            pass
        return await self.child.wait()

    def memory(self, what: str = "VmHWM") -> int:
        """Return the most bytes of memory it has held at a time, or what else `/proc` knows."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"/proc says nothing of {what}")


@contextlib.asynccontextmanager
async def serving(tree: Tree, folder: Path, *, environ: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run `synapse serve` with a configuration; it is killed at the end of the block, if it still runs."""
    file = folder / "config.yaml"
    file.write_text(json.dumps(tree))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "synapse", "serve", "--config", str(file), stderr=PIPE, env=_environment(environ or {})
    )
    process = Process(child)
    try:
        await _ready(process)
        async with contextlib.AsyncExitStack() as parts:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            process.caller = await parts.enter_async_context(aiohttp.ClientSession(connector=connector))
            process.client = await parts.enter_async_context(AsyncClient(process.grpc))
            process.channel = await parts.enter_async_context(grpc.aio.insecure_channel(process.grpc))
            yield process
    finally:
        if child.returncode is None:
            child.kill()
            await process.ended()


async def _ready(process: Process) -> None:
    """Read the log up to the line that says where it listens."""
    async with asyncio.timeout(20):
        while line := await process.read():
            event = json.loads(line)
            if event["event"] == "ready":
                process.http, process.grpc = event["http"], event["grpc"]
                return
    raise AssertionError(f"the process ended before it was ready: {process.log}")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what would configure Synapse, and more."""
    ours = ("SYNAPSE_", "GENAI_", "OPENROUTER_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {**{name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}, **more}
