"""The processes of a run: a simulated provider, and Synapse in front of it. Both end with the block, come what may."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from servers import LOG_TAIL, READY_SECONDS, BenchError
from synapse.simulator import Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

STOP_SECONDS = 40.0
"""More than the grace that a server gives to what still runs."""
LOOK_AGAIN = 0.02
_OURS = ("SYNAPSE_", "GENAI_", "OPENROUTER_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SIMULATOR_READY = re.compile(r"^simulator ready at (\S+)\n", re.MULTILINE)
_SERVER_READY = re.compile(r'^(\{.*"event":"ready".*\})\n', re.MULTILINE)

Tree = dict[str, object]


class Process:
    """A command of Synapse's as a process; what it writes goes to a file."""

    def __init__(self, command: list[str], log: Path, environ: Mapping[str, str]) -> None:
        """Start it."""
        self.log = log
        with log.open("w") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, "-m", "synapse", *command],
                cwd=log.parent,
                env={**_environment(), **environ},
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """The number the system knows it by."""
        return self._child.pid

    async def announced(self, ready: re.Pattern[str]) -> str:
        """Return what it says when it is ready. Raises BenchError, with the end of its log, where it never is."""
        end = time.monotonic() + READY_SECONDS
        while (found := ready.search(self.log.read_text())) is None:
            if self._child.poll() is not None or time.monotonic() > end:
                fate = "is not ready" if self._child.returncode is None else f"ended with {self._child.returncode}"
                raise BenchError(f"{self.log.stem} {fate}; the end of its log:\n{self.log.read_text()[-LOG_TAIL:]}")
            await asyncio.sleep(LOOK_AGAIN)
        return found[1]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; a process that does not end by it is killed."""
        if self._child.poll() is None:
            self._child.send_signal(number)
        try:
            return await asyncio.to_thread(self._child.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._child.returncode

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._child.wait()


class Provider:
    """A simulator that runs."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """Take where it listens."""
        self.url = url
        self._session = session

    async def stats(self) -> Stats:
        """Return what it has seen."""
        async with self._session.get(f"{self.url}/_simulator/stats") as answer:
            return msgspec.json.decode(await answer.read(), type=Stats)


@asynccontextmanager
async def provider(folder: Path, *arguments: str) -> AsyncIterator[Provider]:
    """Run `synapse simulate` with arguments."""
    process = Process(["simulate", "--port", "0", *arguments], folder / "simulate.log", {})
    try:
        url = await process.announced(_SIMULATOR_READY)
        async with aiohttp.ClientSession() as session:
            yield Provider(url, session)
    finally:
        process.kill()


class Server:
    """`synapse serve` with its own store, which it finds again after a restart."""

    def __init__(self, folder: Path, config: Tree, environ: Mapping[str, str]) -> None:
        """Take its configuration and the keys it is to find in its environment."""
        self._folder = folder
        self._environ = environ
        self._config = folder / "config.yaml"
        self._config.write_text(json.dumps(config))
        self._starts = 0
        self._process: Process | None = None
        self.url = ""
        self.slots = 0
        """How many tasks it runs at once."""

    async def start(self) -> None:
        """Start it. Raises BenchError where it does not get ready."""
        log = self._folder / f"serve-{self._starts}.log"
        self._starts += 1
        self._process = Process(["serve", "--config", str(self._config)], log, self._environ)
        ready = json.loads(await self._process.announced(_SERVER_READY))
        self.url, self.slots = ready["http"], ready["slots"]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        return 0 if self._process is None else await self._process.stop(number)

    async def restart(self, number: signal.Signals) -> int:
        """End it by a signal and start it again; return the exit code."""
        code = await self.stop(number)
        await self.start()
        return code

    def attempts(self) -> list[int]:
        """Return how many attempts each task had, of those that have ended since the last start and are in the log."""
        if self._process is None:
            return []
        lines = map(json.loads, self._process.log.read_text().splitlines())
        return [line["attempts"] for line in lines if line["event"] == "task"]

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()


@asynccontextmanager
async def serving(folder: Path, config: Tree, environ: Mapping[str, str]) -> AsyncIterator[Server]:
    """Run `synapse serve`."""
    server = Server(folder, config, environ)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


def _environment() -> dict[str, str]:
    """Return this process's environment without what would configure Synapse."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_OURS)}
