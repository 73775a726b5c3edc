"""What the kernel knows: cores, processor time, memory. Linux only."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = 1 / os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = slice(3, 5)
"""Idle and waiting for disk, among the times of a core in /proc/stat."""


class Cores(msgspec.Struct, frozen=True):
    """Who runs where: the server alone on its core."""

    server: int
    load: int
    upstream: int

    @classmethod
    def choose(cls) -> Self:
        """Take the cores there are: the upstream shares the load's if there are only two.

        Raises SystemExit on a machine with one.
        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:  # noqa: PLR2004 (one for the server, one for everything else)
            raise SystemExit("the bench needs two processor cores: one for the server, one for load and upstream")
        return cls(cores[0], cores[1], cores[min(2, len(cores) - 1)])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pin what is started inside to one core; children inherit it from their first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Processor time the process has taken, user and system, all threads; in steps of the kernel's tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def rss_bytes(pid: int) -> int:
    """Return the memory the process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def core_idle_seconds(core: int) -> float:
    """Return how long the core has had nothing to do."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name == f"cpu{core}":
            return sum(int(time) for time in times[IDLE_FIELDS]) * TICK
    raise LookupError(f"/proc/stat knows no core {core}")


class Meter:
    """Measures a server from its making on."""

    def __init__(self, pid: int) -> None:
        """Begin now; the core is the one that the process is pinned to."""
        self._pid = pid
        self._core = min(os.sched_getaffinity(pid))
        self._cpu, self._idle = cpu_seconds(pid), core_idle_seconds(self._core)
        self._start = time.monotonic()

    def read(self) -> tuple[float, float, float]:
        """Return seconds passed, processor seconds the server took, and the share of time its core was busy."""
        seconds = time.monotonic() - self._start
        idle = core_idle_seconds(self._core) - self._idle
        return seconds, cpu_seconds(self._pid) - self._cpu, max(0.0, 1 - idle / seconds)

    def rss(self) -> int:
        """Return the bytes of memory the server holds now."""
        return rss_bytes(self._pid)
