"""What each caller has used since the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from synapse.brokers.base import TaskEnd


class CallerTotal(msgspec.Struct):
    """The sums of one caller. Tokens are counted where providers have told them."""

    caller: str
    tasks: int = 0
    succeeded: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """US dollars, of the answers whose price is known."""


class Totals:
    """Adds up the ends of tasks by caller."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._callers: dict[str, CallerTotal] = {}

    def add(self, end: TaskEnd) -> None:
        """Add one task that is over."""
        name = end.task.caller.name
        total = self._callers.get(name)
        if total is None:
            total = self._callers[name] = CallerTotal(name)
        total.tasks += 1
        total.succeeded += end.error is None
        total.input_tokens += end.input_tokens or 0
        total.output_tokens += end.output_tokens or 0
        total.cost += end.cost or 0.0

    def all(self) -> list[CallerTotal]:
        """Return the totals of all callers, by name."""
        return sorted(self._callers.values(), key=lambda total: total.caller)
