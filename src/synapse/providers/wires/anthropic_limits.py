"""What Anthropic's headers say of limits. All of them are of a minute."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from synapse.domain.quota import Headroom, Measure, Violation
from synapse.providers.wires.faults import instant, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "anthropic-ratelimit-"
_MEASURES: Final[Mapping[str, Measure]] = {"requests": Measure.RPM, "input-tokens": Measure.TPM}
"""Those of output tokens, and of all tokens together, are none of ours."""


def headroom(headers: Mapping[str, str]) -> tuple[Headroom, ...]:
    """Return what a good answer's headers say is left."""
    if f"{_PREFIX}requests-limit" not in headers:
        return ()
    return tuple(each for what in _MEASURES if (each := _one(what, headers)) is not None)


def violations(headers: Mapping[str, str]) -> tuple[Violation, ...]:
    """Return the limits of which a refusal's headers say that nothing is left."""
    return tuple(Violation(each.measure, each.limit) for each in headroom(headers) if each.remaining == 0)


def _one(what: str, headers: Mapping[str, str]) -> Headroom | None:
    limit, remaining = (whole(headers.get(f"{_PREFIX}{what}-{name}", "")) for name in ("limit", "remaining"))
    if not limit:
        return None
    return Headroom(_MEASURES[what], limit, remaining, _seconds(headers.get(f"{_PREFIX}{what}-reset", ""), headers))


def _seconds(reset: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds until an RFC 3339 instant, by the clock of who sent it."""
    now = instant(headers.get("date", ""))
    try:
        then = datetime.fromisoformat(reset)
    except ValueError:
        return None
    then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
    return max(0.0, then.timestamp() - now) if now is not None else None
