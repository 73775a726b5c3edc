"""`synapse check-config`: what would run with this configuration."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from synapse.cli.terminal import add_config_option, open_console

if TYPE_CHECKING:
    from synapse.cli.report import ProviderReport, Report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "check-config",
        help="check the configuration and say what would run",
        description="Checks config.yaml, .env and the environment, and prints what `synapse serve` would run. The exit "
        "code is 2 where something is wrong.",
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Raises ConfigError with all that is wrong."""
    import msgspec

    from synapse import config
    from synapse.cli.report import report
    from synapse.providers.catalog import resolve

    environ = config.environment(arguments.config, os.environ)
    loaded = config.load(arguments.config, os.environ)
    made = report(str(arguments.config), loaded, resolve(loaded, environ), environ, cores=config.cpu_cores())
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
    else:
        _print(made)
    return 0


def _print(made: Report) -> None:
    from rich.table import Table

    scheme, encrypted = ("https", " (TLS)") if made.tls else ("http", "")
    table = Table(box=None)
    for column in ("provider", "address", "keys", "models"):
        table.add_column(column, overflow="fold")
    for row in made.providers:
        table.add_row(row.name, _address(row), _keys(row), _models(row))
    console = open_console()
    summary = f"{made.config} is valid. `synapse serve` runs up to {made.slots} tasks at once and listens on\n"
    console.print(summary, soft_wrap=True)
    console.print(f"  HTTP  {scheme}://{made.host}:{made.http_port or '(any free port)'}")
    console.print(f"  gRPC  {made.host}:{made.grpc_port or '(any free port)'}{encrypted}\n")
    console.print(table)
    for row in made.providers:
        if row.lacks_key:
            variables = " or ".join(row.key_variables)
            told = f"\n{row.name} has no key, so its models answer with an error: set {variables}"
            console.print(told, style="yellow", soft_wrap=True)


def _address(row: ProviderReport) -> str:
    return f"{row.base_url} via {row.proxy}" if row.proxy else row.base_url or "built in"


def _keys(row: ProviderReport) -> str:
    if not row.needs_key:
        return "not needed"
    return f"{len(row.keys)}: {' '.join(row.keys)}" if row.keys else "none"


def _models(row: ProviderReport) -> str:
    return "\n".join(code if code == model else f"{code} = {model}" for code, model in row.models.items())
