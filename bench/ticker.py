"""A timer that is exact to microseconds; the event loop's own are rounded up to whole milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLOCK_MONOTONIC = 1
ABSOLUTE_TIME = 1
NANO = 1_000_000_000


class Ticker:
    """Calls back once for each period that has passed, late ones included, with the instant it was due.

    The kernel keeps the schedule (Linux timerfd), so that a busy process falls behind but never loses a tick.
    """

    def __init__(self, period: float, callback: Callable[[float], None]) -> None:
        """Start ticking on the running loop: every `period` seconds, `callback(due)` in seconds of `time.monotonic`."""
        self._period = round(period * NANO)
        self._callback = callback
        self._due = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()
        self._fd = _timerfd(self._due + self._period, self._period)
        self._loop.add_reader(self._fd, self._fire)

    def _fire(self) -> None:
        passed = int.from_bytes(os.read(self._fd, 8), sys.byteorder)
        for _ in range(passed):
            self._due += self._period
            self._callback(self._due / NANO)

    def close(self) -> None:
        """Stop ticking."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def _timerfd(first: int, period: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    schedule = struct.pack("@4l", *divmod(period, NANO), *divmod(first, NANO))
    if fd < 0 or libc.timerfd_settime(fd, ABSOLUTE_TIME, schedule, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot set a timer")
    return fd
