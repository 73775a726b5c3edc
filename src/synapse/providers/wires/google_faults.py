"""What Google's errors teach. Apart from the wire, because Google's OpenAI-compatible port sends the same ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires.faults import (
    BY_STATUS,
    Complaint,
    duration,
    failure,
    mapping,
    mappings,
    read_complaint,
    retry_after,
    stated_delay,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEAD_REASONS: Final = frozenset({
    "ACCOUNT_STATE_INVALID", "BILLING_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED", "CREDENTIALS_MISSING",
    "SERVICE_DISABLED", "SERVICE_NOT_ACTIVATED", "USER_BLOCKED_BY_ADMIN", "USER_PROJECT_DENIED",
})  # fmt: skip
"""`google.rpc.ErrorInfo` reasons that speak of the key or its project; those that begin with `API_KEY_` do too."""
_DEAD_PROSE = re.compile(r"\bapi key (?:not valid|expired|not found|invalid)", re.IGNORECASE)
_MONEY_PROSE = re.compile(r"prepayment credit|credits? (?:is|are|ha[sv]e? been) depleted|spending cap", re.IGNORECASE)
_DAY_ID = re.compile(r"per_?day|daily", re.IGNORECASE)
_DAY_PROSE = re.compile(r"per ?day\b|\bdaily\b", re.IGNORECASE)
_NOTHING_PROSE = re.compile(r"\blimit: 0(?![.,]?\d)")

_FORBIDDEN = 403
_TOO_MANY = 429


class _Quota(msgspec.Struct, frozen=True):
    """One quota that a 429 names."""

    id: str
    limit: str


class _Details(msgspec.Struct, frozen=True):
    """What the typed details of a Google error say."""

    reason: str
    quotas: tuple[_Quota, ...]
    delay: str
    """`RetryInfo.retryDelay`, a protobuf duration."""


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say what an answer with an error status teaches. Header names are lower case."""
    return judge(status, headers, read_complaint(body))


def judge(status: int | None, headers: Mapping[str, str], complaint: Complaint) -> Failure:
    """Say what an error teaches: the answer's own, or one inside a stream (there its code stands for the status)."""
    details = _read_details(mappings(complaint.fields.get("details")))
    code = status if status is not None else complaint.fields.get("code")
    kind, delay = _verdict(code if isinstance(code, int) else 0, headers, complaint, details)
    return failure(kind, complaint.message, status=status, retry_after=delay)


def is_google(complaint: Complaint) -> bool:
    """Tell whether an error has the shape of a Google one: a number as code, a name as status."""
    return isinstance(complaint.fields.get("code"), int) and bool(text(complaint.fields.get("status")))


def _verdict(
    code: int, headers: Mapping[str, str], complaint: Complaint, details: _Details
) -> tuple[FailureClass, float | None]:
    if details.reason.startswith("API_KEY_") or details.reason in _DEAD_REASONS:
        return FailureClass.CREDENTIAL_DEAD, None
    if not details.reason and _DEAD_PROSE.search(complaint.message):
        return FailureClass.CREDENTIAL_DEAD, None
    if code == _FORBIDDEN and complaint.fields:
        return FailureClass.CREDENTIAL_DEAD, None
    if code == _TOO_MANY:
        return _quota_verdict(headers, complaint.message, details)
    kind = BY_STATUS.get(code, FailureClass.TRANSIENT)
    if kind not in {FailureClass.OVERLOADED, FailureClass.TRANSIENT}:
        return kind, None
    delay = _delay(details.delay, complaint.message)
    return kind, delay if delay is not None else retry_after(headers)


def _quota_verdict(headers: Mapping[str, str], message: str, details: _Details) -> tuple[FailureClass, float | None]:
    if any(quota.limit == "0" for quota in details.quotas) or _NOTHING_PROSE.search(message):
        return FailureClass.NOT_IN_TIER, None
    if not details.quotas:
        return _unnamed_quota_verdict(headers, message, details.delay)
    if any(_DAY_ID.search(quota.id) for quota in details.quotas):
        return FailureClass.QUOTA_DAY, None
    return FailureClass.QUOTA_MINUTE, _delay(details.delay, message)


def _unnamed_quota_verdict(headers: Mapping[str, str], message: str, stated: str) -> tuple[FailureClass, float | None]:
    if _MONEY_PROSE.search(message):
        return FailureClass.CREDENTIAL_DEAD, None
    if _DAY_PROSE.search(message):
        return FailureClass.QUOTA_DAY, None
    delay = _delay(stated, message)
    if delay is not None:
        return FailureClass.QUOTA_MINUTE, delay
    return FailureClass.TRANSIENT, retry_after(headers)


def _delay(stated: str, message: str) -> float | None:
    """Seconds to wait. A delay in whole seconds was rounded down: the window opens within the second after it."""
    seconds = duration(stated)
    if seconds is None:
        seconds = stated_delay(message)
    return seconds + 1.0 if seconds is not None and seconds.is_integer() else seconds


def _read_details(details: Iterable[Mapping[str, object]]) -> _Details:
    reason, delay = "", ""
    quotas: list[_Quota] = []
    for detail in details:
        match text(detail.get("@type")).rpartition(".")[2]:
            case "ErrorInfo":
                reason = text(detail.get("reason"))
                quotas += _older_quota(mapping(detail.get("metadata")))
            case "QuotaFailure":
                quotas += [_quota(violation) for violation in mappings(detail.get("violations"))]
            case "RetryInfo":
                delay = text(detail.get("retryDelay"))
    return _Details(reason, tuple(quotas), delay)


def _quota(violation: Mapping[str, object]) -> _Quota:
    return _Quota(text(violation.get("quotaId")), str(violation.get("quotaValue", "")).strip())


def _older_quota(metadata: Mapping[str, object]) -> list[_Quota]:
    """Where the quota stood before there was a `QuotaFailure`."""
    name = text(metadata.get("quota_limit"))
    return [_Quota(name, str(metadata.get("quota_limit_value", "")).strip())] if name else []
