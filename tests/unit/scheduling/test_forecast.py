"""When waiting tasks are likely to start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.quota import Quota
from synapse.domain.usage import Usage
from synapse.scheduling.account import SPAN
from synapse.scheduling.forecast import Forecast
from synapse.scheduling.ledger import Ledger, Terms
from synapse.scheduling.pool import Carrier

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, tzinfo=UTC).timestamp()
URGENT = Band.INTERACTIVE
BEFORE = st.lists(st.floats(0, 60), max_size=20)
"""How long before now requests were sent."""


def ledger(*projects: str, quota: Quota | None = None, quotas: Mapping[str, Quota] | None = None) -> Ledger:
    """Return a ledger with a key for each project; models that end in `:free` share."""
    credentials = [Credential(project, f"key-of-project-{project}") for project in projects]
    return Ledger(Terms("p", ZoneInfo("UTC"), ("KEYS",), quotas or {}, quota or Quota(), ":free"), credentials)


def carriers(books: Ledger, model: str = "m") -> dict[str, Carrier]:
    """Return who may carry a model, by project."""
    return {carrier.project.name: carrier for carrier in books.pool(model).carriers}


def use(carrier: Carrier, *ages: float, tokens: int = 1) -> None:
    """Let a project have sent requests some seconds before now, which have been answered."""
    for age in sorted(ages, reverse=True):
        for account in carrier.accounts:
            account.expire(NOW - age)
            account.answered(account.charge(tokens, NOW - age), NOW - age, accepted=True)


def forecast(books: Ledger, model: str = "m", *, seconds: float | None = None, now: float = NOW) -> Forecast:
    """Look ahead."""
    return Forecast(books.pool(model), now, seconds=seconds)


def starts(books: Ledger, number: int, *, tokens: int = 1) -> list[float]:
    """Send as many as there are permits, the moment there are, and return when each went."""
    now, found = NOW, []
    while len(found) < number:
        permit = books.take("m", tokens, URGENT, now)
        if permit is None:
            now = books.opens_at("m", tokens, URGENT, now)
        else:
            books.settle(permit, now, usage=Usage())
            found.append(now)
    return found


# --- windows of a minute


@given(
    used=st.lists(BEFORE, min_size=1, max_size=3),
    limits=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    closed=st.lists(st.sampled_from([0.0, 0.0, 20.0, 60.0]), min_size=3, max_size=3),
)
def test_each_start_is_foretold_to_the_instant(used: list[list[float]], limits: list[int], closed: list[float]) -> None:
    """Of several keys with different limits, used in any way and beyond them, closed for a while or not."""
    books = ledger(*"abc"[: len(used)])
    for carrier, ages, limit, rest in zip(books.pool("m").carriers, used, limits, closed, strict=False):
        carrier.accounts[0].learn(Quota(rpm=limit))
        use(carrier, *ages)
        carrier.accounts[0].close(NOW, NOW + rest, "closed")

    ahead = forecast(books)

    assert [ahead.start(place, place + 1) for place in range(25)] == pytest.approx(starts(books, 25), abs=1e-3)


def test_with_room_in_the_window_it_starts_now() -> None:
    """As many as there is room for; the next ones when there is more."""
    books = ledger("a", "b", quota=Quota(rpm=2))
    use(carriers(books)["a"], 40.0)

    ahead = forecast(books)

    expected = [NOW, NOW, NOW, NOW - 40 + SPAN, NOW + SPAN, NOW + SPAN, NOW + SPAN, NOW - 40 + 2 * SPAN]
    assert [ahead.start(place, place + 1) for place in range(8)] == expected


def test_where_nothing_is_limited_nothing_is_foretold() -> None:
    """Nor where one of the keys is not; the limited ones are no matter then."""
    assert forecast(ledger("a")).start(1000, 1000) is None
    books = ledger("a", "b")
    carriers(books)["a"].accounts[0].learn(Quota(rpm=1))
    assert forecast(books).start(1000, 1000) is None


def test_what_is_closed_opens() -> None:
    """Where its limit is not known, for one request at least."""
    books = ledger("a")
    carriers(books)["a"].accounts[0].close(NOW, NOW + 30, "closed")

    assert forecast(books).start(0, 1) == NOW + 30


def test_models_that_share_a_quota_wait_for_both_accounts() -> None:
    """That which opens later."""
    books = ledger("a", quotas={"x:free": Quota(rpm=2)})
    own, shared = carriers(books, "x:free")["a"].accounts
    use(carriers(books, "x:free")["a"], 50.0, 10.0)
    own.learn(Quota(rpm=1))

    ahead = forecast(books, "x:free")

    assert shared.requests == 2
    assert ahead.start(0, 1) == NOW - 10 + SPAN


# --- tokens


def test_tokens_are_counted_too() -> None:
    """Those of all that go before it, and its own, over all keys."""
    books = ledger("a", "b", quota=Quota(rpm=1000, tpm=100))
    use(carriers(books)["a"], 30.0, tokens=80)
    use(carriers(books)["b"], 20.0, tokens=100)

    ahead = forecast(books)

    assert [ahead.start(1, tokens) for tokens in (0, 1, 20)] == [NOW, NOW, NOW]
    assert [ahead.start(1, tokens) for tokens in (21, 100)] == [NOW - 30 + SPAN] * 2
    assert [ahead.start(1, tokens) for tokens in (101, 200)] == [NOW - 20 + SPAN] * 2
    assert ahead.start(1, 201) == NOW + SPAN
    assert ahead.start(1, 621) == NOW - 30 + 4 * SPAN


@given(ages=BEFORE, number=st.integers(1, 20), tokens=st.sampled_from([10, 20, 50, 100]))
def test_where_tokens_are_scarce_each_start_is_foretold(ages: list[float], number: int, tokens: int) -> None:
    """For requests that fill the window evenly, to the instant."""
    books = ledger("a", quota=Quota(rpm=100, tpm=100))
    use(carriers(books)["a"], *ages, tokens=tokens)

    ahead = forecast(books)

    foretold = [ahead.start(place, (place + 1) * tokens) for place in range(number)]
    assert foretold == pytest.approx(starts(books, number, tokens=tokens), abs=1e-3)


def test_the_later_of_requests_and_tokens_decides() -> None:
    """Whichever is scarcer."""
    books = ledger("a", quota=Quota(rpm=2, tpm=100))

    ahead = forecast(books)

    assert ahead.start(2, 10) == NOW + SPAN
    assert ahead.start(1, 150) == NOW + SPAN
    assert ahead.start(1, 100) == NOW


# --- days


def test_who_finds_no_more_of_the_day_starts_with_the_next_one() -> None:
    """As its minutes allow."""
    books = ledger("a", "b", quota=Quota(rpm=2, rpd=3))
    use(carriers(books)["a"], *[3600.0] * 3)
    use(carriers(books)["b"], *[3600.0] * 1)

    ahead = forecast(books)

    assert [ahead.start(place, 1) for place in (0, 1)] == [NOW, NOW]
    assert [ahead.start(place, 1) for place in (2, 3, 4, 5)] == [
        MIDNIGHT,
        MIDNIGHT,
        MIDNIGHT + SPAN,
        MIDNIGHT + SPAN,
    ]


def test_with_nothing_left_today_all_start_tomorrow() -> None:
    """Or when the first key opens, if that is later."""
    books = ledger("a", quota=Quota(rpd=1))
    use(carriers(books)["a"], 3600.0)
    assert forecast(books).start(0, 1) == MIDNIGHT

    carriers(books)["a"].accounts[0].close(NOW, MIDNIGHT + 500, "closed")
    assert forecast(books).start(0, 1) == MIDNIGHT + 500


def test_a_key_that_is_closed_for_long_is_not_counted_on() -> None:
    """The others carry what there is; alone, it carries from then on."""
    books = ledger("a", "b", quota=Quota(rpm=1))
    carriers(books)["a"].accounts[0].close(NOW, NOW + 5000, "closed")
    assert [forecast(books).start(place, 1) for place in (0, 1)] == [NOW, NOW + SPAN]

    carriers(books)["b"].accounts[0].close(NOW, NOW + 7000, "closed")
    assert forecast(books).start(0, 1) == NOW + 5000


def test_without_a_living_key_nothing_ever_starts() -> None:
    """A dead one is not counted on."""
    books = ledger("a", "b", quota=Quota(rpm=1))
    for project in list(books.projects())[:1]:
        project.keys.clear()
    assert [forecast(books).start(place, 1) for place in (0, 1)] == [NOW, NOW + SPAN]

    for project in books.projects():
        project.keys.clear()
    assert forecast(books).start(0, 1) == float("inf")


# --- at once


def test_where_only_so_many_run_at_once_each_waits_for_those_before_it() -> None:
    """By how long they take; the ones that find a free place start now."""
    books = ledger("a", "b", quota=Quota(rpm=1000, concurrency=2))
    account = carriers(books)["a"].accounts[0]
    account.expire(NOW)
    account.charge(1, NOW)

    ahead = forecast(books, seconds=8.0)

    assert [ahead.start(place, 1) for place in (0, 1, 2)] == [NOW, NOW, NOW]
    assert [ahead.start(place, 1) for place in (3, 4, 6)] == [NOW + 2.0, NOW + 4.0, NOW + 8.0]


@pytest.mark.parametrize("quota", [Quota(rpm=1000), Quota(rpm=1000, concurrency=0)])
def test_how_long_attempts_take_is_no_matter_where_any_number_runs(quota: Quota) -> None:
    """Nor where none does, and nothing can be said."""
    assert forecast(ledger("a", quota=quota), seconds=8.0).start(5, 1) == NOW


def test_until_it_is_known_how_long_attempts_take_only_windows_are_foretold() -> None:
    """That is the soonest it can be."""
    assert forecast(ledger("a", quota=Quota(rpm=1000, concurrency=1))).start(5, 1) == NOW
