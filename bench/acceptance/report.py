"""What came of a run, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from acceptance.judging import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from acceptance.calls import Call
    from synapse.simulator import Stats

SLOWEST = 1.10
"""The most that a run may take, in times of the optimum."""
WORST_ESTIMATE = 0.10
_SHOWN = 5
"""Failures of one kind that are worth reading."""


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold."""

    what: str
    """With the figures that decide it."""
    ok: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run, and whether they are good enough."""

    name: str
    checks: tuple[Check, ...]
    tasks: int = 0
    succeeded: int = 0
    refusals: Refusals = Refusals()
    seconds: float = 0.0
    optimum: float | None = None
    """What the same work takes at least, in seconds."""
    estimate_error: float | None = None
    """The median of all estimates of a start."""

    @property
    def ok(self) -> bool:
        """Whether all holds that must."""
        return all(check.ok for check in self.checks)

    @property
    def ratio(self) -> float | None:
        """How many times the optimum it took; None where that is nothing."""
        return self.seconds / self.optimum if self.optimum else None


def failed(name: str, why: str) -> Report:
    """Report a run that did not come to its end."""
    return Report(name=name, checks=(Check(why, ok=False),))


def at_most(what: str, value: float, limit: float) -> Check:
    """Check that a figure is no higher than it may be."""
    return Check(f"{what}: {value:.4g}, at most {limit:.4g}", value <= limit)


def at_least(what: str, value: float, limit: float) -> Check:
    """Check that a figure is no lower than it may be."""
    return Check(f"{what}: {value:.4g}, at least {limit:.4g}", value >= limit)


def equal(what: str, value: object, expected: object) -> Check:
    """Check that something is as expected."""
    return Check(f"{what}: {value}, expected {expected}", value == expected)


def all_succeeded(calls: Sequence[Call]) -> Check:
    """Check that every task was answered; say why the first few were not."""
    lost = [call.failure or "no answer" for call in calls if not call.succeeded]
    reasons = "; ".join(lost[:_SHOWN])
    return Check(f"{len(lost)} of {len(calls)} tasks failed: {reasons}" if lost else "all tasks succeeded", not lost)


def windows_kept(stats: Stats) -> Check:
    """Check that no window ever held more than its limit; the provider itself would have been wrong."""
    over = [
        f"{row.project}/{row.model} {measure} {peak}"
        for row in stats.quotas
        for measure, peak in row.peak.items()
        if (limit := getattr(row.limits, measure)) is not None and peak > limit
    ]
    return Check(f"windows over their limit: {', '.join(over) or 'none'}", not over)


def estimates_hold(error: float | None) -> Check:
    """Check that estimated starts were true."""
    if error is None:
        return Check("nobody who waited was told an estimate", ok=False)
    return at_most("median error of estimated starts", error, WORST_ESTIMATE)


def show(reports: Iterable[Report], console: Console) -> None:
    """Print one table, and below it what did not hold."""
    table = Table(title="How a pool of keys is used", caption=_CAPTION, caption_justify="left")
    table.add_column("scenario")
    for column in ("tasks", "succeeded", "quota 429s", "first", "worst", "s", "optimum", "ratio", "estimates"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    reports = list(reports)
    for report in reports:
        table.add_row(*_row(report), "ok" if report.ok else "FAILED")
    console.print(table)
    for report in reports:
        for check in report.checks:
            if not check.ok:
                console.print(f"{report.name}: {check.what}", markup=False, highlight=False)


_CAPTION = (
    "quota 429s: in total; of a project and model at first contact; and in the worst minute after that. "
    "estimates: the median error of estimated starts."
)


def _row(report: Report) -> list[str]:
    seen = report.refusals
    numbers = [report.tasks, report.succeeded, seen.total, seen.first, seen.worst]
    error = "" if report.estimate_error is None else f"{report.estimate_error:.1%}"
    ratio = "" if report.ratio is None else f"{report.ratio:.2f}"
    optimum = "" if report.optimum is None else f"{report.optimum:.1f}"
    return [report.name, *map(str, numbers), f"{report.seconds:.1f}", optimum, ratio, error]
