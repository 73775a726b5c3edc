"""What Anthropic's errors and headers teach."""

from __future__ import annotations

import json

import pytest

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Violation
from synapse.providers.wires import anthropic

DATE = "Sun, 05 Apr 2026 14:28:43 GMT"
REQUESTS = {
    "date": DATE,
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-04-05T14:28:44Z",
}
TOKENS = {
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000",
    "anthropic-ratelimit-input-tokens-reset": "2026-04-05T16:28:45.5+02:00",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-tokens-limit": "38000",
}


def _classify(status: int, kind: str, message: str = "m", **headers: str) -> Failure:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return anthropic.WIRE.classify(status, named, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "meant"),
    [
        (400, "invalid_request_error", FailureClass.CALLER_FAULT),
        (401, "authentication_error", FailureClass.CREDENTIAL_DEAD),
        (402, "billing_error", FailureClass.CREDENTIAL_DEAD),
        (403, "permission_error", FailureClass.CREDENTIAL_DEAD),
        (404, "not_found_error", FailureClass.MODEL_GONE),
        (409, "conflict_error", FailureClass.TRANSIENT),
        (413, "request_too_large", FailureClass.CALLER_FAULT),
        (429, "rate_limit_error", FailureClass.RATE_LIMITED),
        (500, "api_error", FailureClass.TRANSIENT),
        (504, "timeout_error", FailureClass.TRANSIENT),
        (529, "overloaded_error", FailureClass.OVERLOADED),
    ],
)
def test_every_error_of_the_documentation_has_its_meaning(status: int, kind: str, meant: FailureClass) -> None:
    """By its type, and by its status where the type is new or missing."""
    assert _classify(status, kind) == Failure(meant, "m", status)
    if status not in {403, 409}:
        assert _classify(status, "something_new").kind is meant
        assert anthropic.WIRE.classify(status, {}, b"upstream connect error").kind is meant


@pytest.mark.parametrize(
    "message",
    [
        "Your credit balance is too low to access the Anthropic API.",
        "You have reached your specified API usage limits.",
        "This request would exceed your workspace spend limit.",
    ],
)
def test_a_key_without_money_is_called_an_invalid_request(message: str) -> None:
    """It is no fault of the caller's: another key may carry the same."""
    assert _classify(400, "invalid_request_error", message).kind is FailureClass.CREDENTIAL_DEAD


def test_a_prompt_that_is_too_long_is_the_callers() -> None:
    """Nobody else's key makes it shorter."""
    message = "prompt is too long: 3333404 tokens > 200000 maximum"

    assert _classify(400, "invalid_request_error", message) == Failure(FailureClass.CALLER_FAULT, message, 400)


@pytest.mark.parametrize(
    ("status", "kind", "delay"),
    [
        (429, "rate_limit_error", 17.0),
        (529, "overloaded_error", 17.0),
        (500, "api_error", 17.0),
        (400, "invalid_request_error", None),
        (401, "authentication_error", None),
    ],
)
def test_when_to_come_back_is_read_where_coming_back_helps(status: int, kind: str, delay: float | None) -> None:
    """`retry-after` is in seconds."""
    assert _classify(status, kind, retry_after="17").retry_after == delay


def test_a_refusal_names_the_limit_of_which_nothing_is_left() -> None:
    """It is of a minute; one that names none leaves the key alone for a while."""
    spent = {**REQUESTS, **TOKENS, "anthropic-ratelimit-input-tokens-remaining": "0"}
    both = {**spent, "anthropic-ratelimit-requests-remaining": "0"}

    one = _classify(429, "rate_limit_error", retry_after="9", **spent)

    assert (one.kind, one.violations, one.retry_after) == (
        FailureClass.QUOTA_MINUTE,
        (Violation(Measure.TPM, 30000),),
        9.0,
    )
    assert _classify(429, "rate_limit_error", **both).violations == (
        Violation(Measure.RPM, 50),
        Violation(Measure.TPM, 30000),
    )
    assert _classify(429, "rate_limit_error", **REQUESTS).violations == ()
    assert _classify(429, "rate_limit_error", **REQUESTS).kind is FailureClass.RATE_LIMITED
    assert _classify(529, "overloaded_error", **both).violations == ()


def test_a_message_shows_no_key() -> None:
    """Nor does it go on for ever."""
    failure = _classify(401, "authentication_error", "invalid x-api-key sk-ant-REDACTED " + "x " * 5000)

    assert "0123456789" not in failure.message
    assert len(failure.message) <= 500


# --- headers of good answers


def _headroom(**headers: str) -> tuple[Headroom, ...]:
    assert anthropic.WIRE.headroom is not None
    return anthropic.WIRE.headroom(headers)


def test_resets_are_instants_by_the_clock_of_who_sent_them() -> None:
    """RFC 3339, in any zone; limits of the output, and of both together, are none of ours."""
    assert _headroom(**REQUESTS, **TOKENS) == (
        Headroom(Measure.RPM, 50, 49, 1.0),
        Headroom(Measure.TPM, 30000, 29000, 2.5),
    )


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({"anthropic-ratelimit-requests-reset": "2026-04-05T14:28:40Z"}, 0.0),
        ({"anthropic-ratelimit-requests-reset": "2026-04-05T14:28:44"}, 1.0),
        ({"anthropic-ratelimit-requests-reset": "soon"}, None),
        ({"anthropic-ratelimit-requests-reset": ""}, None),
        ({"date": "today"}, None),
    ],
)
def test_a_reset_may_be_over_or_unknown(changed: dict[str, str], seconds: float | None) -> None:
    """One that is over is now."""
    assert _headroom(**{**REQUESTS, **changed}) == (Headroom(Measure.RPM, 50, 49, seconds),)


@pytest.mark.parametrize("limit", ["0", "-1", "many", "", "9" * 5000])
def test_a_limit_that_is_none_is_not_told(limit: str) -> None:
    """Of an answer that was given it cannot be nothing."""
    assert _headroom(**{**REQUESTS, **TOKENS, "anthropic-ratelimit-requests-limit": limit}) == (
        Headroom(Measure.TPM, 30000, 29000, 2.5),
    )


def test_what_is_left_may_be_unknown() -> None:
    """And headers without limits say nothing."""
    assert _headroom(**{"anthropic-ratelimit-requests-limit": "50"}) == (Headroom(Measure.RPM, 50),)
    assert _headroom(date=DATE) == ()
