"""A provider's fault, classified by what it teaches about the credential and the route.

Wires classify (from status, headers and body), the policy decides; nobody else looks at a provider's errors.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from synapse.domain.quota import Violation


class FailureClass(StrEnum):
    """What a failed attempt tells. The policy has one rule for each."""

    CALLER_FAULT = "caller_fault"
    """The request is wrong, and would be anywhere: never retried."""
    CREDENTIAL_DEAD = "credential_dead"
    """The key is invalid, suspended or out of credit: rest it for good, take another; not an attempt."""
    QUOTA_MINUTE = "quota_minute"
    """A short window is used up: rest the (credential, model) until it reopens; not an attempt."""
    QUOTA_DAY = "quota_day"
    """The day is used up: rest the (credential, model) until the provider's midnight; not an attempt."""
    NOT_IN_TIER = "not_in_tier"
    """The (credential, model) has a quota of nothing: rest it for good; not an attempt."""
    MODEL_GONE = "model_gone"
    """The provider has no such model, or not for us: no use trying again."""
    OVERLOADED = "overloaded"
    """The model exists but has no capacity now: back off."""
    RATE_LIMITED = "rate_limited"
    """A 429 that names no quota: leave the (credential, model) alone for a short while; not an attempt."""
    TRANSIENT = "transient"
    """Network, 5xx, a malformed or cut answer: back off and try again."""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt did not end in an answer."""

    kind: FailureClass
    message: str
    """What the provider said, or what happened to the connection. Never contains a key."""
    status: int | None = None
    """The HTTP status, where there was one."""
    retry_after: float | None = None
    """Seconds until the provider said it would answer again, where it said so."""
    violations: tuple[Violation, ...] = ()
    """Every limit that the provider named as used up, or that has to be understood so."""
    shared: bool = False
    """Whether those limits span all models of a kind, as OpenRouter's for free models do."""
    arrived: bool = True
    """False where the request certainly never reached the provider: it cost nothing."""
