"""`synapse serve` as a process of its own, started as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
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

    def __init__(self, child: subprocess.Popen[bytes], errors: asyncio.StreamReader) -> None:
        """Take the process and what reads its standard error."""
        self.child = child
        self._errors = errors
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

    @property
    def told(self) -> list[dict[str, object]]:
        """The lines of the log, decoded."""
        return [json.loads(line) for line in self.lines]

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the lines of the log that tell of such an event."""
        return [line for line in self.told if line["event"] == name]

    async def read(self) -> str:
        """Read the next line of standard error; empty when there are no more."""
        line = (await self._errors.readline()).decode()
        if line:
            self.lines.append(line)
        return line

    async def ended(self) -> int:
        """Wait for the end of the process, with all that it says before that; return its exit code."""
        while await self.read():
            pass
        return await asyncio.to_thread(self.child.wait)

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
    async with contextlib.AsyncExitStack() as parts:
        process = await parts.enter_async_context(_running(file, _environment(environ or {})))
        await _ready(process)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        process.caller = await parts.enter_async_context(aiohttp.ClientSession(connector=connector))
        process.client = await parts.enter_async_context(AsyncClient(process.grpc))
        process.channel = await parts.enter_async_context(grpc.aio.insecure_channel(process.grpc))
        yield process


@contextlib.asynccontextmanager
async def _running(file: Path, environ: Mapping[str, str]) -> AsyncIterator[Process]:
    # Not asyncio's way to start it: uvloop forks, which gRPC's threads in this process do not survive in the child.
    command = [sys.executable, "-m", "synapse", "serve", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environ) as child:  # noqa: ASYNC220, S603 - see above
        stderr = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stderr)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, child.stderr)
        process = Process(child, stderr)
        try:
            yield process
        finally:
            child.kill()
            await process.ended()
            pipe.close()


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
