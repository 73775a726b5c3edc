"""What the wires share to tell which limit a provider speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.quota import Measure, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAYS: Final = frozenset({Measure.RPD, Measure.TPD})


def measure(*, tokens: bool, day: bool) -> Measure:
    """Name the limit that counts tokens or else requests, in a day or else in a minute."""
    if tokens:
        return Measure.TPD if day else Measure.TPM
    return Measure.RPD if day else Measure.RPM


def of_a_day(violations: Iterable[Violation]) -> bool:
    """Tell whether any of them lasts until a day ends."""
    return any(violation.measure in _DAYS for violation in violations)


def tightest(violations: Iterable[Violation]) -> tuple[Violation, ...]:
    """Keep one for each measure, the one with the smallest limit: providers name some twice."""
    kept: dict[Measure, Violation] = {}
    for violation in violations:
        known = kept.get(violation.measure)
        if known is None or known.limit is None or (violation.limit is not None and violation.limit < known.limit):
            kept[violation.measure] = violation
    return tuple(kept.values())
