"""What the errors of OpenAI, OpenRouter and the servers that speak like OpenAI teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires import google_faults
from synapse.providers.wires.faults import (
    BY_STATUS,
    Complaint,
    complaint_of,
    duration,
    failure,
    instant,
    mapping,
    number,
    read_complaint,
    retry_after,
    stated_delay,
    text,
)

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
    "slow_down": FailureClass.TRANSIENT,
}  # fmt: skip
"""What an error's own name means, whatever status it came with."""
_RATE_LIMITED: Final = frozenset({"rate_limit_exceeded", "ratelimitreached", "rate_limit_error", "rate_limit_reached"})
_KEY_PROSE: Final = ("api key", "key limit", "suspended", "disabled key", "key is disabled")
_WAITING: Final = frozenset({FailureClass.OVERLOADED, FailureClass.TRANSIENT})

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_TOO_MANY = 429
_SHORT_WINDOW = 3600.0
"""Seconds; a window that reopens later than this is that of a day."""
_FIRST_EPOCH = 1e9
"""A reset above this is an instant, below it a number of seconds."""
_FIRST_MILLISECONDS = 1e12


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Say what an answer with an error status teaches. Header names are lower case."""
    return judge(status, headers, read_complaint(body))


def judge(status: int | None, headers: Mapping[str, str], complaint: Complaint) -> Failure:
    """Say what an error teaches: the answer's own, or one inside a stream (there its code stands for the status)."""
    if google_faults.is_google(complaint):
        return google_faults.judge(status, headers, complaint)
    code = status if status is not None else _code(complaint.fields)
    headers = {**_inner_headers(complaint.fields), **headers}
    kind, delay = _verdict(code, headers, complaint)
    return failure(kind, _message(complaint), status=status, retry_after=delay)


def _verdict(code: int, headers: Mapping[str, str], complaint: Complaint) -> tuple[FailureClass, float | None]:
    names = list(_names(complaint.fields))
    if code == _UNAUTHORIZED:
        return FailureClass.CREDENTIAL_DEAD, None
    for name in names:
        if name in _BY_NAME:
            return _with_hint(_BY_NAME[name], headers)
    if code == _TOO_MANY or (not code and _RATE_LIMITED.intersection(names)):
        return _quota_verdict(names, headers, complaint)
    if code == _FORBIDDEN and complaint.fields:
        return _forbidden(complaint), None
    if not code and "invalid_request_error" in names:
        return FailureClass.CALLER_FAULT, None
    return _with_hint(BY_STATUS.get(code, FailureClass.TRANSIENT), headers)


def _with_hint(kind: FailureClass, headers: Mapping[str, str]) -> tuple[FailureClass, float | None]:
    return kind, retry_after(headers) if kind in _WAITING else None


def _forbidden(complaint: Complaint) -> FailureClass:
    """OpenRouter forbids contents (moderation, guardrails, regions), unless it says key; the others forbid keys."""
    said = complaint.message.lower()
    if _is_openrouter(complaint.fields) and not any(word in said for word in _KEY_PROSE):
        return FailureClass.CALLER_FAULT
    return FailureClass.CREDENTIAL_DEAD


def _is_openrouter(fields: Mapping[str, object]) -> bool:
    return isinstance(fields.get("code"), int) and "type" not in fields and "param" not in fields


def _quota_verdict(
    names: list[str], headers: Mapping[str, str], complaint: Complaint
) -> tuple[FailureClass, float | None]:
    if "request too large" in complaint.message.lower():
        # Larger than the whole window: it would wait for ever, and no code tells it from one that need not.
        return FailureClass.CALLER_FAULT, None
    if text(mapping(complaint.fields.get("metadata")).get("provider_name")):
        return FailureClass.TRANSIENT, retry_after(headers)
    if "x-ratelimit-reset" in headers:
        return _own_limit(headers, complaint.message)
    delay = _first(retry_after(headers), _reset(headers), stated_delay(complaint.message))
    if _RATE_LIMITED.intersection(names) or _reset(headers) is not None:
        return FailureClass.QUOTA_MINUTE, delay
    return FailureClass.TRANSIENT, delay


def _own_limit(headers: Mapping[str, str], message: str) -> tuple[FailureClass, float | None]:
    """OpenRouter's own limits: one of a minute and, for free models, one of a day."""
    delay = _until(number(headers["x-ratelimit-reset"]), headers)
    said = message.lower()
    if "per-day" in said or "per day" in said or (delay or 0.0) > _SHORT_WINDOW:
        return FailureClass.QUOTA_DAY, delay
    return FailureClass.QUOTA_MINUTE, _first(retry_after(headers), delay)


def _until(reset: float, headers: Mapping[str, str]) -> float | None:
    """Seconds until a reset: an instant in seconds or, as OpenRouter has it, milliseconds; or already a duration."""
    if reset > _FIRST_EPOCH:
        now = instant(headers.get("date", ""))
        then = reset / 1000.0 if reset > _FIRST_MILLISECONDS else reset
        reset = then - now if now is not None else 0.0
    return reset if reset > 0 else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the windows are open again that are used up; until all are, where none says that it is."""
    prefix = "x-ratelimit-reset-"
    resets = {
        name.removeprefix(prefix): seconds
        for name, value in headers.items()
        if name.startswith(prefix) and (seconds := duration(value))
    }
    empty = [seconds for what, seconds in resets.items() if headers.get(f"x-ratelimit-remaining-{what}") == "0"]
    return max(empty or resets.values(), default=None)


def _first(*delays: float | None) -> float | None:
    return next((delay for delay in delays if delay is not None), None)


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
        value = fields.get(key)
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
    return 0


def _inner_headers(fields: Mapping[str, object]) -> dict[str, str]:
    """Return what OpenRouter says in the body and would say in headers."""
    headers = mapping(mapping(fields.get("metadata")).get("headers"))
    found = {name.lower(): str(value) for name, value in headers.items()}
    if hint := mapping(fields.get("availability")).get("retry_after"):
        found["retry-after"] = str(hint)
    return found


def _message(complaint: Complaint) -> str:
    """Return what was said; OpenRouter's own words say little where it passes on those of a provider."""
    inner = complaint_of(mapping(complaint.fields.get("metadata")).get("raw")).message
    return complaint.message if inner in complaint.message else f"{complaint.message}: {inner}"
