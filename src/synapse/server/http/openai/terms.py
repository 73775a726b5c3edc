"""How a task of this port is to be queued: the words of Synapse's own, and OpenAI's tiers of service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.caller import Band
from synapse.domain.errors import InvalidRequest
from synapse.server.http import intake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.domain.caller import Caller
    from synapse.server.http.asgi import Scope

_TIERS: Final[Mapping[str, Band | None]] = {
    "auto": None,
    "default": None,
    "flex": Band.BATCH,
    "priority": Band.INTERACTIVE,
    "scale": None,
    "fast": Band.INTERACTIVE,
}


class Wishes(intake.Wishes, kw_only=True):
    """Fields that say how a task is to be queued."""

    service_tier: str | None = None
    """A priority is stronger."""


def read_terms(caller: Caller, wishes: Wishes, scope: Scope) -> intake.Terms:
    """Say how a task is to be queued. Raises `InvalidRequest`."""
    terms = intake.read_terms(caller, wishes, scope)
    if wishes.priority is not None or wishes.service_tier is None:
        return terms
    if wishes.service_tier not in _TIERS:
        raise InvalidRequest(
            f"service_tier: expected one of {', '.join(_TIERS)}; got {wishes.service_tier[:40]!r}", field="service_tier"
        )
    return msgspec.structs.replace(terms, priority=_TIERS[wishes.service_tier])
