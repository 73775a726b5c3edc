"""What Google's errors teach. Apart from the wire, because Google's OpenAI-compatible port sends the same ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Violation
from synapse.providers.wires.faults import (
    BY_STATUS,
    Complaint,
    Verdict,
    duration,
    judged,
    mapping,
    mappings,
    read_complaint,
    retry_after,
    stated_delay,
    text,
    whole,
)
from synapse.providers.wires.limits import measure, of_a_day, tightest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEAD_REASONS: Final = frozenset({
    "ACCOUNT_STATE_INVALID", "BILLING_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED", "CREDENTIALS_MISSING",
    "SERVICE_DISABLED", "SERVICE_NOT_ACTIVATED", "USER_BLOCKED_BY_ADMIN", "USER_PROJECT_DENIED",
})  # fmt: skip
"""`google.rpc.ErrorInfo` reasons that speak of the key or its project; those that begin with `API_KEY_` do too."""
_DEAD_PROSE = re.compile(r"\bapi key (?:not valid|expired|not found|invalid)", re.IGNORECASE)
_MONEY_PROSE = re.compile(r"prepayment credit|credits? (?:is|are|ha[sv]e? been) depleted|spending cap", re.IGNORECASE)
_DAY_NAME = re.compile(r"per[_ ]?day|daily", re.IGNORECASE)
_OTHER_NAME = re.compile(r"second|output", re.IGNORECASE)
"""In the names of quotas that no measure of ours expresses: their values would be taken for others."""
_DAY_PROSE = re.compile(r"per ?day\b|\bdaily\b", re.IGNORECASE)
_NOTHING_PROSE = re.compile(r"\blimit: 0(?![.,]?\d)")
_QUOTA_PROSE = re.compile(
    r"quota exceeded for (?:quota )?(?:metric:? )?'?(?P<name>[^\n,']+)'?(?:, limit: (?P<limit>\d+)(?![.,]?\d))?",
    re.IGNORECASE,
)

_FORBIDDEN = 403
_TOO_MANY = 429


class _Quota(msgspec.Struct, frozen=True):
    """One quota that a 429 names."""

    name: str
    """All names it goes by: its id, and that of its metric."""
    limit: int | None

    def violation(self) -> Violation:
        """Say which limit it is. A quota that names no period is a minute's: a day's value there holds nothing back."""
        counts_tokens = "token" in self.name.lower()
        known = (counts_tokens or "request" in self.name.lower()) and not _OTHER_NAME.search(self.name)
        day = _DAY_NAME.search(self.name) is not None
        return Violation(measure(tokens=counts_tokens, day=day), self.limit if known else None)


class _Details(msgspec.Struct, frozen=True):
    """What the typed details of a Google error say."""

    reason: str
    quotas: tuple[_Quota, ...]
    delay: str
    """`RetryInfo.retryDelay`, a protobuf duration."""


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say what an answer with an error status teaches. Header names are lower case."""
    return judge(status, headers, read_complaint(body, status))


def judge(status: int | None, headers: Mapping[str, str], complaint: Complaint) -> Failure:
    """Say what an error teaches: the answer's own, or one inside a stream (there its code stands for the status)."""
    details = _read_details(mappings(complaint.fields.get("details")))
    code = status if status is not None else complaint.fields.get("code")
    verdict = _verdict(code if isinstance(code, int) else 0, headers, complaint, details)
    return judged(verdict, complaint.message, status)


def is_google(complaint: Complaint) -> bool:
    """Tell whether an error has the shape of a Google one: a number as code, a name as status."""
    return isinstance(complaint.fields.get("code"), int) and bool(text(complaint.fields.get("status")))


def _verdict(code: int, headers: Mapping[str, str], complaint: Complaint, details: _Details) -> Verdict:
    if details.reason.startswith("API_KEY_") or details.reason in _DEAD_REASONS:
        return Verdict(FailureClass.CREDENTIAL_DEAD)
    if not details.reason and _DEAD_PROSE.search(complaint.message):
        return Verdict(FailureClass.CREDENTIAL_DEAD)
    if code == _FORBIDDEN and complaint.fields:
        return Verdict(FailureClass.CREDENTIAL_DEAD)
    if code == _TOO_MANY:
        return _quota_verdict(headers, complaint.message, details)
    kind = BY_STATUS.get(code, FailureClass.TRANSIENT)
    if kind not in {FailureClass.OVERLOADED, FailureClass.TRANSIENT}:
        return Verdict(kind)
    delay = _delay(details.delay, complaint.message)
    return Verdict(kind, delay if delay is not None else retry_after(headers))


def _quota_verdict(headers: Mapping[str, str], message: str, details: _Details) -> Verdict:
    quotas = details.quotas or _quotas_in(message)
    violations = tightest(quota.violation() for quota in quotas)
    if any(quota.limit == 0 for quota in quotas) or _NOTHING_PROSE.search(message):
        return Verdict(FailureClass.NOT_IN_TIER, None, violations)
    if not quotas:
        return _unnamed_quota_verdict(headers, message, details.delay)
    if of_a_day(violations):
        return Verdict(FailureClass.QUOTA_DAY, None, violations)
    return Verdict(FailureClass.QUOTA_MINUTE, _delay(details.delay, message), violations)


def _unnamed_quota_verdict(headers: Mapping[str, str], message: str, stated: str) -> Verdict:
    if _MONEY_PROSE.search(message):
        return Verdict(FailureClass.CREDENTIAL_DEAD)
    if _DAY_PROSE.search(message):
        return Verdict(FailureClass.QUOTA_DAY)
    delay = _delay(stated, message)
    if delay is not None:
        return Verdict(FailureClass.QUOTA_MINUTE, delay)
    return Verdict(FailureClass.RATE_LIMITED, retry_after(headers))


def _quotas_in(message: str) -> tuple[_Quota, ...]:
    """Find the quotas in the words of an error that has lost its details."""
    return tuple(_Quota(found["name"], whole(found["limit"])) for found in _QUOTA_PROSE.finditer(message))


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
    name = f"{text(violation.get('quotaId'))} {text(violation.get('quotaMetric'))}"
    return _Quota(name, whole(violation.get("quotaValue")))


def _older_quota(metadata: Mapping[str, object]) -> list[_Quota]:
    """Where the quota stood before there was a `QuotaFailure`."""
    name = text(metadata.get("quota_limit"))
    if not name:
        return []
    return [_Quota(f"{name} {text(metadata.get('quota_metric'))}", whole(metadata.get("quota_limit_value")))]
