"""What runs have in common: a provider with quotas, Synapse in front of it, callers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from acceptance.calls import MODEL, Callers, calling
from acceptance.processes import Provider, Server, Tree, provider, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

PROJECTS = ("p1", "p2", "p3")
KEYS = {project: f"key-of-{project}-0001" for project in PROJECTS}
LATENCY = 0.2
"""Seconds from a request to the first of its answer."""
MINUTE = 60.0


class Bench(msgspec.Struct, frozen=True):
    """All that a run stands on."""

    provider: Provider
    server: Server
    callers: Callers


@asynccontextmanager
async def bench(
    *arguments: str,
    limits: Mapping[str, int] | None = None,
    keys: Mapping[str, str] = KEYS,
    sections: Tree | None = None,
    environ: Mapping[str, str] | None = None,
    latency: float = LATENCY,
) -> AsyncIterator[Bench]:
    """Run a simulator with arguments, and Synapse with the keys of some projects and what is configured of limits."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="synapse-quotas-")))
        projects = [f"--project={key}={project}" for project, key in keys.items()]
        upstream = await parts.enter_async_context(provider(folder, f"--latency={latency}", *projects, *arguments))
        config = {**_config(upstream.url, folder, limits), **(sections or {})}
        given = {"GENAI_API_KEYS": ",".join(f"{name}={key}" for name, key in keys.items()), **(environ or {})}
        server = await parts.enter_async_context(serving(folder, config, given))
        yield Bench(upstream, server, await parts.enter_async_context(calling(server)))


async def minute_begun() -> float:
    """Wait until a minute of the clock has just begun; return how much of it has passed."""
    await asyncio.sleep(MINUTE - time.time() % MINUTE + _SURELY)
    return time.time() % MINUTE


_SURELY = 0.1
"""Seconds into a minute, where no clock that is a little off is still in the one before."""


def _config(url: str, folder: Path, limits: Mapping[str, int] | None) -> Tree:
    gemini: Tree = {"base_url": url, "codes": [MODEL]}
    if limits:
        gemini["limits"] = dict(limits)
    return {
        "server": {"http_port": 0, "grpc_port": 0},
        "store": {"path": str(folder / "synapse.db")},
        "models": {"gemini": gemini},
    }
