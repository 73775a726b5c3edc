"""`synapse serve`: everything in one process."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from synapse.cli.terminal import add_config_option

if TYPE_CHECKING:
    from synapse.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "serve",
        help="take prompts over gRPC and HTTP, queue them, and stream the answers",
        description="Run Synapse: both ports, the queue and the workers, in this one process.",
    )
    add_config_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop. SIGTERM and Ctrl-C let running tasks finish; a second one does not wait."""
    import os
    import sys

    import uvloop

    from synapse import config, logs

    logs.configure(sys.stderr)
    environ = config.environment(arguments.config, os.environ)
    loaded = config.load(arguments.config, os.environ)
    uvloop.run(_serve(loaded, environ))
    return 0


async def _serve(config: Config, environ: dict[str, str]) -> None:
    import asyncio
    import gc
    import os
    import signal

    import structlog

    from synapse import app as application
    from synapse.config import cpu_cores
    from synapse.providers.catalog import resolve

    log = structlog.get_logger("synapse")
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    plans = resolve(config, environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    async with application.running(config, plans, cores=cpu_cores(), environ=environ) as running:
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process: collecting it again and again is wasted time
        application.log_start(config, plans, running)
        await stop.wait()
        log.info("shutting down", waiting=running.broker.stats().waiting, running=running.broker.stats().running)
        finished = await running.drain(config.server.shutdown_grace)
    log.info("stopped", everything_finished=finished)
