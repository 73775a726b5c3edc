"""Whether a pool of keys is used as its quotas allow: a simulated provider, Synapse, real callers; in one table.

    python bench/quotas.py [--only NAME …] [--jobs N] [--json]

Exits with 1 when something did not hold that must. All of it takes about six minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from rich.console import Console

from acceptance import bands, callers, chaos, days, ramp, windows
from acceptance.report import Report, failed, show
from servers import BenchError
from synapse.simulator import Window

Run = Callable[[str], Awaitable[Report]]
"""A run, which is told its name."""
UNWRAPPED = 160
"""Columns of what is no terminal."""
LONGEST = 400.0
"""Seconds after which a run is given up."""


class Scenario(msgspec.Struct, frozen=True):
    """A run, and beside what others it may be."""

    run: Run
    alone: bool = False
    """Whether it is about the order or the speed of things, which others would disturb; the rest only wait."""


def scenarios() -> dict[str, Scenario]:
    """Return all runs by name, the longest first."""
    fixed, trailing = Window.FIXED, Window.TRAILING
    requests = windows.requests
    return {
        "first-contact": Scenario(ramp.first_contact, alone=True),
        "chaos": Scenario(chaos.chaos, alone=True),
        "callers-1:1": Scenario(callers.equal_weights, alone=True),
        "callers-3:1": Scenario(callers.unequal_weights, alone=True),
        "flood": Scenario(bands.flood),
        **{
            f"{window}{how}{band and '-'}{band}": Scenario(
                partial(requests, window=window, configured=not how, band=band or None)
            )
            for window in (fixed, trailing)
            for how in ("", "-learned")
            for band in ("", "batch")
        },
        "trailing-learned-no-value": Scenario(partial(requests, window=trailing, configured=False, bodies="no-value")),
        "tpm-fixed": Scenario(partial(windows.tokens, window=fixed)),
        "tpm-trailing": Scenario(partial(windows.tokens, window=trailing)),
        "rpd": Scenario(days.configured),
        "rpd-learned": Scenario(days.unconfigured),
    }


def chosen(only: list[str]) -> dict[str, Scenario]:
    """Return the runs asked for. Raises SystemExit for a name there is not."""
    known = scenarios()
    unknown = [name for name in only if name not in known]
    if unknown:
        raise SystemExit(f"nothing is called {', '.join(unknown)}; there are {', '.join(known)}")
    return {name: known[name] for name in only} if only else known


async def run_all(asked: dict[str, Scenario], jobs: int, tell: Callable[[str], object]) -> list[Report]:
    """Run those that must be alone one after the other, then the rest, so many at a time; report in the order asked."""
    reports: dict[str, Report] = {}
    turn = asyncio.Semaphore(jobs)

    async def run(name: str) -> None:
        async with turn:
            tell(f"{name} …")
            reports[name] = await reported(name, asked[name].run)
            tell(f"{name}: {'ok' if reports[name].ok else 'FAILED'}")

    for name, scenario in asked.items():
        if scenario.alone:
            await run(name)
    await asyncio.gather(*(run(name) for name, scenario in asked.items() if not scenario.alone))
    return [reports[name] for name in asked]


async def reported(name: str, run: Run, longest: float = LONGEST) -> Report:
    """Return a run's report; one that does not come to its end has failed, and does not end the others."""
    try:
        async with asyncio.timeout(longest):
            return await run(name)
    except TimeoutError:
        return failed(name, f"not over after {longest:.0f} s")
    except BenchError as error:
        return failed(name, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other runs still tell what they found
        return failed(name, f"{type(error).__name__}: {error}")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Whether a pool of keys is used as its quotas allow.")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help=f"of {', '.join(scenarios())}")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="runs at a time (default: 4)")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    return parser.parse_args()


def main() -> int:
    """Run and print; return the exit code."""
    asked = options()
    progress = Console(stderr=True, style="dim", highlight=False, markup=False)
    reports = asyncio.run(run_all(chosen(asked.only), asked.jobs, progress.print))
    if asked.json:
        print(msgspec.json.encode(reports).decode())
    else:
        show(reports, Console(width=None if sys.stdout.isatty() else UNWRAPPED))
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
