"""What the wires share to read errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.failure import FailureClass
from synapse.providers.wires.faults import (
    duration,
    excerpt,
    failure,
    instant,
    read_complaint,
    redact,
    retry_after,
    stated_delay,
    trim,
    unreadable,
    whole,
)

GOOGLE_KEY = "AIzaSy" + "NotARealKey" + "0" * 22
KEYS = (
    GOOGLE_KEY,
    "AQ.Ab8RN6JxYz0123456789abcdef",
    "sk-fake-key",
    "sk-proj-abc_DEF-0123456789",
    "sk-or-v1-0123456789abcdef",
    "sk-ant-api03-abcdef",
    "gsk_0123456789abcdefghij",
    "hf_abcdefghijklmnop",
    "xai-abcdefghijklmnop",
    "0123456789abcdef0123456789ABCDEF",
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "said", ["wrong key: {}.", "{}", "'{}' is not valid", "Bearer {}", "https://h/p?key={}&alt=sse"]
)
def test_no_key_is_left_in_a_message(key: str, said: str) -> None:
    """Whatever looks like a key is gone, and the words around it are left."""
    hidden = redact(said.format(key))

    assert key not in hidden
    assert "[redacted]" in hidden
    assert hidden.startswith(said.partition("{}")[0])
    assert hidden.rstrip(".").endswith(said.partition("{}")[2].rstrip("."))


def test_ordinary_words_are_no_keys() -> None:
    """Model names, quota names, request ids and numbers are what an error is read for."""
    said = (
        "Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count, "
        "limit: 1000000, model: gemini-2.5-flash-lite, GenerateContentPaidTierInputTokensPerModelPerMinute; "
        "ref 96164522-08b2-4cbf-886e-e5a38961a688; the risk-based task-queue; z-ai/glm-4.5-air:free"
    )

    assert redact(said) == said


def test_a_key_that_a_cut_would_halve_is_hidden_first() -> None:
    """Trimming comes after hiding, so no half of a key is left at the end of a message."""
    told = failure(FailureClass.TRANSIENT, "x" * 490 + " " + GOOGLE_KEY).message

    assert "AIza" not in told
    assert len(told) <= 500


@given(st.text(max_size=700))
def test_a_message_is_at_most_500_characters_long(said: str) -> None:
    """Providers may say as much as they like."""
    assert len(failure(FailureClass.TRANSIENT, said).message) <= 500


def test_a_trimmed_text_shows_that_it_was_trimmed() -> None:
    """A text of the limit's length is whole; a longer one ends in an ellipsis."""
    assert trim("12345", 5) == "12345"
    assert trim("123456", 5) == "1234…"


def test_an_excerpt_is_one_short_line() -> None:
    """HTML of many lines becomes a line of at most 200 characters, without keys."""
    page = b"<html>\r\n  <h1>Bad\tGateway</h1>\n\n" + GOOGLE_KEY.encode() + b"<p>\xff" + b"x " * 10_000

    told = excerpt(page)

    assert told.startswith("<html> <h1>Bad Gateway</h1> [redacted]<p>\ufffd")
    assert len(told) == 200


def test_broken_json_is_not_shown() -> None:
    """Half an event may hold a piece of the model's answer, which no error may repeat."""
    data = b'{"candidates": [{"content": {"parts": [{"text": "my secret diary'

    told = unreadable(data, ValueError("Input data was truncated"))

    assert told.kind is FailureClass.TRANSIENT
    assert "diary" not in told.message
    assert str(len(data)) in told.message


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("48s", 48.0),
        ("0s", 0.0),
        ("4.2s", 4.2),
        ("45.837906927s", 45.837906927),
        ("6ms", 0.006),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3.5s", 3723.5),
        ("964.972314ms", 0.964972314),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("15ns", 0.000000015),
    ],
)
def test_durations_of_go_and_protobuf_are_read(written: str, seconds: float) -> None:
    """Both spell numbers with units; Go may have several."""
    assert duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["", "5", "s", "-3s", "3 s", "soon", "3sx", "x3s", "1..2s", "9" * 400 + "s"])
def test_what_is_no_duration_is_none(written: str) -> None:
    """A guess would be worse than nothing."""
    assert duration(written) is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("You exceeded your quota.\nPlease retry in 48.939935699s.", 48.939935699),
        ("Please retry in 964.972314ms", 0.964972314),
        ("Please try again in 7m12.5s. Visit …", 432.5),
        ("Please try again in 350ms.", 0.35),
        ("Please try again in 1h2m.", 3720.0),
        ("Please retry after 6 seconds. Go to …", 6.0),
        ("please try again after 1 second", 1.0),
        ("Please wait 42567.5 seconds before retrying.", 42567.5),
        ("Please retry in " + "9" * 400 + "s.", None),
        ("Please retry after 3 tries.", None),
        ("Please try again later.", None),
        ("retry in a moment", None),
    ],
)
def test_delays_in_prose_keep_their_unit(said: str, seconds: float | None) -> None:
    """Milliseconds are not taken for seconds."""
    assert stated_delay(said) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "1", "retry-after-ms": "0"}, 1.0),
        ({"retry-after": "2", "retry-after-ms": "1250"}, 1.25),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 19 Aug 2026 14:36:22 GMT", "date": "Wed, 19 Aug 2026 14:34:22 GMT"}, 120.0),
        ({"retry-after": "Wed, 19 Aug 2026 14:34:22 GMT", "date": "Wed, 19 Aug 2026 14:36:22 GMT"}, None),
        ({"retry-after": "Wed, 19 Aug 2026 14:36:22 GMT"}, None),
        ({"retry-after": "Wed, 99 Aug 2026 14:36:22 GMT", "date": "Wed, 19 Aug 2026 14:34:22 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates count; nothings, nonsense and dates without a date to compare do not."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("value", "number"), [("20", 20), (" 20 ", 20), (20, 20), ("0", 0), (0, 0), ("9" * 18, int("9" * 18))]
)
def test_a_whole_number_is_read(value: object, number: int) -> None:
    """Providers write limits as numbers and as text."""
    assert whole(value) == number


@pytest.mark.parametrize(
    "value", ["", "1.5", "-1", -1, 2.5, 2.0, True, None, [], "٣", "1,000", "unlimited", "9" * 19, "9" * 5000, 10**18]
)
def test_what_is_no_whole_number_is_none(value: object) -> None:
    """Nothing is rounded or guessed, and nothing raises."""
    assert whole(value) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_a_whole_number_is_never_below_nothing(value: object) -> None:
    """Whatever it is read from; and what is one is written as it was."""
    number = whole(value)

    assert number is None or (number >= 0 and int(str(value)) == number)


@given(st.text(alphabet="0123456789.hmsnuµ ", max_size=30))
def test_a_duration_is_a_finite_number_of_seconds(written: str) -> None:
    """Whatever it is read from."""
    seconds = duration(written)

    assert seconds is None or 0 <= seconds < float("inf")


def test_an_instant_is_utc() -> None:
    """HTTP dates are in GMT wherever this runs."""
    assert instant("Thu, 01 Jan 1970 00:01:00 GMT") == 60.0


INNER = {"code": 429, "message": "too much", "details": [{"@type": "x.y.RetryInfo"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"error": INNER},
        [{"error": INNER}],
        {"error": json.dumps({"error": INNER})},
        {"error": {"code": 500, "message": json.dumps({"error": INNER})}},
        {"error": {"code": 500, "message": json.dumps([{"error": INNER}])}},
        INNER,
    ],
)
def test_envelopes_around_an_error_are_opened(body: object) -> None:
    """A list around an error, an error as JSON text, an error inside an error's message: all say the same."""
    complaint = read_complaint(json.dumps(body).encode())

    assert complaint.message == "too much"
    assert complaint.fields["code"] == 429
    assert complaint.fields["details"] == INNER["details"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "model not loaded"}', "model not loaded"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}', "bad"),
        (b'{"error": {"code": 500}}', '{"error": {"code": 500}}'),
        (b'{"error": {"message": "{not json"}}', "{not json"),
        (b"<html>502</html>", "<html>502</html>"),
        (b"", "an error without a word of explanation"),
    ],
)
def test_every_error_says_something(body: bytes, said: str) -> None:
    """Where a provider has no message of its own, the beginning of what it sent stands for one."""
    assert read_complaint(body).message == said


def test_an_error_without_a_word_is_told_by_its_status() -> None:
    """The status is all that there is to go by."""
    assert read_complaint(b"", 503).message == "HTTP 503 without a word of explanation"
    assert read_complaint(b" \n", 503).message == "HTTP 503 without a word of explanation"
    assert read_complaint(b"out of order", 503).message == "out of order"


def test_an_error_nested_without_end_is_read_without_an_exception() -> None:
    """A message in a message in a message is opened a few times, then taken as text."""
    body: object = {"message": "core"}
    for _ in range(12):
        body = {"error": {"message": json.dumps(body)}}

    assert read_complaint(json.dumps(body).encode()).message


def test_envelopes_without_end_are_read_without_an_exception() -> None:
    """An error in an error in an error is opened a few times, then shown as it is."""
    for levels in (20, 500, 900, 100_000):
        body = b'{"error":' * levels + b'{"message": "core"}' + b"}" * levels
        assert read_complaint(body).message.startswith('{"error":')
