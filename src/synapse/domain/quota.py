"""Quotas: how much of a model a provider lets a project have, and what it says of that."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Measure(StrEnum):
    """What a limit counts. The tokens are those of the input."""

    RPM = "rpm"
    TPM = "tpm"
    RPD = "rpd"
    TPD = "tpd"
    CONCURRENCY = "concurrency"


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a (project, model). None: not known, or none."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Input tokens a minute."""
    rpd: int | None = None
    """Requests a day."""
    tpd: int | None = None
    """Input tokens a day."""
    concurrency: int | None = None
    """Requests at once."""

    def over(self, other: Quota) -> Quota:
        """Return these limits, completed by the other ones where these say nothing."""
        return Quota(
            rpm=other.rpm if self.rpm is None else self.rpm,
            tpm=other.tpm if self.tpm is None else self.tpm,
            rpd=other.rpd if self.rpd is None else self.rpd,
            tpd=other.tpd if self.tpd is None else self.tpd,
            concurrency=other.concurrency if self.concurrency is None else self.concurrency,
        )

    def within(self, other: Quota) -> Quota:
        """Return the stricter of each pair of limits."""
        return Quota(
            rpm=_least(self.rpm, other.rpm),
            tpm=_least(self.tpm, other.tpm),
            rpd=_least(self.rpd, other.rpd),
            tpd=_least(self.tpd, other.tpd),
            concurrency=_least(self.concurrency, other.concurrency),
        )


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


class Violation(msgspec.Struct, frozen=True, gc=False):
    """A limit that a provider says is used up."""

    measure: Measure
    limit: int | None = None
    """Its value, where the provider said it."""


class Headroom(msgspec.Struct, frozen=True, gc=False):
    """What a provider says, beside an answer, of one of its limits."""

    measure: Measure
    limit: int
    remaining: int | None = None
    """What is left of it, where the provider said so."""
    resets_in: float | None = None
    """Seconds until all of it is there again."""
