"""How a provider's keys stand, for people who want to know."""

from __future__ import annotations

import msgspec

from synapse.domain.quota import Measure


class Use(msgspec.Struct, frozen=True):
    """How much of one limit is used."""

    measure: Measure
    used: int
    limit: int | None
    """None where it is not known, or there is none."""
    reopens_at: float | None
    """UTC; when something of it is there again, where all is used. None while something is left."""


class KeyStanding(msgspec.Struct, frozen=True):
    """How one credential stands for one model. Instants are UTC seconds."""

    provider: str
    credential: str | None
    """Its label, the last four characters; None where the provider wants no key."""
    project: str | None
    model: str | None
    """None: no model has been asked for yet, or the credential is benched for all of them."""
    quotas: tuple[Use, ...]
    running: int
    """Requests on their way now, of all keys of the project."""
    benched_until: float | None
    """`math.inf` is for good; None: it is not benched."""
    reason: str | None
    """Why it is benched."""
