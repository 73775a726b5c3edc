"""What becomes of a lease. Every attempt ends in exactly one of these."""

from __future__ import annotations

import msgspec

from synapse.domain.errors import SynapseError
from synapse.domain.events import Finish
from synapse.domain.failure import Failure


class Succeed(msgspec.Struct, frozen=True):
    """The answer is whole."""

    finish: Finish


class Retry(msgspec.Struct, frozen=True):
    """Back to the lane."""

    delay: float
    """Seconds before it may be leased again."""
    counted: bool
    """Whether an attempt was used up. Walking past dead or exhausted credentials uses none."""
    reason: str
    failure: Failure | None = None
    """What the attempt taught about its credential and its model."""
    fall_back: bool = False
    """Whether it goes to its next fallback, which it has."""


class Fail(msgspec.Struct, frozen=True):
    """There will be no answer."""

    error: SynapseError
    failure: Failure | None = None


class GiveUp(msgspec.Struct, frozen=True):
    """The lease was revoked (its task is cancelled, or over): the attempt has stopped, nothing else happens."""


class Release(msgspec.Struct, frozen=True):
    """The worker stops before the attempt is done: back to the lane as if it had not been leased."""


Settlement = Succeed | Retry | Fail | GiveUp | Release
