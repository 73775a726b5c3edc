"""What Synapse costs over a bare proxy on the same machine, in one table.

    python bench/run.py [--quick] [--upstream URL] [--only NAME …] [--floor] [--json]

docs/benchmarks.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

import footprint
from machine import Cores
from measures import measure, scenarios
from results import Row
from servers import Bench, BenchError, Start, floor, synapse
from table import show

if TYPE_CHECKING:
    from collections.abc import Callable

Measures = dict[str, "Callable[[], list[Row]]"]


class Effort(msgspec.Struct, frozen=True):
    """How much time to take."""

    rounds: int
    seconds: float
    requests: int
    """How many for the growth of memory."""


FULL = Effort(rounds=5, seconds=4.0, requests=200_000)
QUICK = Effort(rounds=2, seconds=1.0, requests=20_000)


def measures(bench: Bench, effort: Effort, starts: list[Start]) -> Measures:
    """Return everything there is to measure, by name."""
    loads: Measures = {
        each.name: partial(measure, bench, each, effort.rounds, starts) for each in scenarios(effort.seconds)
    }
    if bench.upstream is not None:
        del loads["paced"]  # another upstream does not say when its events were due
    servers: Measures = {
        **loads,
        "memory": partial(footprint.memory, bench, effort.requests, starts),
        "start": partial(footprint.start_time, bench, effort.rounds, starts),
    }
    if synapse not in starts:
        return servers
    return {
        **servers,
        "commands": partial(footprint.command_times, bench, effort.rounds),
        "size": footprint.installed,
    }


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="What Synapse costs over a bare proxy on the same machine.")
    parser.add_argument("--quick", action="store_true", help="about two minutes, and rougher")
    parser.add_argument("--upstream", metavar="URL", help="a provider to use instead of the canned one")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="measure only these")
    parser.add_argument("--floor", action="store_true", help="only the bare proxy: what this machine can do")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser.parse_args()


def chosen(all_measures: Measures, only: list[str]) -> Measures:
    """Return those asked for. Raises SystemExit for a name there is not."""
    unknown = [name for name in only if name not in all_measures]
    if unknown:
        raise SystemExit(f"nothing is called {', '.join(unknown)}; there are {', '.join(all_measures)}")
    return {name: all_measures[name] for name in only} if only else all_measures


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    asked = options()
    progress = Console(stderr=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as scratch:
        bench = Bench(Cores.choose(), Path(scratch), asked.upstream)
        os.sched_setaffinity(0, {bench.cores.load})
        starts: list[Start] = [floor] if asked.floor else [floor, synapse]
        for name, run in chosen(measures(bench, QUICK if asked.quick else FULL, starts), asked.only).items():
            progress.print(f"measuring {name}", style="dim")
            rows += run()
    if asked.json:
        print(msgspec.json.encode(rows).decode())
    else:
        show(rows, Console())


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
