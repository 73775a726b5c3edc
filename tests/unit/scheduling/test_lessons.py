"""What a failure teaches of credential, account and circuit."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Quota, Violation
from synapse.domain.usage import Usage
from synapse.scheduling.account import NEVER, SPAN
from synapse.scheduling.breaker import SHORTEST, THRESHOLD
from synapse.scheduling.ledger import Ledger, Permit, Terms
from synapse.scheduling.news import News
from synapse.scheduling.slow_start import ANSWER

PACIFIC = ZoneInfo("America/Los_Angeles")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, tzinfo=PACIFIC).timestamp()
REFUSALS = [
    FailureClass.CREDENTIAL_DEAD,
    FailureClass.QUOTA_MINUTE,
    FailureClass.QUOTA_DAY,
    FailureClass.NOT_IN_TIER,
    FailureClass.RATE_LIMITED,
]
BROKEN = [FailureClass.TRANSIENT, FailureClass.OVERLOADED]
OTHERS = [FailureClass.CALLER_FAULT, FailureClass.MODEL_GONE]
RPM = Violation(Measure.RPM)
RPD = Violation(Measure.RPD)


def ledger(*projects: str, quota: Quota | None = None, shared: str = "", chance: float = 0.5) -> Ledger:
    """Return a ledger with a key for each project; `x2` is a second key of project `x`."""
    credentials = [Credential(each[0], f"key-of-{each}-0{place}") for place, each in enumerate(projects or ("x",))]
    terms = Terms("p", PACIFIC, ("KEYS",), {}, Quota(rpm=1000) if quota is None else quota, shared)
    return Ledger(terms, credentials, random=lambda: chance)


def take(ledger: Ledger, now: float = NOW, model: str = "m") -> Permit:
    """Take a permit that there is."""
    permit = ledger.take(model, 10, Band.INTERACTIVE, now)
    assert permit is not None
    return permit


def opens_at(ledger: Ledger, now: float = NOW, model: str = "m") -> float:
    """Return when the next request may go, or now."""
    return max(now, ledger.opens_at(model, 10, Band.INTERACTIVE, now))


def failure(
    kind: FailureClass, *violations: Violation, hint: float | None = None, shared: bool = False, arrived: bool = True
) -> Failure:
    """Return a failure of a class."""
    return Failure(kind, "it said so", 429, hint, violations, shared, arrived)


def fail(ledger: Ledger, failed: Failure, now: float = NOW) -> list[News]:
    """Send a request that fails."""
    return ledger.settle(take(ledger, now), now, failure=failed)


def test_every_class_of_failure_is_tried_here() -> None:
    """The tests of this module go through all classes there are."""
    assert {*REFUSALS, *BROKEN, *OTHERS} == set(FailureClass)


# --- what it costs


@pytest.mark.parametrize("kind", FailureClass)
def test_a_refusal_costs_nothing_and_everything_else_what_was_reserved(kind: FailureClass) -> None:
    """Who refuses does not count it; who generates, or fails at it, does."""
    books = ledger()
    fail(books, failure(kind))

    (account,) = books.accounts()
    cost = 0 if kind in REFUSALS else 1
    assert (account.requests, account.tokens) == (cost, cost * 10)
    assert (account.day_requests, account.day_tokens) == (cost, cost * 10)
    assert account.running == 0


@pytest.mark.parametrize("kind", BROKEN)
def test_what_never_arrived_costs_nothing(kind: FailureClass) -> None:
    """The provider knows nothing of it."""
    books = ledger(quota=Quota(rpm=1))

    fail(books, failure(kind, arrived=False))

    assert opens_at(books) == NOW


# --- dead keys


def test_a_dead_key_is_benched_and_said_so_once() -> None:
    """However many requests were on their way with it; by its last four characters."""
    books = ledger("x", "y")
    permits = [take(books) for _ in range(6)]
    dead = failure(FailureClass.CREDENTIAL_DEAD)

    news = [each for permit in permits if permit.carrier.project.name == "x" for each in settle(books, permit, dead)]

    assert news == [News("credential benched", "…x-00", "x", "m", NEVER, "it said so")]
    assert {take(books).carrier.project.name for _ in range(5)} == {"y"}


def settle(ledger: Ledger, permit: Permit, failed: Failure) -> list[News]:
    """Settle one of several requests."""
    return ledger.settle(permit, NOW, failure=failed)


def test_the_other_keys_of_its_project_go_on() -> None:
    """They have the same quota, of which nothing was used."""
    books = ledger("x", "x2", quota=Quota(rpm=1))

    fail(books, failure(FailureClass.CREDENTIAL_DEAD))

    assert opens_at(books) == NOW
    permit = take(books)
    assert permit.credential is not None
    assert permit.credential.label == "…2-01"


def test_without_any_key_left_nothing_will_ever_go() -> None:
    """For none of the models; why is said."""
    books = ledger()

    fail(books, failure(FailureClass.CREDENTIAL_DEAD))

    assert opens_at(books) == opens_at(books, model="other") == NEVER
    assert "…x-00: it said so" in books.refusal("m")


def test_a_provider_that_wants_no_key_has_none_to_bench() -> None:
    """Whatever it says."""
    books = Ledger(Terms("p", PACIFIC), [])

    assert fail(books, failure(FailureClass.CREDENTIAL_DEAD)) == []
    assert opens_at(books) == NOW


def test_what_is_not_in_the_tier_is_closed_for_good() -> None:
    """For this model and all keys of the project; told once."""
    books = ledger("x", "x2")
    first, second = take(books), take(books)

    news = settle(books, first, failure(FailureClass.NOT_IN_TIER))

    assert news == [News("model is not in this project's tier", "…x-00", "x", "m", NEVER, "it said so")]
    assert settle(books, second, failure(FailureClass.NOT_IN_TIER)) == []
    assert opens_at(books, NOW + 1e6) == NEVER
    assert opens_at(books, model="other") == NOW


# --- minutes


@pytest.mark.parametrize(
    ("hint", "pause"), [(7.5, 7.5), (0.0, 1.0), (-3.0, 1.0), (None, 60.0), (590.0, 590.0), (86400.0, 600.0)]
)
def test_a_minute_that_is_used_up_rests_as_long_as_the_provider_says(hint: float | None, pause: float) -> None:
    """A minute where it says nothing; a moment at least, ten minutes at most: no minute lasts longer."""
    books = ledger()

    news = fail(books, failure(FailureClass.QUOTA_MINUTE, RPM, hint=hint))

    assert news == [News("quota is used up", "…x-00", "x", "m", NOW + pause, "it said so")]
    assert opens_at(books) == NOW + pause
    assert opens_at(books, NOW + pause) == NOW + pause


def test_all_limits_that_a_refusal_names_count() -> None:
    """Several at once; the stricter of what was configured and what was said holds."""
    books = ledger(quota=Quota(rpm=10, tpm=100))
    said = (Violation(Measure.RPM, 5), Violation(Measure.TPM, 200), Violation(Measure.CONCURRENCY, 3))

    news = fail(books, failure(FailureClass.QUOTA_MINUTE, *said, hint=2.0))

    (account,) = books.accounts()
    assert account.quota == Quota(rpm=5, tpm=100, concurrency=3)
    assert news[0] == News("limits learned", "…x-00", "x", "m", None, "rpm 5, tpm 200, concurrency 3")
    assert [each.event for each in fail(books, failure(FailureClass.QUOTA_MINUTE, *said), NOW + 2)] == [
        "quota is used up"
    ]


def test_a_limit_that_was_learned_is_kept_from_then_on() -> None:
    """What was sent before counts in it."""
    books = ledger(quota=Quota())
    for late in range(4):
        books.settle(take(books, NOW + late), NOW + late, usage=Usage())

    fail(books, failure(FailureClass.QUOTA_MINUTE, Violation(Measure.RPM, 4), hint=3.0), NOW + 4)

    assert opens_at(books, NOW + 7) == NOW + SPAN
    assert books.known("m")


def test_a_limit_without_its_value_is_felt_for() -> None:
    """Up to what was accepted goes freely, and then one at a time."""
    books = ledger(quota=Quota())
    for late in range(4):
        books.settle(take(books, NOW + late), NOW + late, usage=Usage())

    fail(books, failure(FailureClass.QUOTA_MINUTE, RPM), NOW + 4)

    (account,) = books.accounts()
    assert account.slow_start.limit == 4


# --- days


@pytest.mark.parametrize(
    "violations",
    [(), (RPD,), (RPD, RPM), (RPM, RPD), (Violation(Measure.TPD, 5), RPM), (Violation(Measure.RPM, 3), RPD)],
)
def test_a_day_that_is_used_up_is_closed_till_midnight_whatever_else_was_said(
    violations: tuple[Violation, ...],
) -> None:
    """A minute that is used up beside it opens sooner, which helps nobody."""
    books = ledger(quota=Quota(rpm=1000, rpd=1000, tpd=10**6))

    news = fail(books, failure(FailureClass.QUOTA_DAY, *violations))

    assert news[-1] == News("day's quota is used up", "…x-00", "x", "m", MIDNIGHT, "it said so")
    assert opens_at(books) == opens_at(books, MIDNIGHT - 30) == MIDNIGHT
    assert opens_at(books, MIDNIGHT) == MIDNIGHT


def test_a_minutes_refusal_after_a_days_opens_nothing_sooner() -> None:
    """Requests that were on their way together can be refused for either."""
    books = ledger()
    first, second = take(books), take(books)

    settle(books, first, failure(FailureClass.QUOTA_DAY, RPD))

    assert settle(books, second, failure(FailureClass.QUOTA_MINUTE, RPM, hint=2.0)) == []
    assert opens_at(books) == MIDNIGHT


def test_a_day_that_trails_opens_when_the_provider_says() -> None:
    """It knows best, and then there is some of the day left again."""
    books = ledger(quota=Quota(rpd=10))

    fail(books, failure(FailureClass.QUOTA_DAY, Violation(Measure.RPD, 10), hint=5000.0))

    assert opens_at(books) == NOW + 5000
    assert opens_at(books, NOW + 5000) == NOW + 5000


def test_a_refusal_that_comes_after_midnight_closes_nothing() -> None:
    """The day in which its request was sent is over, and another has begun."""
    books = ledger(quota=Quota(rpd=10))
    permit = take(books, MIDNIGHT - 2)
    assert opens_at(books, MIDNIGHT + 1) == MIDNIGHT + 1

    news = books.settle(permit, MIDNIGHT + 1, failure=failure(FailureClass.QUOTA_DAY, RPD))

    assert news == []
    assert opens_at(books, MIDNIGHT + 1) == MIDNIGHT + 1
    (account,) = books.accounts()
    assert account.left(Measure.RPD) == 10


def test_people_see_that_the_day_is_used_up() -> None:
    """Also when fewer were counted here, because others used the key."""
    books = ledger(quota=Quota(rpd=10))

    fail(books, failure(FailureClass.QUOTA_DAY, RPD))

    (account,) = books.accounts()
    assert account.left(Measure.RPD) == 0


# --- refusals without a reason


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)])
def test_refusals_that_explain_nothing_rest_for_longer_each_time(chance: float, share: float) -> None:
    """From half a second to half a minute, each up to half as long by chance; then one probe goes."""
    books, now, pauses = ledger(chance=chance), NOW, []
    for _ in range(9):
        fail(books, failure(FailureClass.RATE_LIMITED), now)
        opening = opens_at(books, now)
        pauses.append(opening - now)
        now = opening

    assert pauses == pytest.approx([share * each for each in (0.5, 1, 2, 4, 8, 16, 30, 30, 30)], rel=1e-3)


def test_after_the_rest_one_probe_goes_before_all_others() -> None:
    """When it is answered, half as many go as before."""
    books = ledger(quota=Quota(rpm=1000))
    permits = [take(books) for _ in range(9)]
    settle(books, permits[0], failure(FailureClass.RATE_LIMITED))
    later = opens_at(books)
    probe = take(books, later)

    assert books.take("m", 10, Band.INTERACTIVE, later) is None
    assert books.starts_at("m", 10, Band.INTERACTIVE, later) == ANSWER
    books.settle(probe, later + 0.5, usage=Usage())
    at_once = [books.take("m", 10, Band.INTERACTIVE, later + 0.5 + tick * 0.1) for tick in range(9) for _ in range(9)]
    assert sum(permit is not None for permit in at_once) == 5


def test_several_refusals_at_once_are_one() -> None:
    """What was on its way when the first was heard tells nothing new, unless to wait for longer."""
    books = ledger()
    permits = [take(books) for _ in range(9)]

    news = [settle(books, permit, failure(FailureClass.RATE_LIMITED)) for permit in permits]

    assert [len(each) for each in news] == [1] + [0] * 8
    assert opens_at(books) == NOW + 0.375
    books = ledger()
    first, second = take(books), take(books)
    settle(books, first, failure(FailureClass.RATE_LIMITED))
    settle(books, second, failure(FailureClass.RATE_LIMITED, hint=9.0))
    assert opens_at(books) == NOW + 9


def test_a_good_answer_ends_the_row() -> None:
    """Of a request that was sent after the refusal; one from before says nothing."""
    books = ledger()
    before = take(books)
    fail(books, failure(FailureClass.RATE_LIMITED))
    books.settle(before, NOW + 0.1, usage=Usage())
    fail(books, failure(FailureClass.RATE_LIMITED), NOW + 1)
    assert opens_at(books, NOW + 1) == NOW + 1 + 0.75

    books.settle(take(books, NOW + 2), NOW + 2, usage=Usage())
    fail(books, failure(FailureClass.RATE_LIMITED), NOW + 3)

    assert opens_at(books, NOW + 3) == NOW + 3 + 0.375


@given(hint=st.floats(-5, 1e6))
def test_a_hint_lengthens_the_rest_within_reason(hint: float) -> None:
    """Up to ten minutes."""
    books = ledger()

    fail(books, failure(FailureClass.RATE_LIMITED, hint=hint))

    assert opens_at(books) == pytest.approx(NOW + max(0.375, min(hint, 600.0)))


# --- shared quotas


@pytest.mark.parametrize(
    ("kind", "closes_at"),
    [
        (FailureClass.QUOTA_MINUTE, NOW + 60),
        (FailureClass.QUOTA_DAY, MIDNIGHT),
        (FailureClass.NOT_IN_TIER, NEVER),
        (FailureClass.RATE_LIMITED, NOW + 0.375),
    ],
)
def test_what_is_said_of_a_shared_quota_holds_for_all_models_that_share_it(
    kind: FailureClass, closes_at: float
) -> None:
    """And what is said of one model for that alone."""
    for shared, others in ((True, closes_at), (False, NOW)):
        books = ledger(shared=":free")
        books.settle(take(books, model="a:free"), NOW, failure=failure(kind, shared=shared))

        assert opens_at(books, model="a:free") == closes_at
        assert opens_at(books, model="b:free") == others
        assert opens_at(books, model="paid") == NOW


# --- the circuit


@pytest.mark.parametrize("kind", BROKEN)
def test_a_model_that_fails_and_fails_is_left_alone(kind: FailureClass) -> None:
    """On all keys; the others are not concerned."""
    books = ledger("x", "y")

    news = [fail(books, failure(kind)) for _ in range(THRESHOLD)]

    assert [len(each) for each in news] == [0, 0, 0, 0, 1]
    assert (news[-1][0].event, news[-1][0].until) == ("circuit opened", NOW + SHORTEST)
    assert opens_at(books) == NOW + SHORTEST
    assert opens_at(books, model="other") == NOW


@pytest.mark.parametrize("kind", [*REFUSALS, *OTHERS])
def test_whoever_answers_at_all_works(kind: FailureClass) -> None:
    """A refusal is no fault of the model's: it closes the circuit as a good answer does."""
    books = ledger("x", "y")
    for _ in range(THRESHOLD):
        fail(books, failure(FailureClass.TRANSIENT))
    probe = take(books, NOW + SHORTEST)
    assert opens_at(books, NOW + SHORTEST) == ANSWER

    news = books.settle(probe, NOW + SHORTEST, failure=failure(kind))

    assert news[0].event == "circuit closed"
    assert books.pool("m").breaker.closed


@pytest.mark.parametrize("kind", [*OTHERS, *BROKEN])
def test_what_is_no_refusal_closes_nothing(kind: FailureClass) -> None:
    """Nor does it teach a limit."""
    books = ledger()

    assert fail(books, failure(kind, hint=50.0)) == []
    assert opens_at(books) == NOW
