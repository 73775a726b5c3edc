"""What only those who run the server are told: `GET /admin/keys`, `GET /admin/callers`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.quota import Measure
from synapse.server.http.asgi import presented_key, respond

if TYPE_CHECKING:
    from synapse.domain.standing import KeyStanding, Use
    from synapse.server.callers import Callers
    from synapse.server.http.asgi import Receive, Scope, Send
    from synapse.service import Service
    from synapse.totals import CallerTotal

Instant = str | None
"""An instant, UTC, as RFC 3339 writes it; "never"; or None."""


class UseData(msgspec.Struct):
    """How much of one limit is used."""

    measure: Measure
    used: int
    limit: int | None
    reopens_at: Instant


class KeyData(msgspec.Struct):
    """How one credential stands for one model."""

    provider: str
    credential: str | None
    project: str | None
    model: str | None
    quotas: list[UseData]
    running: int
    benched_until: Instant
    reason: str | None


class KeysAnswer(msgspec.Struct):
    """The answer to `GET /admin/keys`."""

    keys: list[KeyData]


class CallerData(msgspec.Struct):
    """What one caller has used since the start."""

    caller: str
    tasks: int
    succeeded: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class CallersAnswer(msgspec.Struct):
    """The answer to `GET /admin/callers`."""

    callers: list[CallerData]


_encode = msgspec.json.Encoder().encode


class AdminApi:
    """The routes, over the service."""

    def __init__(self, service: Service, callers: Callers) -> None:
        """Take the service, and who may call."""
        self._service = service
        self._callers = callers

    async def keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/keys`. Raises `PermissionDenied` for a caller who may not see them."""
        del receive
        standings = self._service.keys(self._callers.identify(presented_key(scope)))
        await respond(send, 200, _encode(KeysAnswer([_key(standing) for standing in standings])))

    async def callers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/callers`. Raises `PermissionDenied` for a caller who may not see them."""
        del receive
        totals = self._service.totals(self._callers.identify(presented_key(scope)))
        await respond(send, 200, _encode(CallersAnswer([_total(total) for total in totals])))


def _total(total: CallerTotal) -> CallerData:
    return CallerData(
        total.caller, total.tasks, total.succeeded, total.input_tokens, total.output_tokens, round(total.cost, 9)
    )


def _key(standing: KeyStanding) -> KeyData:
    return KeyData(
        standing.provider,
        standing.credential,
        standing.project,
        standing.model,
        [_use(use) for use in standing.quotas],
        standing.running,
        _instant(standing.benched_until),
        standing.reason,
    )


def _use(use: Use) -> UseData:
    return UseData(use.measure, use.used, use.limit, _instant(use.reopens_at))


def _instant(at: float | None) -> Instant:
    """Say when, as people read it."""
    if at is None:
        return None
    return "never" if math.isinf(at) else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
