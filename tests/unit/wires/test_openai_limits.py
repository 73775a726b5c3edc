"""What OpenAI, OpenRouter and their likes say of their limits."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Violation
from synapse.providers.wires import openai

DATE = "Wed, 19 Aug 2026 14:34:22 GMT"
EPOCH = 1787150062
"""The same instant."""
DAY = 86_400.0


def _error(message: str = "m", **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


def _openrouter(message: str = "m", **fields: object) -> bytes:
    return json.dumps({"error": {"code": 429, "message": message, **fields}, "user_id": "user_x"}).encode()


def _refused(body: bytes, **headers: str) -> Failure:
    return openai.WIRE.classify(429, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def _headroom(**headers: str) -> tuple[Headroom, ...]:
    assert openai.WIRE.headroom is not None
    return openai.WIRE.headroom({f"x-ratelimit-{name.replace('_', '-')}": value for name, value in headers.items()})


# --- errors that name a limit


REACHED = "Rate limit reached for m in organization o on "


@pytest.mark.parametrize(
    ("said", "kind", "violation", "seconds"),
    [
        (
            "tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s. Visit …",
            FailureClass.QUOTA_MINUTE,
            Violation(Measure.TPM, 30000),
            2.0,
        ),
        (
            "requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms.",
            FailureClass.QUOTA_MINUTE,
            Violation(Measure.RPM, 500),
            0.12,
        ),
        (
            "requests per day (RPD): Limit 10000, Used 10000, Requested 1. Please try again in 8.64s.",
            FailureClass.QUOTA_DAY,
            Violation(Measure.RPD, 10000),
            8.64,
        ),
        (
            "tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s.",
            FailureClass.QUOTA_DAY,
            Violation(Measure.TPD, 100000),
            578.016,
        ),
        (
            "tokens per minute (TPM): Limit 6000, Used 3513, Requested 3166. Please try again in 6.78s.",
            FailureClass.QUOTA_MINUTE,
            Violation(Measure.TPM, 6000),
            6.78,
        ),
        (
            "requests per min. Limit: 3 / min. Please try again in 20s.",
            FailureClass.QUOTA_MINUTE,
            Violation(Measure.RPM, 3),
            20.0,
        ),
        (
            "requests per day. Limit: 200 / day. Please try again in 7m12s.",
            FailureClass.QUOTA_DAY,
            Violation(Measure.RPD, 200),
            432.0,
        ),
    ],
)
def test_a_limit_is_named_in_words(said: str, kind: FailureClass, violation: Violation, seconds: float) -> None:
    """What it counts, over which time, and how much that is; a day of these trails, so its delay is true."""
    failure = _refused(_error(REACHED + said, type="x", code="rate_limit_exceeded"))

    assert failure == Failure(kind, REACHED + said, 429, pytest.approx(seconds), violations=(violation,))


def test_a_value_counts_only_behind_the_name_of_its_limit() -> None:
    """Other numbers of a message are what was used, or what one might buy."""
    said = "Too many tokens per min. Go to tier 2 for a limit of more. Limit 5 of something else"

    assert _refused(_error(said)).violations == (Violation(Measure.TPM),)


@pytest.mark.parametrize("said", ["tokens per min (TPM): Limit 0", "tokens per min (TPM): Limit 30,000"])
def test_a_value_that_can_be_no_limit_teaches_none(said: str) -> None:
    """Nothing cannot be waited for; a number with a comma is read by nobody in part."""
    assert _refused(_error(said)).violations == (Violation(Measure.TPM),)


def test_a_limit_of_what_is_answered_is_none_of_ours() -> None:
    """Tokens are those of the input; the window is closed all the same."""
    failure = _refused(_error(REACHED + "output tokens per minute (OTPM): Limit 5", code="rate_limit_exceeded"))

    assert (failure.kind, failure.violations) == (FailureClass.QUOTA_MINUTE, ())


def test_a_named_limit_may_have_its_value_in_a_header() -> None:
    """In that of the same limit: at Groq the requests there are those of a day."""
    headers = {
        "x_ratelimit_limit_requests": "14400",
        "x_ratelimit_remaining_requests": "14370",
        "x_ratelimit_reset_requests": "2m59.56s",
        "x_ratelimit_limit_tokens": "18000",
        "x_ratelimit_remaining_tokens": "0",
        "x_ratelimit_reset_tokens": "7.66s",
    }

    tokens = _refused(_error("on tokens per minute"), **headers)
    requests = _refused(_error("on requests per minute"), **headers)

    assert (tokens.violations, tokens.retry_after) == ((Violation(Measure.TPM, 18000),), 7.66)
    assert (requests.violations, requests.retry_after) == ((Violation(Measure.RPM),), None)


# --- errors of limits without their names


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "RateLimitReached", "rate_limit_reached", "rate_limit_error"])
def test_a_rate_limit_is_a_short_window_with_its_delay(code: str) -> None:
    """The delay stands in a header."""
    assert _refused(_error(code=code), retry_after="20") == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 20.0)


def test_milliseconds_of_nothing_do_not_hide_the_seconds() -> None:
    """As Azure sends them side by side."""
    failure = _refused(_error(code="RateLimitReached"), retry_after="1", retry_after_ms="0")

    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 1.0)


def test_a_rate_limit_without_any_delay_is_still_a_short_window() -> None:
    """Its name says so; how long is for others to decide."""
    assert _refused(_error(code="rate_limit_exceeded")) == Failure(FailureClass.QUOTA_MINUTE, "m", 429)


def test_a_rate_limit_that_lasts_for_hours_is_that_of_a_day() -> None:
    """Where the error is one of a limit; a refusal without a name stays one."""
    body = _error("Rate limit of 150 per 86400s exceeded. Please wait 42567 seconds before retrying.", code="x")

    assert _refused(body, retry_after="42567").kind is FailureClass.RATE_LIMITED
    assert _refused(_error(code="RateLimitReached"), retry_after="42567") == Failure(
        FailureClass.QUOTA_DAY, "m", 429, 42567.0
    )


def test_a_minutes_limit_that_lasts_for_hours_is_not_all_that_is_used_up() -> None:
    """No minute takes so long: the day's, which was not named, is used up as well."""
    failure = _refused(_error("on tokens per min (TPM): Limit 9"), retry_after="7200")

    assert (failure.kind, failure.retry_after) == (FailureClass.QUOTA_DAY, 7200.0)
    assert failure.violations == (Violation(Measure.TPM, 9),)


def test_a_bare_429_names_no_quota_and_may_have_a_hint() -> None:
    """No window of ours closes: leave it alone for a while, at least as long as asked to."""
    assert _refused(b"slow down, please", retry_after="5") == Failure(
        FailureClass.RATE_LIMITED, "slow down, please", 429, 5.0
    )
    assert _refused(b"") == Failure(FailureClass.RATE_LIMITED, "HTTP 429 without a word of explanation", 429)
    assert _refused(b"Please retry after 6 seconds.").retry_after == 6.0


def test_the_window_that_is_used_up_tells_the_delay() -> None:
    """Resets are durations like `6m0s`; those of windows with something left do not matter."""
    failure = _refused(
        _error(code="rate_limit_exceeded"),
        x_upstream_latency="90s",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="8.64s",
        x_ratelimit_remaining_tokens="100",
        x_ratelimit_reset_tokens="6m0s",
    )

    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 8.64, violations=(Violation(Measure.RPM),))


def test_every_window_that_is_used_up_is_told() -> None:
    """With its limit, and the delay until the last of them is open."""
    failure = _refused(
        _error(),
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="8s",
        x_ratelimit_limit_tokens="30000",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="20s",
    )

    violations = (Violation(Measure.RPM, 500), Violation(Measure.TPM, 30000))
    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 20.0, violations=violations)


def test_an_errors_type_tells_which_window_was_too_small() -> None:
    """A request may want more than what is left."""
    headers = {
        "x_ratelimit_limit_requests": "500",
        "x_ratelimit_remaining_requests": "499",
        "x_ratelimit_reset_requests": "120ms",
        "x_ratelimit_limit_tokens": "30000",
        "x_ratelimit_remaining_tokens": "900",
        "x_ratelimit_reset_tokens": "58.2s",
    }

    failure = _refused(_error(type="tokens", code="rate_limit_exceeded"), **headers)

    assert (failure.violations, failure.retry_after) == ((Violation(Measure.TPM, 30000),), 58.2)


def test_a_days_window_that_is_used_up_is_that_of_a_day() -> None:
    """Its reset tells: all of it is there again a day later."""
    failure = _refused(
        _error(code="rate_limit_exceeded"),
        retry_after="9",
        x_ratelimit_limit_requests="10000",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="24h0m0s",
    )

    assert failure == Failure(FailureClass.QUOTA_DAY, "m", 429, 9.0, violations=(Violation(Measure.RPD, 10000),))


def test_where_no_window_says_that_it_is_used_up_the_longest_is_waited_for() -> None:
    """A request may want more than what is left; such headers alone name a limit."""
    failure = _refused(_error(), x_ratelimit_reset_requests="6ms", x_ratelimit_reset_tokens="1m2.5s")

    assert failure == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 62.5)


def test_windows_that_are_open_name_no_limit() -> None:
    """These headers are on every answer; a reset of nothing explains nothing."""
    assert _refused(_error(), x_ratelimit_reset_requests="0s").kind is FailureClass.RATE_LIMITED


def test_a_delay_in_the_message_is_the_last_resort() -> None:
    """Where headers were stripped on the way."""
    body = _error("Rate limit reached on requests per min. Please try again in 7m12s.", code="rate_limit_exceeded")

    assert _refused(body).retry_after == 432.0
    assert _refused(body, retry_after="9").retry_after == 9.0


@pytest.mark.parametrize("status", [413, 429])
def test_a_request_larger_than_the_window_never_fits(status: int) -> None:
    """It has the code of a rate limit and would wait for ever."""
    body = _error(
        "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000",
        type="tokens",
        code="rate_limit_exceeded",
    )

    failure = openai.WIRE.classify(status, {"retry-after": "2"}, body)

    assert (failure.kind, failure.violations) == (FailureClass.CALLER_FAULT, ())


# --- OpenRouter


def test_an_upstream_limit_at_openrouter_is_none_of_ours() -> None:
    """It is another's, and shared: no window of ours closes. What the provider said is passed on."""
    metadata = {
        "provider_name": "Google",
        "raw": "m:free is temporarily rate-limited upstream.",
        "error_type": "rate_limit_exceeded",
        "limit_source": "upstream_provider_shared_pool",
    }

    failure = _refused(_openrouter("Provider returned error", metadata=metadata), retry_after="3")

    assert failure == Failure(
        FailureClass.RATE_LIMITED, "Provider returned error: m:free is temporarily rate-limited upstream.", 429, 3.0
    )


def test_an_upstream_limits_hint_may_stand_in_the_body() -> None:
    """OpenRouter sends the header only where all providers gave a hint."""
    metadata = {"provider_name": "Venice", "raw": "r", "retry_after_seconds": 11, "retry_after_seconds_raw": 10.9}

    assert _refused(_openrouter(metadata=metadata)).retry_after == 11.0
    assert _refused(_openrouter(metadata=metadata), retry_after="3").retry_after == 3.0


PER_DAY = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
RICH_PER_DAY = "Rate limit exceeded: free-models-per-day-high-balance. "
PER_MINUTE = "Rate limit exceeded: free-models-per-min. "


@pytest.mark.parametrize(("said", "limit"), [(PER_DAY, 50), (RICH_PER_DAY, 1000)])
def test_the_day_of_free_models_at_openrouter(said: str, limit: int) -> None:
    """All of them share it; its reset is an instant in milliseconds, compared with the answer's date."""
    failure = _refused(
        _openrouter(said),
        x_ratelimit_limit=str(limit),
        x_ratelimit_remaining="0",
        x_ratelimit_reset=str((EPOCH + 7200) * 1000),
        date=DATE,
    )

    assert failure == Failure(
        FailureClass.QUOTA_DAY, said.strip(), 429, 7200.0, violations=(Violation(Measure.RPD, limit),), shared=True
    )


def test_the_minute_of_free_models_at_openrouter() -> None:
    """The same headers, near."""
    failure = _refused(
        _openrouter(PER_MINUTE), x_ratelimit_limit="20", x_ratelimit_reset=str((EPOCH + 31) * 1000), date=DATE
    )

    assert failure == Failure(
        FailureClass.QUOTA_MINUTE, PER_MINUTE.strip(), 429, 31.0, violations=(Violation(Measure.RPM, 20),), shared=True
    )


def test_a_hint_is_believed_before_the_reset_of_a_minute() -> None:
    """It was made for this request."""
    failure = _refused(_openrouter(PER_MINUTE), x_ratelimit_reset=str((EPOCH + 31) * 1000), date=DATE, retry_after="5")

    assert failure.retry_after == 5.0


def test_the_day_is_known_by_its_name_where_the_answer_has_no_date() -> None:
    """The reset alone does not tell a day from a minute; when it ends is then for others to know."""
    for said in ("Rate limit exceeded: free-models-per-day.", "50 free requests per day are used up"):
        failure = _refused(_openrouter(said), x_ratelimit_reset=str((EPOCH + 7200) * 1000))
        assert failure == Failure(
            FailureClass.QUOTA_DAY, said, 429, violations=(Violation(Measure.RPD),), shared="models" in said
        )


def test_a_day_that_is_used_up_wins_over_a_hint_of_seconds() -> None:
    """Its reset is believed before it."""
    failure = _refused(_openrouter(PER_DAY), x_ratelimit_reset=str((EPOCH + 7200) * 1000), date=DATE, retry_after="5")

    assert (failure.kind, failure.retry_after) == (FailureClass.QUOTA_DAY, 7200.0)


@pytest.mark.parametrize(
    ("source", "kind", "measure"),
    [
        ("openrouter_free_tier_daily", FailureClass.QUOTA_DAY, Measure.RPD),
        ("openrouter_free_tier_per_minute", FailureClass.QUOTA_MINUTE, Measure.RPM),
    ],
)
def test_the_limit_is_known_by_its_source_where_the_message_does_not_name_it(
    source: str, kind: FailureClass, measure: Measure
) -> None:
    """A name for programs, beside the words."""
    failure = _refused(_openrouter("Rate limit exceeded", metadata={"limit_source": source}))

    assert failure == Failure(kind, "Rate limit exceeded", 429, violations=(Violation(measure),), shared=True)


def test_openrouters_headers_may_stand_in_the_body() -> None:
    """It repeats them where proxies cannot strip them, and sends those of a minute there only."""
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((EPOCH + 31) * 1000)}
    body = _openrouter(PER_MINUTE, metadata={"headers": headers, "provider_name": None})

    failure = _refused(body, date=DATE)

    assert (failure.violations, failure.retry_after) == ((Violation(Measure.RPM, 20),), 31.0)


def test_openrouters_limits_inside_a_stream_are_the_same() -> None:
    """There is no date there to compare the reset with."""
    error = {"code": 429, "message": PER_DAY, "metadata": {"headers": {"X-RateLimit-Limit": "50"}}}
    data = json.dumps({"error": error, "choices": []}).encode()

    (failure,) = openai.WIRE.decoder().feed(data)

    assert failure == Failure(FailureClass.QUOTA_DAY, PER_DAY, violations=(Violation(Measure.RPD),), shared=True)


def test_a_limit_of_openrouter_without_a_name_is_known_by_its_reset() -> None:
    """Hours away, it is that of a day; it is shared only where it says so."""
    day = _refused(_openrouter(), x_ratelimit_limit="9", x_ratelimit_reset=str((EPOCH + 7200) * 1000), date=DATE)
    minute = _refused(_openrouter(), x_ratelimit_limit="9", x_ratelimit_reset=str((EPOCH + 31) * 1000), date=DATE)

    assert day == Failure(FailureClass.QUOTA_DAY, "m", 429, 7200.0, violations=(Violation(Measure.RPD, 9),))
    assert minute == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 31.0, violations=(Violation(Measure.RPM, 9),))


def test_a_reset_may_be_a_number_of_seconds() -> None:
    """As Together has it, under the same name as OpenRouter's instant; its limit is one of a second."""
    failure = _refused(_error("over tokens per minute", type="x"), x_ratelimit_reset="0.5", x_ratelimit_limit="10")
    unnamed = _refused(_error(type="x"), x_ratelimit_reset="0.5", x_ratelimit_limit="10")

    assert (failure.retry_after, failure.violations) == (0.5, (Violation(Measure.TPM),))
    assert unnamed == Failure(FailureClass.QUOTA_MINUTE, "m", 429, 0.5)


def test_a_reset_may_be_an_instant_in_seconds() -> None:
    """Ten digits, not thirteen."""
    assert _refused(_error(type="x"), x_ratelimit_reset=str(EPOCH + 9), date=DATE).retry_after == 9.0


def test_a_reset_in_the_past_says_nothing() -> None:
    """No delay is better than one of nothing, which would be asked again at once."""
    minute = _refused(_openrouter(PER_MINUTE), x_ratelimit_reset=str((EPOCH - 5) * 1000), date=DATE)
    unnamed = _refused(_openrouter(), x_ratelimit_reset=str((EPOCH - 5) * 1000), date=DATE)

    assert (minute.kind, minute.retry_after) == (FailureClass.QUOTA_MINUTE, None)
    assert unnamed == Failure(FailureClass.QUOTA_MINUTE, "m", 429)


@given(seconds=st.integers(1, 10**6), now=st.integers(10**9, 4 * 10**9), milliseconds=st.booleans())
def test_a_reset_is_as_far_away_as_the_answers_date_says(seconds: int, now: int, milliseconds: bool) -> None:  # noqa: FBT001
    """Whatever our own clock says, and in either unit."""
    reset = (now + seconds) * (1000 if milliseconds else 1)
    assume(milliseconds == (reset > 10**12))

    failure = _refused(_openrouter(PER_DAY), x_ratelimit_reset=str(reset), date=formatdate(now, usegmt=True))

    assert failure.retry_after == pytest.approx(seconds)


# --- headers of good answers


def test_openais_requests_are_those_of_a_minute() -> None:
    """One of 500 comes back in a five-hundredth of a minute."""
    told = _headroom(
        limit_requests="500",
        remaining_requests="499",
        reset_requests="120ms",
        limit_tokens="30000",
        remaining_tokens="29000",
        reset_tokens="2s",
    )

    assert told == (Headroom(Measure.RPM, 500, 499, 0.12), Headroom(Measure.TPM, 30000, 29000, 2.0))


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "seconds"),
    [("14400", "14370", "2m59.56s", 179.56), ("1000", "999", "1m26.4s", 86.4), ("14400", "14399", "5.5s", 5.5)],
)
def test_groqs_requests_are_those_of_a_day(limit: str, remaining: str, reset: str, seconds: float) -> None:
    """By how slowly they come back; a reset is shorter by what has passed since."""
    told = _headroom(limit_requests=limit, remaining_requests=remaining, reset_requests=reset)

    assert told == (Headroom(Measure.RPD, int(limit), int(remaining), pytest.approx(seconds)),)


def test_what_comes_back_a_sixth_faster_than_a_days_is_none_of_a_day() -> None:
    """A little more haste is what has passed since; this is another window."""
    told = _headroom(limit_requests="14400", remaining_requests="14399", reset_requests="5s")

    assert told == (Headroom(Measure.RPM, 14400, 14399, 5.0),)


@given(
    limit=st.integers(2, 10**7),
    share=st.floats(0, 1),
    counts=st.sampled_from(["requests", "tokens"]),
    window=st.sampled_from([60.0, DAY]),
)
def test_what_comes_back_evenly_tells_its_window(limit: int, share: float, counts: str, window: float) -> None:
    """However much of it was used, and however large it is."""
    used = max(1, round(limit * share))
    reset = used * window / limit
    assume(reset >= 0.001)

    (told,) = _headroom(
        **{f"limit_{counts}": str(limit), f"remaining_{counts}": str(limit - used), f"reset_{counts}": f"{reset:.6f}s"}
    )

    daily = window == DAY
    expected = {"requests": (Measure.RPM, Measure.RPD), "tokens": (Measure.TPM, Measure.TPD)}[counts][daily]
    assert told == Headroom(expected, limit, limit - used, pytest.approx(reset, abs=1e-6))


@given(limit=st.integers(1, 1200), remaining=st.integers(0, 1200), reset=st.floats(0.001, 60))
def test_requests_of_fixed_minutes_are_not_taken_for_those_of_a_day(limit: int, remaining: int, reset: float) -> None:
    """Up to 1,200 a minute no reset within it looks like a day's."""
    (told,) = _headroom(limit_requests=str(limit), remaining_requests=str(remaining), reset_requests=f"{reset:.3f}")

    assert told.measure is Measure.RPM


def test_a_reset_of_minutes_is_that_of_a_day() -> None:
    """Also where nothing is used, or it is not told how much."""
    assert _headroom(limit_requests="50", reset_requests="6h0m0s") == (Headroom(Measure.RPD, 50, None, 21600.0),)
    assert _headroom(limit_tokens="50", remaining_tokens="50", reset_tokens="2m1s") == (
        Headroom(Measure.TPD, 50, 50, 121.0),
    )


def test_where_nothing_tells_tokens_are_those_of_a_minute_and_requests_are_left_out() -> None:
    """Which ones requests are cannot be guessed: OpenAI's are those of a minute, Groq's those of a day."""
    told = _headroom(limit_requests="5000", remaining_requests="4999", limit_tokens="160000", remaining_tokens="159970")

    assert told == (Headroom(Measure.TPM, 160000, 159970),)
    assert _headroom(limit_requests="5000", remaining_requests="5000", reset_requests="0s") == ()
    assert _headroom(limit_requests="5000", remaining_requests="4999", reset_requests="0s") == ()
    assert _headroom(limit_requests="5000", reset_requests="1m40s") == ()
    assert _headroom(limit_requests="5000", reset_requests="60") == (Headroom(Measure.RPM, 5000, None, 60.0),)


def test_one_of_the_limits_may_be_all_there_is() -> None:
    """Each is told for itself."""
    assert _headroom(limit_tokens="9", reset_tokens="1s") == (Headroom(Measure.TPM, 9, None, 1.0),)
    assert _headroom(limit_requests="9", reset_requests="1s") == (Headroom(Measure.RPM, 9, None, 1.0),)
    assert _headroom(remaining_requests="9", reset_requests="1s", remaining_tokens="3") == ()


@pytest.mark.parametrize("limit", ["0", "-1", "unlimited", ""])
def test_no_limit_is_read_where_there_is_none(limit: str) -> None:
    """A limit of nothing stands there for none: there would be no answer."""
    assert _headroom(limit_tokens=limit, remaining_tokens="0", reset_tokens="1s") == ()
