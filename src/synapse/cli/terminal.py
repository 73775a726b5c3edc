"""How commands talk to people."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_UNWRAPPED = 10_000
"""Columns of what is no terminal: programs that read a table want its lines whole."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config` to a command that reads the configuration."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), metavar="F", help="default: config.yaml")


def complain(message: str) -> None:
    """Write what went wrong to standard error, each line after the program's name, without keys."""
    from synapse.logs import redact

    for line in redact(message).splitlines():
        print(f"synapse: {line}", file=sys.stderr)


def explain(error: OSError) -> str:
    """Say in a line what the system refused: what was being done, where that was noted, the file, the reason."""
    parts = [*getattr(error, "__notes__", ()), error.filename, error.strerror or str(error) or type(error).__name__]
    return ": ".join(str(part) for part in parts if part)


def open_console() -> Console:
    """Give a console on standard output: coloured on a terminal unless NO_COLOR is set, plain and wide elsewhere."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else _UNWRAPPED)


def hang_up() -> None:
    """Stop writing to a standard output that nobody reads; without this Python complains when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
