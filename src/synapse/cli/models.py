"""`synapse models`: the model codes that a server takes."""

from __future__ import annotations

import argparse
import json

from synapse.cli.generate import add_server_option, open_client


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "models", help="list the models", description="Lists the model codes that a running server takes."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_server_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the model codes, one a line. Raises a `SynapseError` where the server doesn't say."""
    with open_client(arguments.server) as client:
        models = client.list_models()
    for line in [json.dumps({"models": models})] if arguments.json else models:
        print(line)
    return 0
