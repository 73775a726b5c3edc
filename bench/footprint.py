"""What Synapse takes of a machine apart from a load: memory, time to start, space on disk."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from machine import on_core, rss_bytes
from measures import load
from plan import Plan
from results import Row
from rows import MEBI, MILLI
from servers import SYNAPSE, Bench, BenchError, Start, upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "synapse-queue"
SETTLE_SECONDS = 1.0
WARM_REQUESTS = 5000
"""Fill caches and free lists before growth is measured."""


def memory(bench: Bench, requests: int, starts: Sequence[Start]) -> list[Row]:
    """Say what an idle server holds, and how much more after so many plain requests."""
    idle: dict[str, float] = {}
    growth: dict[str, float] = {}
    errors = 0
    with upstream(bench) as provider:
        for start in starts:
            with start(bench, provider) as server:
                time.sleep(SETTLE_SECONDS)
                idle[server.name] = rss_bytes(server.pid) / MEBI
                warm = load(bench, server, Plan(requests=WARM_REQUESTS))
                full = load(bench, server, Plan(requests=requests))
                growth[server.name] = (full.rss - warm.rss) / MEBI
                errors += warm.errors + full.errors
    return [
        Row("RSS idle", "MiB", idle),
        Row(f"RSS growth over {requests:,} plain requests", "MiB", growth, errors=errors),
    ]


def start_time(bench: Bench, rounds: int, starts: Sequence[Start]) -> list[Row]:
    """Say how long it takes from the start of the process until it is ready."""
    times: dict[str, list[float]] = {}
    with upstream(bench) as provider:
        for start in list(starts) * rounds:
            with start(bench, provider) as server:
                times.setdefault(server.name, []).append(server.ready_seconds * MILLI)
    return [Row("start to ready", "ms", {name: median(each) for name, each in times.items()})]


def command_times(bench: Bench, rounds: int) -> list[Row]:
    """Say how long an import and the help take, beside an interpreter that does nothing."""
    nothing = _run_time(bench, rounds, [sys.executable, "-c", ""])
    imported = _run_time(bench, rounds, [sys.executable, "-c", "import synapse"])
    helped = _run_time(bench, rounds, [str(SYNAPSE), "--help"])
    note = f"the interpreter alone takes {nothing:.0f} ms of it"
    return [
        Row("import synapse", "ms", {"synapse": imported}, note=note),
        Row("synapse --help", "ms", {"synapse": helped}, note=note),
    ]


def _run_time(bench: Bench, rounds: int, argv: Sequence[str]) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.monotonic()
        with on_core(bench.cores.server):
            done = subprocess.run(argv, capture_output=True, text=True, cwd=bench.scratch, check=False)  # noqa: S603
        times.append((time.monotonic() - start) * MILLI)
        if done.returncode != 0:
            raise BenchError(f"{' '.join(argv)} failed:\n{done.stderr}")
    return median(times[1:])  # the first one read the disk


def installed() -> list[Row]:
    """Say what the runtime dependencies take on disk, those of dependencies included."""
    found = _requirements(PACKAGE)
    sizes = {name: _size(each) / MEBI for name, each in found.items() if name != PACKAGE}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    note = f"{len(sizes)} packages; the largest: " + ", ".join(f"{name} {sizes[name]:.1f}" for name in largest)
    return [Row("installed dependencies", "MiB", {"synapse": sum(sizes.values())}, note=note)]


def _requirements(package: str) -> dict[str, Distribution]:
    """Return the package and all that it requires here, by name."""
    found: dict[str, Distribution] = {}
    wanted = [Requirement(package)]
    while wanted:
        requirement = wanted.pop()
        name = requirement.name.lower().replace("_", "-")
        if name in found:
            continue
        found[name] = _distribution(name)
        for line in found[name].requires or ():
            each = Requirement(line)
            if _applies(each, requirement.extras):
                wanted.append(each)
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""}))


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise BenchError(f"{name} is not installed: install {PACKAGE} with its dependencies first") from None


def _size(package: Distribution) -> int:
    paths = [Path(each.locate()) for each in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())
