"""The accounts of all projects: what each may use of each model, did use of it, and was refused."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from synapse.domain.quota import Measure, Quota
from synapse.simulator.quota import (
    Spending,
    Standing,
    Violation,
    expire,
    midnight_after,
    record,
    standing,
    violations,
)
from synapse.simulator.rules import choose

if TYPE_CHECKING:
    from synapse.simulator.options import Options

REFUSALS_KEPT = 1000


class QuotaStats(msgspec.Struct, frozen=True):
    """How a project's quota for a model was kept."""

    project: str
    """Its name; the last four characters of its key where it has none."""
    model: str
    """Or what its limits span."""
    limits: Quota
    peak: dict[Measure, int]
    """The most that ever counted at once: in a minute, in a day, in flight. Never more than the limit."""
    quota_429s: int
    """Requests refused because they would have exceeded a limit."""
    violations: dict[Measure, int]
    """How many of those would have exceeded which; one that would have exceeded two counts for both."""
    refused_at: tuple[float, ...]
    """When the last thousand of those came, in seconds after `Stats.started_at`."""


class Account:
    """What a project did with its quota for a model."""

    __slots__ = ("_broken", "_peak", "_refused", "_refused_at", "limits", "model", "project", "spending")

    def __init__(self, project: str, model: str, limits: Quota) -> None:
        """Begin with nothing used."""
        self.project = project
        self.model = model
        self.limits = limits
        self.spending = Spending()
        self._peak = dict.fromkeys(Measure, 0)
        self._broken: Counter[Measure] = Counter()
        self._refused = 0
        self._refused_at: deque[float] = deque(maxlen=REFUSALS_KEPT)

    def enter(self, tokens: int, now: float) -> None:
        """Count a request that is let in, until its answer has ended."""
        record(self.spending, tokens, now)
        for measure in Measure:
            self._peak[measure] = max(self._peak[measure], self.spending.used(measure))

    def leave(self) -> None:
        """Count the end of its answer."""
        self.spending.in_flight -= 1

    def refuse(self, broken: tuple[Violation, ...], since_start: float) -> None:
        """Count a request that is not let in."""
        self._refused += 1
        self._refused_at.append(since_start)
        self._broken.update(violation.measure for violation in broken)

    def stats(self, project: str) -> QuotaStats:
        """Return the counts, under a name for the project that may be shown."""
        return QuotaStats(
            project, self.model, self.limits, {**self._peak}, self._refused, {**self._broken}, tuple(self._refused_at)
        )


class Admission(msgspec.Struct, frozen=True):
    """Whether a request is let in."""

    violations: tuple[Violation, ...] = ()
    """Why not; empty where it is."""
    standing: Standing = Standing()
    """What is left after it."""
    account: Account | None = None
    """In which it counts as in flight: whoever answers calls its `leave`. None where it is refused or unlimited."""


class Accounts:
    """All accounts. A request is let in where it exceeds no limit, and counts from its arrival on."""

    def __init__(self, options: Options, now: float) -> None:
        """Begin with nothing used but the day of the keys that have spent it."""
        self.started_at = now
        self._options = options
        self._spent = frozenset(options.project(key) for key in options.spent)
        self._unlimited = options.limits == Quota() and not options.rules
        self._limits: dict[tuple[str, str], Quota] = {}
        self._accounts: dict[tuple[str, str], Account] = {}

    def admit(self, key: str, model: str, span: str, *, tokens: int, zone: str, now: float) -> Admission:
        """Count a request if it fits. `span` is what the model's limits are for: the model, or several of them."""
        if self._unlimited:
            return Admission()
        project = self._options.project(key)
        limits = self._limits_of(project, model, span)
        account = self._account(project, span, limits, zone, now)
        window = self._options.window
        expire(account.spending, window, zone, now)
        broken = violations(account.spending, limits, window, tokens, now)
        if broken:
            account.refuse(broken, now - self.started_at)
        else:
            account.enter(tokens, now)
        left = standing(account.spending, limits, window, now)
        return Admission(broken, left, None if broken else account)

    def stats(self) -> tuple[QuotaStats, ...]:
        """Return how all quotas were kept."""
        named = set(self._options.projects.values())
        rows = [
            account.stats(account.project if account.project in named else account.project[-4:])
            for account in self._accounts.values()
        ]
        return tuple(sorted(rows, key=lambda row: (row.project, row.model)))

    def _limits_of(self, project: str, model: str, span: str) -> Quota:
        limits = self._limits.get((project, model))
        if limits is None:
            limits = choose(self._options.limits, self._options.rules, project, model, span)
            self._limits[project, model] = limits
        return limits

    def _account(self, project: str, span: str, limits: Quota, zone: str, now: float) -> Account:
        account = self._accounts.get((project, span))
        if account is None:
            account = self._accounts[project, span] = Account(project, span, limits)
            self._spend_day(account, ZoneInfo(zone), now)
        return account

    def _spend_day(self, account: Account, zone: ZoneInfo, now: float) -> None:
        """Use up the day on which all this began, where the project is one that has spent it."""
        ends = midnight_after(self.started_at, zone)
        if account.project in self._spent and account.limits.rpd is not None and now < ends:
            account.spending.today, account.spending.day_ends = account.limits.rpd, ends
