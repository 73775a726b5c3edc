"""What Gemini's errors teach."""

from __future__ import annotations

import json

import pytest

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Violation
from synapse.providers.wires import gemini, openai

RPC = "type.googleapis.com/google.rpc."
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS_PER_MINUTE = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
METRICS = "generativelanguage.googleapis.com/"


def _info(reason: str, **metadata: str) -> dict[str, object]:
    return {"@type": RPC + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def _quotas(*violations: tuple[str, str | None]) -> dict[str, object]:
    return {
        "@type": RPC + "QuotaFailure",
        "violations": [
            {"quotaMetric": "m", "quotaId": name} | ({} if value is None else {"quotaValue": value})
            for name, value in violations
        ],
    }


def _retry(delay: str) -> dict[str, object]:
    return {"@type": RPC + "RetryInfo", "retryDelay": delay}


def _error(code: int, *details: object, message: str = "m", status: str = "RESOURCE_EXHAUSTED") -> bytes:
    fault: dict[str, object] = {"code": code, "message": message, "status": status}
    if details:
        fault["details"] = list(details)
    return json.dumps({"error": fault}).encode()


def _classify(status: int, body: bytes, headers: dict[str, str] | None = None) -> Failure:
    return gemini.WIRE.classify(status, headers or {}, body)


@pytest.mark.parametrize(
    "reason",
    [
        "API_KEY_INVALID",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_OF_NEXT_YEAR",
        "ACCOUNT_STATE_INVALID",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "CREDENTIALS_MISSING",
        "SERVICE_DISABLED",
        "SERVICE_NOT_ACTIVATED",
        "USER_BLOCKED_BY_ADMIN",
        "USER_PROJECT_DENIED",
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_reason_that_speaks_of_the_key_makes_it_dead(reason: str, status: int) -> None:
    """An invalid key is a 400 at Gemini; the reason tells it from a bad request."""
    failure = _classify(status, _error(status, _info(reason), status="INVALID_ARGUMENT"))

    assert failure == Failure(FailureClass.CREDENTIAL_DEAD, "m", status)


@pytest.mark.parametrize(
    "said", ["API key not valid. Please pass a valid API key.", "API key expired. Please renew it."]
)
def test_a_dead_key_is_known_by_its_message_where_there_is_no_reason(said: str) -> None:
    """Details may have been lost on the way."""
    assert _classify(400, _error(400, message=said)).kind is FailureClass.CREDENTIAL_DEAD


def test_a_reason_is_believed_before_a_message() -> None:
    """A message may quote the caller; where there is a reason, only that counts."""
    body = _error(400, _info("FIELD_INVALID"), message="contents[0].text 'API key not valid' is too odd")

    assert _classify(400, body).kind is FailureClass.CALLER_FAULT


@pytest.mark.parametrize(
    "said",
    [
        "Consumer 'project_number:1' has been suspended.",
        "Your API key was reported as leaked. Please use another API key.",
        "Method doesn't allow unregistered callers (callers without established identity).",
    ],
)
def test_permission_denied_is_about_the_key(said: str) -> None:
    """Suspended, leaked or missing: another key may well do."""
    assert _classify(403, _error(403, message=said, status="PERMISSION_DENIED")).kind is FailureClass.CREDENTIAL_DEAD


def test_a_page_with_403_says_nothing_of_the_key() -> None:
    """A proxy on the way forbids in HTML; no key is thrown away for that."""
    assert _classify(403, b"<html>Forbidden by the firewall</html>").kind is FailureClass.TRANSIENT


def test_a_day_used_up_wins_over_the_delay_beside_it() -> None:
    """The delay that comes with it is a lie of seconds."""
    for delay in ("42s", "0s", "5s"):
        body = _error(429, _quotas((PER_DAY, "20")), _retry(delay), message="Please retry in 997.965142ms.")
        assert _classify(429, body, {"retry-after": "3"}) == Failure(
            FailureClass.QUOTA_DAY, "Please retry in 997.965142ms.", 429, violations=(Violation(Measure.RPD, 20),)
        )


@pytest.mark.parametrize(
    "name", ["GenerateContentInputTokensPerModelPerDay-FreeTier", "requests_per_day", "DailyRequestsPerProject"]
)
def test_the_day_has_several_names(name: str) -> None:
    """Requests or tokens, in this spelling or that."""
    assert _classify(429, _error(429, _quotas((name, "9")), _retry("3s"))).kind is FailureClass.QUOTA_DAY


def test_a_day_is_known_by_the_message_where_no_quota_is_named() -> None:
    """Details may have been lost on the way."""
    for said in ("Daily limit reached. Please retry in 5s.", "Requests per day: all used. Please retry in 5s."):
        assert _classify(429, _error(429, message=said)).kind is FailureClass.QUOTA_DAY


def test_a_day_used_up_wins_among_several_quotas() -> None:
    """Wherever it stands in the list; the others are told as well."""
    body = _error(429, _quotas((PER_MINUTE, "5"), (PER_DAY, "20"), (TOKENS_PER_MINUTE, "250000")), _retry("12s"))

    failure = _classify(429, body)

    assert failure.kind is FailureClass.QUOTA_DAY
    assert failure.violations == (
        Violation(Measure.RPM, 5),
        Violation(Measure.RPD, 20),
        Violation(Measure.TPM, 250000),
    )


@pytest.mark.parametrize(
    ("name", "metric", "measure"),
    [
        (PER_MINUTE, "generate_content_free_tier_requests", Measure.RPM),
        (PER_DAY, "generate_content_free_tier_requests", Measure.RPD),
        (TOKENS_PER_MINUTE, "generate_content_free_tier_input_token_count", Measure.TPM),
        ("GenerateContentInputTokensPerModelPerDay-FreeTier", "", Measure.TPD),
        ("GenerateContentPaidTierInputTokensPerModelPerMinute", "", Measure.TPM),
        ("PerMinutePerProject", "generate_content_paid_tier_input_token_count", Measure.TPM),
        ("", "generate_requests_per_model_per_day", Measure.RPD),
        ("", "generate_requests_per_model", Measure.RPM),
    ],
)
def test_a_quotas_id_and_metric_tell_what_it_counts(name: str, metric: str, measure: Measure) -> None:
    """What the one leaves out the other may say; a period that neither says is a minute."""
    violation = {"quotaId": name, "quotaMetric": METRICS + metric, "quotaValue": "7"}
    body = _error(429, {"@type": RPC + "QuotaFailure", "violations": [violation]})

    assert _classify(429, body).violations == (Violation(measure, 7),)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("GenerateImagesPerDayPerProject", Measure.RPD),
        ("GenerateContentOutputTokensPerMinute", Measure.TPM),
        ("GenerateRequestsPerSecondPerProject", Measure.RPM),
    ],
)
def test_a_quota_of_something_else_is_used_up_but_teaches_no_limit(name: str, measure: Measure) -> None:
    """Images, answers' tokens and seconds are counted by nobody here; their values would be taken for others."""
    assert _classify(429, _error(429, _quotas((name, "7")))).violations == (Violation(measure),)


@pytest.mark.parametrize("value", [None, "", "unlimited", "1.5", "-1", "9" * 5000])
def test_a_value_that_is_no_whole_number_teaches_no_limit(value: str | None) -> None:
    """The quota is used up all the same."""
    failure = _classify(429, _error(429, _quotas((PER_MINUTE, value))))

    assert (failure.kind, failure.violations) == (FailureClass.QUOTA_MINUTE, (Violation(Measure.RPM),))


def test_of_a_limit_that_is_named_twice_the_smaller_one_holds() -> None:
    """A quota of a region and one of a project may count the same requests."""
    body = _error(429, _quotas(("RequestsPerMinutePerRegion", None), (PER_MINUTE, "5"), ("RequestsPerMinute", "60")))

    assert _classify(429, body).violations == (Violation(Measure.RPM, 5),)


QUOTA = "You exceeded your current quota. \n* Quota exceeded for metric: " + METRICS


@pytest.mark.parametrize(
    ("said", "violation"),
    [
        (
            QUOTA + "generate_content_free_tier_requests, limit: 20, model: m\nPlease retry in 7.5s.",
            Violation(Measure.RPM, 20),
        ),
        (QUOTA + "generate_content_free_tier_requests, limit: 20\nPlease retry in 7.5s.", Violation(Measure.RPM, 20)),
        (
            QUOTA + "generate_content_free_tier_input_token_count, limit: 250000, model: m\nPlease retry in 7.5s.",
            Violation(Measure.TPM, 250000),
        ),
        (
            "Quota exceeded for quota metric 'Content requests per minute' and limit 'x'. Please retry in 7.5s.",
            Violation(Measure.RPM),
        ),
        (
            "Quota exceeded for aiplatform/content_requests_per_minute with base model: m. Please retry in 7.5s.",
            Violation(Measure.RPM),
        ),
        (QUOTA + "generate_content_free_tier_requests, limit: 0.5. Please retry in 7.5s.", Violation(Measure.RPM)),
    ],
)
def test_a_quota_is_known_by_the_message_where_the_details_are_lost(said: str, violation: Violation) -> None:
    """Its period is not always told there: then it is a minute, for a day's limit taken so holds nothing back."""
    failure = _classify(429, _error(429, message=said))

    assert failure == Failure(FailureClass.QUOTA_MINUTE, said, 429, 7.5, violations=(violation,))


def test_a_days_quota_is_known_by_the_message_too() -> None:
    """Its delay counts no more than beside details."""
    for name in ("generate_requests_per_model_per_day", "aiplatform/generate_content_requests_per_day_per_project"):
        said = f"{QUOTA}{name}, limit: 100, model: m\nPlease retry in 1h52m56.409571576s."
        assert _classify(429, _error(429, message=said)) == Failure(
            FailureClass.QUOTA_DAY, said, 429, violations=(Violation(Measure.RPD, 100),)
        )


def test_all_quotas_in_a_message_are_told() -> None:
    """One a line."""
    said = (
        f"{QUOTA}generate_content_free_tier_requests, limit: 10, model: m\n* Quota exceeded for metric: {METRICS}"
        "generate_content_free_tier_input_token_count, limit: 250000, model: m\nPlease retry in 7.5s."
    )

    assert _classify(429, _error(429, message=said)).violations == (
        Violation(Measure.RPM, 10),
        Violation(Measure.TPM, 250000),
    )


@pytest.mark.parametrize(
    ("delay", "seconds"), [("48s", 49.0), ("45.837906927s", 45.837906927), ("0s", 1.0), ("0.25s", 0.25)]
)
def test_a_minute_used_up_tells_when_it_reopens(delay: str, seconds: float) -> None:
    """A delay in whole seconds was rounded down, so one more second is waited."""
    failure = _classify(429, _error(429, _quotas((PER_MINUTE, "5")), _retry(delay)))

    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, seconds, violations=(Violation(Measure.RPM, 5),))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("Please retry in 964.972314ms.", 0.964972314), ("Please retry in 48.5s.", 48.5), ("Please retry in 7s.", 8.0)],
)
def test_the_message_tells_the_delay_where_the_details_do_not(said: str, seconds: float) -> None:
    """Milliseconds are milliseconds."""
    failure = _classify(429, _error(429, _quotas((PER_MINUTE, "5")), message=said))

    assert failure.kind is FailureClass.QUOTA_MINUTE
    assert failure.retry_after == pytest.approx(seconds)


def test_a_minute_used_up_may_not_tell_when_it_reopens() -> None:
    """Then nothing is made up."""
    failure = _classify(429, _error(429, _quotas((PER_MINUTE, None))))

    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, violations=(Violation(Measure.RPM),))


def test_a_delay_without_a_quota_is_a_short_window() -> None:
    """RetryInfo alone, or the message alone."""
    assert _classify(429, _error(429, _retry("3.5s"))) == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 3.5)
    assert _classify(429, _error(429, message="Please retry in 3.5s.")).retry_after == 3.5


@pytest.mark.parametrize(
    "body",
    [
        _error(429, _quotas((PER_DAY, "0"), (PER_MINUTE, "0")), _retry("12s")),
        _error(
            429, _quotas((PER_MINUTE, None)), _retry("12s"), message="* Quota exceeded, limit: 0, model: gemini-2.5-pro"
        ),
        _error(429, message="Quota exceeded for metric: x, limit: 0\nPlease retry in 5s."),
        _error(
            429, _info("RATE_LIMIT_EXCEEDED", quota_limit="GenerateContentRequestsPerMinute", quota_limit_value="0")
        ),
    ],
)
def test_a_quota_of_nothing_is_not_in_the_tier(body: bytes) -> None:
    """Waiting for it is in vain, for a minute as for a day; older errors say it elsewhere."""
    failure = _classify(429, body)

    assert failure.kind is FailureClass.NOT_IN_TIER
    assert failure.retry_after is None
    assert {violation.limit for violation in failure.violations} <= {0, None}
    assert failure.violations


def test_a_limit_that_begins_with_a_zero_is_not_nothing() -> None:
    """`limit: 0.5` is something."""
    body = _error(429, _quotas((PER_MINUTE, "20")), message="limit: 20, limit: 0.5")

    assert _classify(429, body).kind is FailureClass.QUOTA_MINUTE


def test_the_older_place_of_a_quota_counts_too() -> None:
    """Before QuotaFailure the quota stood in ErrorInfo."""
    metadata = {"quota_limit": "GenerateContentRequestsPerDayPerProject", "quota_limit_value": "50"}

    failure = _classify(429, _error(429, _info("RATE_LIMIT_EXCEEDED", **metadata)))

    assert failure == Failure(FailureClass.QUOTA_DAY, "m", 429, violations=(Violation(Measure.RPD, 50),))


def test_the_older_metric_tells_what_is_counted_where_the_limits_name_does_not() -> None:
    """They stand side by side."""
    metadata = {"quota_limit": "PerMinutePerProject", "quota_metric": METRICS + "tokens", "quota_limit_value": "50"}

    failure = _classify(429, _error(429, _info("RATE_LIMIT_EXCEEDED", **metadata)))

    assert failure.violations == (Violation(Measure.TPM, 50),)


@pytest.mark.parametrize("status", [402, 429])
def test_money_spent_is_no_rate(status: int) -> None:
    """Prepaid credit does not come back with a window."""
    body = _error(status, message="Your prepayment credits are depleted. Please go to AI Studio.")

    assert _classify(status, body).kind is FailureClass.CREDENTIAL_DEAD


@pytest.mark.parametrize(
    "said", ["Resource has been exhausted (e.g. check quota).", "Resource exhausted. Try again later."]
)
def test_a_429_without_details_is_capacity(said: str) -> None:
    """No quota of ours is named: back off shortly, bench nothing."""
    assert _classify(429, _error(429, message=said)) == Failure(FailureClass.RATE_LIMITED, said, 429)
    assert _classify(429, _error(429, message=said), {"retry-after": "7"}).retry_after == 7.0


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "INVALID_ARGUMENT", FailureClass.CALLER_FAULT),
        (400, "FAILED_PRECONDITION", FailureClass.CALLER_FAULT),
        (401, "UNAUTHENTICATED", FailureClass.CREDENTIAL_DEAD),
        (404, "NOT_FOUND", FailureClass.MODEL_GONE),
        (408, "", FailureClass.TRANSIENT),
        (413, "", FailureClass.CALLER_FAULT),
        (499, "CANCELLED", FailureClass.TRANSIENT),
        (500, "INTERNAL", FailureClass.TRANSIENT),
        (502, "", FailureClass.TRANSIENT),
        (503, "UNAVAILABLE", FailureClass.OVERLOADED),
        (504, "DEADLINE_EXCEEDED", FailureClass.TRANSIENT),
        (418, "", FailureClass.TRANSIENT),
    ],
)
def test_a_status_alone_has_its_meaning(status: int, name: str, kind: FailureClass) -> None:
    """What has no details goes by its status; what is unknown is worth another try."""
    assert _classify(status, _error(status, status=name)) == Failure(kind, "m", status)


def test_a_hint_is_passed_on_where_waiting_helps() -> None:
    """An overloaded model may say when; a bad request has no later."""
    assert _classify(503, _error(503), {"retry-after": "20"}).retry_after == 20.0
    assert _classify(503, _error(503, _retry("5.5s")), {"retry-after": "20"}).retry_after == 5.5
    assert _classify(400, _error(400), {"retry-after": "20"}).retry_after is None


def test_errors_in_a_list_or_inside_a_message_are_the_same_errors() -> None:
    """Streams without `alt=sse` and some proxies wrap them."""
    plain = _error(429, _quotas((PER_DAY, "20")), _retry("5s"))
    inside = json.dumps({"error": {"code": 429, "message": plain.decode(), "status": "Too Many Requests"}}).encode()

    assert _classify(429, b"[" + plain + b"]") == _classify(429, plain) == _classify(429, inside)


def test_a_page_with_502_is_shown_in_part() -> None:
    """What stands between us and Gemini speaks HTML."""
    assert _classify(502, b"<html>\n<h1>502</h1></html>") == Failure(
        FailureClass.TRANSIENT, "<html> <h1>502</h1></html>", 502
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, _error(429, _quotas((PER_DAY, "20")), _retry("5s"))),
        (429, _error(429, _quotas((PER_MINUTE, "5")), _retry("5s"))),
        (429, b"[" + _error(429, _quotas((PER_MINUTE, "0"))) + b"]"),
        (400, _error(400, _info("API_KEY_INVALID"), status="INVALID_ARGUMENT")),
        (503, _error(503, status="UNAVAILABLE")),
    ],
)
def test_googles_port_for_the_other_dialect_sends_the_same_errors(status: int, body: bytes) -> None:
    """Behind OpenAI's paths Google's errors teach what they teach behind its own."""
    assert openai.WIRE.classify(status, {}, body) == _classify(status, body)
