"""`synapse check-config`: what would run with this configuration."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from synapse.cli.terminal import add_config_option, open_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from synapse.cli.report import CallerReport, ProviderReport, Report


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
    scheme, encrypted = ("https", " (TLS)") if made.tls else ("http", "")
    console = open_console()
    summary = f"{made.config} is valid. `synapse serve` runs up to {made.slots} tasks at once and listens on\n"
    console.print(summary, soft_wrap=True)
    console.print(f"  HTTP  {scheme}://{made.host}:{made.http_port or '(any free port)'}")
    console.print(f"  gRPC  {made.host}:{made.grpc_port or '(any free port)'}{encrypted}\n")
    console.print(_providers(made.providers))
    if made.callers:
        console.print("\nIt answers only these callers, by their keys:\n")
        console.print(_callers(made.callers))
    for row in made.providers:
        if row.lacks_key:
            variables = " or ".join(row.key_variables)
            told = f"\n{row.name} has no key, so its models answer with an error: set {variables}"
            console.print(told, style="yellow", soft_wrap=True)


def _providers(rows: Sequence[ProviderReport]) -> Table:
    table = _table("provider", "address", "keys", "models")
    for row in rows:
        table.add_row(row.name, _address(row), _keys(row), "\n".join(_model(row, code) for code in row.models))
    return table


def _callers(rows: Sequence[CallerReport]) -> Table:
    table = _table("caller", "key", "band", "weight", "at once", "models", "admin")
    for row in rows:
        at_once = str(row.max_concurrency or "any")
        key = row.key_env or "sha256"
        admin = "yes" if row.admin else ""
        table.add_row(row.name, key, row.band, f"{row.weight:g}", at_once, "\n".join(row.models), admin)
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _address(row: ProviderReport) -> str:
    return f"{row.base_url} via {row.proxy}" if row.proxy else row.base_url or "built in"


def _keys(row: ProviderReport) -> str:
    if not row.needs_key:
        return "not needed"
    return f"{len(row.keys)}: {' '.join(row.keys)}" if row.keys else "none"


def _model(row: ProviderReport, code: str) -> str:
    """Write one line of a model: what it is called, how much of it there is, and what stands in for it."""
    model = row.models[code]
    name = code if code == model else f"{code} = {model}"
    limits = ", ".join(f"{measure} {limit}" for measure, limit in row.limits.get(code, {}).items())
    fallbacks = ", ".join(row.fallbacks.get(code, ()))
    return f"{name}{f' ({limits})' if limits else ''}{f', else {fallbacks}' if fallbacks else ''}"
