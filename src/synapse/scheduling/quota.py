"""Arithmetic of quota windows."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


MINUTE = 60.0
DAY = 86400.0


def day_end(now: float, zone: ZoneInfo) -> float:
    """Return the next midnight in the zone, as seconds since the epoch; days with a clock change are 23 or 25 hours."""
    today = datetime.fromtimestamp(now, zone).date()
    return datetime.combine(today + timedelta(days=1), time(), zone).timestamp()
