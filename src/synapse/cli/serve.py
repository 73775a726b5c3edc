"""`synapse serve`: everything in one process."""

from __future__ import annotations

import argparse
import os
import sys

from synapse.cli.terminal import add_config_option


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
    import uvloop

    from synapse import app, config, logs
    from synapse.providers.catalog import resolve

    logs.configure(sys.stderr)
    environ = config.environment(arguments.config, os.environ)
    loaded = config.load(arguments.config, os.environ)
    uvloop.run(app.serve(loaded, resolve(loaded, environ), environ=environ, log_stream=sys.stderr))
    return 0
