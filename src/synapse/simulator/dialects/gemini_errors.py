"""What Gemini answers instead of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.quota import Measure
from synapse.simulator.dialects.base import Form, Headers, Refusal, Reply
from synapse.simulator.faults import FaultKind
from synapse.simulator.quota import DAILY, MINUTE, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.simulator.dialects.gemini_schema import Problem

Detail = dict[str, object]

JSON_HEADERS: Headers = [(b"content-type", b"application/json; charset=UTF-8")]
_DOMAIN = "googleapis.com"
_SERVICE = f"generativelanguage.{_DOMAIN}"
_STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_FAULTS = {
    FaultKind.RATE_LIMITED: (429, "Resource has been exhausted (e.g. check quota)."),
    FaultKind.INTERNAL: (500, "An internal error has occurred."),
    FaultKind.UNAVAILABLE: (503, "The model is overloaded. Please try again later."),
}
_REQUESTS = f"{_SERVICE}/generate_content_free_tier_requests"
_TOKENS = f"{_SERVICE}/generate_content_free_tier_input_token_count"
_QUOTAS = {
    Measure.RPM: (_REQUESTS, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
    Measure.TPM: (_TOKENS, "GenerateContentInputTokensPerModelPerMinute-FreeTier"),
    Measure.RPD: (_REQUESTS, "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
    Measure.TPD: (_TOKENS, "GenerateContentInputTokensPerModelPerDay-FreeTier"),
    Measure.CONCURRENCY: (_REQUESTS, "GenerateConcurrentRequestsPerProjectPerModel-FreeTier"),
}
"""The metric and the id of each quota, as the free tier names them; it has none of concurrency, whose id is made up."""
_HELP: Detail = {
    "links": [
        {"description": "About Gemini API quotas", "url": "https://ai.google.dev/gemini-api/docs/rate-limits"},
    ]
}


def error(status: int, message: str, details: Sequence[Detail] = (), *, form: Form = Form.PLAIN) -> Reply:
    """Give an error. In a JSON array, an error is its one element."""
    content: dict[str, object] = {"code": status, "message": message, "status": _STATUSES[status]}
    if details:
        content["details"] = details
    envelope: object = {"error": content}
    whole = [envelope] if form is Form.ARRAY else envelope
    return Reply(status, msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n", JSON_HEADERS)


def fault(kind: FaultKind, form: Form) -> Reply:
    """Give an error status that has nothing to do with the request."""
    status, message = _FAULTS[kind]
    return error(status, message, form=form)


def missing_key(form: Form) -> Reply:
    """Give the error of a request without a key."""
    message = (
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API."
    )
    return error(403, message, form=form)


def invalid_key(form: Form) -> Reply:
    """Give the error of a key that nobody has; the status is 400, not 401."""
    message = "API key not valid. Please pass a valid API key."
    info: Detail = {"reason": "API_KEY_INVALID", "domain": _DOMAIN, "metadata": {"service": _SERVICE}}
    local: Detail = {"locale": "en-US", "message": message}
    details = [_detail("ErrorInfo", info), _detail("LocalizedMessage", local)]
    return error(400, message, details, form=form)


def invalid_request(problems: Sequence[Problem], form: Form) -> Refusal:
    """Refuse a request for what is wrong with its fields."""
    found = [
        {"field": problem.field, "description": problem.text} if problem.field else {"description": problem.text}
        for problem in problems
    ]
    message = "\n".join(problem.text for problem in problems)
    return Refusal(error(400, message, [_detail("BadRequest", {"fieldViolations": found})], form=form))


def over_quota(model: str, violations: Sequence[Violation], now: float, form: Form) -> Reply:
    """Give the 429 that lists every quota a request would break.

    Where it is a day's, the time to come back in is as short as that of a minute's, and wrong.
    """
    lines = [_line(model, violation) for violation in violations]
    delay = _retry_delay(violations, now)
    message = "\n".join(["You exceeded your current quota.", *lines, f"Please retry in {_spelled(delay)}."])
    found: Detail = {"violations": [_violation(model, violation) for violation in violations]}
    details = [_detail("Help", _HELP), _detail("QuotaFailure", found)]
    details.append(_detail("RetryInfo", {"retryDelay": f"{int(delay)}s"}))
    return error(429, message, details, form=form)


def _retry_delay(violations: Sequence[Violation], now: float) -> float:
    if any(violation.measure in DAILY for violation in violations):
        return MINUTE - now % MINUTE
    return max(violation.opens_in for violation in violations)


def _spelled(seconds: float) -> str:
    return f"{seconds * 1000:.6f}ms" if seconds < 1 else f"{seconds:.9f}s"


def _line(model: str, violation: Violation) -> str:
    metric, _ = _QUOTAS[violation.measure]
    limit = "" if violation.limit is None else f", limit: {violation.limit}"
    return f"* Quota exceeded for metric: {metric}{limit}, model: {model}"


def _violation(model: str, violation: Violation) -> Detail:
    metric, name = _QUOTAS[violation.measure]
    dimensions = {"location": "global", "model": model}
    found: Detail = {"quotaMetric": metric, "quotaId": name, "quotaDimensions": dimensions}
    return found if violation.limit is None else {**found, "quotaValue": str(violation.limit)}


def _detail(kind: str, content: Detail) -> Detail:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **content}
