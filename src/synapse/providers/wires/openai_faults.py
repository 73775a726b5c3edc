"""What the errors of OpenAI, OpenRouter and the servers that speak like OpenAI teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires import google_faults
from synapse.providers.wires.faults import (
    BY_STATUS,
    Complaint,
    Verdict,
    complaint_of,
    judged,
    mapping,
    read_complaint,
    retry_after,
    text,
    whole,
)
from synapse.providers.wires.openai_limits import RATE_LIMITED, judge_limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BY_NAME: Final[Mapping[str, FailureClass]] = {
    **dict.fromkeys(
        (
            "account_deactivated", "authentication", "authentication_error", "billing_hard_limit_reached",
            "billing_not_active", "credit_balance_exhausted", "exceeded_current_quota_error", "expired_api_key",
            "insufficient_balance", "insufficient_quota", "invalid_api_key", "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded", "payment_required", "project_spend_limit_exceeded",
        ),
        FailureClass.CREDENTIAL_DEAD,
    ),
    **dict.fromkeys(
        (
            "content_policy_violation", "context_length_exceeded", "exceed_context_size_error", "invalid_prompt",
            "invalid_request", "max_tokens_exceeded", "refusal", "region_restricted", "string_too_long",
            "token_limit_exceeded", "unsupported_country_region_territory", "unsupported_value", "wrong_endpoint",
        ),
        FailureClass.CALLER_FAULT,
    ),
    **dict.fromkeys(
        (
            "constraint_filtered", "free_variant_ended", "model_deprecated", "model_not_found",
            "model_unavailable_upstream", "no_endpoints", "privacy_restricted",
        ),
        FailureClass.MODEL_GONE,
    ),
    **dict.fromkeys(
        (
            "capacity_exhausted", "overloaded", "overloaded_error", "provider_overloaded", "server_is_overloaded",
            "service_unavailable_error", "temporarily_unavailable", "unavailable_error",
        ),
        FailureClass.OVERLOADED,
    ),
    # The model's own slip, not the caller's, although it comes as a 400: another try may well go right.
    "tool_use_failed": FailureClass.TRANSIENT,
    # A warning of too steep a rise; the quota is not used up.
    "slow_down": FailureClass.RATE_LIMITED,
}  # fmt: skip
"""What an error's own name means, whatever status it came with."""
_KEY_PROSE: Final = ("api key", "key limit", "suspended", "disabled key", "key is disabled")
_WAITING: Final = frozenset({FailureClass.OVERLOADED, FailureClass.RATE_LIMITED, FailureClass.TRANSIENT})

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_TOO_MANY = 429


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say what an answer with an error status teaches. Header names are lower case."""
    return judge(status, headers, read_complaint(body, status))


def judge(status: int | None, headers: Mapping[str, str], complaint: Complaint) -> Failure:
    """Say what an error teaches: the answer's own, or one inside a stream (there its code stands for the status)."""
    if google_faults.is_google(complaint):
        return google_faults.judge(status, headers, complaint)
    code = status if status is not None else _code(complaint.fields)
    headers = {**_inner_headers(complaint.fields), **headers}
    return judged(_verdict(code, headers, complaint), _message(complaint), status)


def _verdict(code: int, headers: Mapping[str, str], complaint: Complaint) -> Verdict:
    names = list(_names(complaint.fields))
    if code == _UNAUTHORIZED:
        return Verdict(FailureClass.CREDENTIAL_DEAD)
    for name in names:
        if name in _BY_NAME:
            return _with_hint(_BY_NAME[name], headers)
    if code == _TOO_MANY or (not code and RATE_LIMITED.intersection(names)):
        return _limit_verdict(names, headers, complaint)
    if code == _FORBIDDEN and complaint.fields:
        return Verdict(_forbidden(complaint))
    if not code and "invalid_request_error" in names:
        return Verdict(FailureClass.CALLER_FAULT)
    return _with_hint(BY_STATUS.get(code, FailureClass.TRANSIENT), headers)


def _with_hint(kind: FailureClass, headers: Mapping[str, str]) -> Verdict:
    return Verdict(kind, retry_after(headers) if kind in _WAITING else None)


def _forbidden(complaint: Complaint) -> FailureClass:
    """OpenRouter forbids contents (moderation, guardrails, regions), unless it says key; the others forbid keys."""
    said = complaint.message.lower()
    if _is_openrouter(complaint.fields) and not any(word in said for word in _KEY_PROSE):
        return FailureClass.CALLER_FAULT
    return FailureClass.CREDENTIAL_DEAD


def _is_openrouter(fields: Mapping[str, object]) -> bool:
    return isinstance(fields.get("code"), int) and "type" not in fields and "param" not in fields


def _limit_verdict(names: list[str], headers: Mapping[str, str], complaint: Complaint) -> Verdict:
    metadata = mapping(complaint.fields.get("metadata"))
    if "request too large" in complaint.message.lower():
        # Larger than the whole window: it would wait for ever, and no code tells it from one that need not.
        return Verdict(FailureClass.CALLER_FAULT)
    if text(metadata.get("provider_name")):
        # The limit of a provider behind OpenRouter, which many share: no window of ours is used up.
        return Verdict(FailureClass.RATE_LIMITED, retry_after(headers))
    return judge_limit(names, headers, f"{complaint.message}\n{text(metadata.get('limit_source'))}")


def _names(fields: Mapping[str, object]) -> Iterator[str]:
    """All names an error goes by, in lower case, the most exact ones first."""
    for holder, key in (
        (fields, "code"),
        (mapping(fields.get("availability")), "code"),
        (mapping(fields.get("metadata")), "error_type"),
        (fields, "type"),
    ):
        if name := text(holder.get(key)):
            yield name.lower()


def _code(fields: Mapping[str, object]) -> int:
    """Return the status that an error inside a stream stands for: its code where that is a number; 0 if it has none."""
    for key in ("code", "status_code", "status"):
        code = whole(fields.get(key))
        if code is not None:
            return code
    return 0


def _inner_headers(fields: Mapping[str, object]) -> dict[str, str]:
    """Return what OpenRouter says in the body and would say in headers."""
    metadata = mapping(fields.get("metadata"))
    found = {name.lower(): str(value) for name, value in mapping(metadata.get("headers")).items()}
    for hint in (mapping(fields.get("availability")).get("retry_after"), metadata.get("retry_after_seconds")):
        if hint:
            found.setdefault("retry-after", str(hint))
    return found


def _message(complaint: Complaint) -> str:
    """Return what was said; OpenRouter's own words say little where it passes on those of a provider."""
    inner = complaint_of(mapping(complaint.fields.get("metadata")).get("raw")).message
    return complaint.message if inner in complaint.message else f"{complaint.message}: {inner}"
