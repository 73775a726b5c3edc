"""What Anthropic's errors teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires.anthropic_limits import violations
from synapse.providers.wires.faults import BY_STATUS, Complaint, failure, read_complaint, retry_after, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_TYPE: Final[Mapping[str, FailureClass]] = {
    "invalid_request_error": FailureClass.CALLER_FAULT,
    "request_too_large": FailureClass.CALLER_FAULT,
    "conflict_error": FailureClass.TRANSIENT,
    "authentication_error": FailureClass.CREDENTIAL_DEAD,
    "billing_error": FailureClass.CREDENTIAL_DEAD,
    "permission_error": FailureClass.CREDENTIAL_DEAD,
    "not_found_error": FailureClass.MODEL_GONE,
    "rate_limit_error": FailureClass.RATE_LIMITED,
    "overloaded_error": FailureClass.OVERLOADED,
    "api_error": FailureClass.TRANSIENT,
    "timeout_error": FailureClass.TRANSIENT,
}
_MONEY: Final = ("credit balance is too low", "usage limits", "spend limit")
"""Said in what is otherwise called an invalid request."""
_WAITING: Final = frozenset({FailureClass.RATE_LIMITED, FailureClass.OVERLOADED, FailureClass.TRANSIENT})
_TOO_MANY = 429


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say what an answer with an error status teaches. Header names are lower case."""
    return judge(status, headers, read_complaint(body, status))


def judge(status: int | None, headers: Mapping[str, str], complaint: Complaint) -> Failure:
    """Say what an error teaches: the answer's own, or one inside a stream."""
    kind = _kind(status, complaint)
    named = violations(headers) if kind is FailureClass.RATE_LIMITED else ()
    delay = retry_after(headers) if kind in _WAITING else None
    if named:
        kind = FailureClass.QUOTA_MINUTE
    return msgspec.structs.replace(failure(kind, complaint.message, status=status, retry_after=delay), violations=named)


def _kind(status: int | None, complaint: Complaint) -> FailureClass:
    kind = _BY_TYPE.get(text(complaint.fields.get("type")))
    if kind is None:
        kind = FailureClass.RATE_LIMITED if status == _TOO_MANY else BY_STATUS.get(status or 0, FailureClass.TRANSIENT)
    said = complaint.message.lower()
    if kind is FailureClass.CALLER_FAULT and any(words in said for words in _MONEY):
        return FailureClass.CREDENTIAL_DEAD
    return kind
