"""`synapse keys`: how the keys of a running server stand."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from synapse.cli.rest import add_url_option, fetch
from synapse.cli.terminal import open_console

if TYPE_CHECKING:
    from rich.table import Table

    from synapse.cli.standings import Standing

_NAMES = ("provider", "credential", "project", "model", "benched")
"""Columns of words; the others have numbers."""
_ANY_WIDTH = 10_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "keys",
        help="show what is left of each key's quotas",
        description="Asks a running server how its keys stand: of each key and model what is used of every limit, when "
        "a used-up one has something left again, and until when and why it is benched. A server that wants a key "
        "gets that of the variable SYNAPSE_API_KEY.",
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as it came")
    add_url_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the standings. Raises a `SynapseError` where the server doesn't tell them."""
    from synapse.cli.standings import read_standings

    body = fetch(arguments.url, "/admin/keys")
    standings = read_standings(body)
    if arguments.json:
        print(body.decode().rstrip("\n"))
    elif standings:
        _print(standings)
    else:
        print("The server has no keys, and no model that needs none.")
    return 0


def _print(standings: list[Standing]) -> None:
    from datetime import UTC, datetime

    from synapse.cli.standings import tabulate

    console, now = open_console(), datetime.now(UTC)
    table = _table(standings, *tabulate(standings, now))
    if console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum > console.width:
        table = _table(standings, *tabulate(standings, now, limited=True))
    console.print(table)


def _table(standings: list[Standing], heads: list[str], lines: list[list[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in heads:
        # In a narrow terminal names and reasons give way, not numbers.
        is_name = head in _NAMES
        table.add_column(head, overflow="fold", no_wrap=not is_name, justify="left" if is_name else "right")
    for standing, line in zip(standings, lines, strict=True):
        table.add_row(*line, style=standing.style)
    return table
