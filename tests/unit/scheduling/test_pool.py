"""Who carries a request, and what batch work leaves of it."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from synapse.domain.credential import Credential
from synapse.domain.quota import Measure, Quota
from synapse.scheduling.account import NEVER, SPAN, Account
from synapse.scheduling.pool import Carrier, ModelPool, Project, demand_of_each
from synapse.scheduling.slow_start import ACCEPTED_WITHIN, ANSWER

ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, tzinfo=UTC).timestamp()


def carrier(name: str, *quotas: Quota, keys: int = 1, careful: bool = False) -> Carrier:
    """Return a project with keys, whose requests count in an account for each quota."""
    project = Project(name)
    for number in range(keys):
        key = f"key-{number}-of-project-{name}"
        project.keys[key] = Credential(name, key)
    accounts = tuple(Account(name, f"scope {place}", quota, ZONE) for place, quota in enumerate(quotas or (Quota(),)))
    for account in accounts:
        account.slow_start.over = not careful
    return Carrier(project, accounts)


def pool(*carriers: Carrier, share: float = 0.2) -> ModelPool:
    """Return all that may carry a model."""
    return ModelPool("m", carriers, share, demand_of_each())


def use(carrier: Carrier, tokens: int = 1, now: float = NOW) -> None:
    """Send a request."""
    for account in carrier.accounts:
        account.expire(now)
        account.charge(tokens, now)


def answer(carrier: Carrier, now: float = NOW) -> None:
    """Have its last request be answered."""
    for account in carrier.accounts:
        account.answered(account.charges[-1], now, accepted=True)


def name(chosen: Carrier | None) -> str | None:
    """Name the project that was chosen."""
    return None if chosen is None else chosen.project.name


# --- a project


def test_the_keys_of_a_project_take_turns() -> None:
    """The least recently used goes next."""
    project = carrier("a", keys=3).project

    used = [project.next_key() for _ in range(6)]

    assert used[:3] == used[3:] == list(project.keys.values())


def test_a_benched_key_is_used_no_more() -> None:
    """It is benched once; without any keys a project is dead."""
    project = carrier("a", keys=2).project
    one, other = project.keys.values()

    assert project.bench(one, NEVER, "it is dead")
    assert not project.bench(one, NEVER, "it is dead")
    assert [project.next_key() for _ in range(3)] == [other] * 3
    assert project.alive
    assert project.bench(other, NEVER, "so is it")
    assert not project.alive
    assert [dead.reason for dead in project.dead.values()] == ["it is dead", "so is it"]


def test_where_no_key_is_wanted_there_is_none() -> None:
    """Such a project lives."""
    project = Project("", keyless=True)

    assert project.alive
    assert project.next_key() is None


# --- a carrier


def test_a_carrier_opens_when_the_last_of_its_accounts_does() -> None:
    """Both that of the model and that of all that share a quota must have room."""
    shared = carrier("a", Quota(rpm=1), Quota(concurrency=1))
    use(shared)

    assert shared.opens_at(1, NOW) == ANSWER
    answer(shared)
    assert shared.opens_at(1, NOW) == NOW + SPAN
    assert shared.opens_at(1, NOW + SPAN) <= NOW + SPAN


def test_what_a_carrier_has_left_is_what_its_scarcest_account_has() -> None:
    """Of a limit, and as a share."""
    shared = carrier("a", Quota(rpm=10), Quota(rpm=4, tpm=20))
    use(shared, 10)

    assert (shared.limit(Measure.RPM), shared.left(Measure.RPM)) == (4, 3)
    assert (shared.limit(Measure.RPD), shared.left(Measure.RPD)) == (math.inf, math.inf)
    assert shared.headroom() == 0.5


def test_a_dead_project_never_carries_anything() -> None:
    """Whatever is left of its quota."""
    dead = carrier("a", Quota(rpm=5))
    dead.project.keys.clear()

    assert dead.opens_at(1, NOW) == NEVER
    assert pool(dead).opens_at(1, NOW) == NEVER
    assert pool(dead).choose(1, NOW) is None


# --- who is chosen


def test_who_has_most_left_goes_first() -> None:
    """By the share of the scarcest limit, so that all are used up together."""
    small, large = carrier("small", Quota(rpm=2)), carrier("large", Quota(rpm=10))
    keys = pool(small, large)
    turns: list[str | None] = []

    while (chosen := keys.choose(1, NOW)) is not None:
        turns.append(name(chosen))
        use(chosen)

    assert Counter(turns) == {"small": 2, "large": 10}
    assert Counter(turns[:6]) == {"small": 1, "large": 5}


def test_where_as_much_is_left_who_has_least_to_do_goes_first() -> None:
    """What is on its way takes its time."""
    idle, busy = carrier("idle"), carrier("busy")
    use(busy)
    use(busy)
    use(idle)

    assert name(pool(busy, idle).choose(1, NOW)) == "idle"


def test_where_as_much_is_to_do_who_rested_longest_goes_first() -> None:
    """By the permits that were given."""
    one, two, three = carrier("1"), carrier("2"), carrier("3")
    one.project.used, two.project.used, three.project.used = 9, 7, 8

    assert name(pool(one, two, three).choose(1, NOW)) == "2"


def test_who_may_not_is_not_chosen() -> None:
    """Nor anybody when nobody may; the first of all to open is told."""
    first, second = carrier("first", Quota(rpm=1)), carrier("second", Quota(rpm=1))
    keys = pool(first, second)
    use(first)
    use(second, now=NOW + 9)

    assert keys.choose(1, NOW + 9) is None
    assert keys.opens_at(1, NOW + 9) == keys.starts_at(1, NOW + 9) == NOW + SPAN
    assert name(keys.choose(1, NOW + SPAN)) == "first"
    assert pool().opens_at(1, NOW) == pool().starts_at(1, NOW) == NEVER


def test_an_answer_may_come_before_a_window_opens() -> None:
    """Then nobody can say when the next one starts, though there is an instant to look again."""
    full, busy = carrier("full", Quota(rpm=1)), carrier("busy", Quota(concurrency=1))
    use(full)
    use(busy)
    keys = pool(full, busy)

    assert keys.opens_at(1, NOW) == NOW + SPAN
    assert keys.starts_at(1, NOW) == ANSWER
    probing = pool(carrier("probing", careful=True))
    use(probing.carriers[0])
    assert probing.opens_at(1, NOW) == NOW + ACCEPTED_WITHIN
    assert probing.starts_at(1, NOW) == ANSWER


# --- beside a larger one


def beside(tokens: int, head: int, *carriers: Carrier, now: float = NOW) -> str | None:
    """Name who carries a small one while a larger one waits."""
    keys = pool(*carriers)
    assert keys.opens_at(head, now) > now
    return name(keys.choose_beside(tokens, head, now))


def test_a_small_one_goes_beside_a_large_one_if_it_leaves_it_enough() -> None:
    """When the large one's turn comes there is as much for it as without the small one."""
    busy = carrier("a", Quota(tpm=100))
    use(busy, 60)
    use(busy, 10, NOW + 5)

    assert beside(10, 80, busy, now=NOW + 5) == "a"
    assert beside(11, 79, busy, now=NOW + 5) == "a"
    assert beside(11, 80, busy, now=NOW + 5) is None
    assert beside(31, 40, busy, now=NOW + 5) is None


def test_nobody_goes_beside_one_that_needs_all_there_is() -> None:
    """Else it would wait for as long as there are small ones."""
    busy = carrier("a", Quota(tpm=100))
    use(busy, 1)

    assert beside(1, 100, busy) is None
    assert beside(1, 5000, busy) is None
    fresh = carrier("a", Quota(tpm=100, tpd=99))
    use(fresh, 60, MIDNIGHT - 30)
    assert beside(1, 99, fresh, now=MIDNIGHT + 10) is None
    assert beside(1, 98, fresh, now=MIDNIGHT + 10) == "a"


@pytest.mark.parametrize("quota", [Quota(tpm=100, rpd=2), Quota(tpm=100, rpm=1)])
def test_nobody_takes_the_request_that_the_large_one_needs(quota: Quota) -> None:
    """Of the day, or of the minute."""
    busy = carrier("a", quota)
    busy.accounts[0].expire(NOW)
    busy.accounts[0].used_elsewhere(Measure.TPM, 50, NOW)
    busy.accounts[0].day_requests = 1

    assert beside(1, 60, busy) is None


def test_where_two_would_open_as_soon_one_of_them_is_free_for_small_ones() -> None:
    """And so is one that opens for the large one later than another."""
    first, same, later = (carrier(each, Quota(tpm=100)) for each in ("first", "same", "later"))
    for each, late in ((first, 0), (same, 0), (later, 5)):
        use(each, 60, NOW + late)

    assert beside(40, 99, first, now=NOW + 5) is None
    assert beside(40, 99, first, same, now=NOW + 5) in {"first", "same"}
    assert beside(40, 99, first, later, now=NOW + 5) == "later"


# --- what batch work leaves


def test_batch_work_may_have_all_with_nobody_above_it() -> None:
    """To the last request."""
    keys = pool(carrier("a", Quota(rpm=1, tpm=5, rpd=1, tpd=5, concurrency=1)))

    assert keys.spares(5, NOW)


@pytest.mark.parametrize(
    "quota", [Quota(rpm=4), Quota(tpm=4), Quota(rpd=4), Quota(tpd=4), Quota(concurrency=4)], ids=repr
)
def test_batch_work_leaves_one_while_somebody_is_there(quota: Quota) -> None:
    """Of each limit, for ten minutes after it was seen."""
    only = carrier("a", quota)
    keys = pool(only)
    keys.note_demand(1, NOW)
    keys.demand_answered()
    for account in only.accounts:
        account.expire(NOW)
    left = []
    for _ in range(4):
        left.append(keys.spares(1, NOW))
        use(only)

    assert left == [True, True, True, False]
    assert not keys.spares(1, NOW + 599)
    assert keys.spares(1, NOW + 600)


def test_batch_work_leaves_as_much_as_others_used() -> None:
    """Over all keys together, and no more than the share of what they hold together."""
    one, two = carrier("1", Quota(rpm=50)), carrier("2", Quota(rpm=50))
    keys = pool(one, two)
    for _ in range(30):
        keys.note_demand(1, NOW)
        use(one)
    later = NOW + 61
    for each in (one, two):
        each.opens_at(1, later)

    spared = 0
    while keys.spares(1, later):
        use(keys.choose(1, later) or one, now=later)
        spared += 1

    assert spared == 80


def test_what_cannot_be_used_is_not_counted_as_left() -> None:
    """Closed and dead keys have nothing for those above."""
    open_, closed, dead = (carrier(each, Quota(rpm=2)) for each in ("open", "closed", "dead"))
    keys = pool(open_, closed, dead)
    closed.accounts[0].close(NOW, NOW + 99, "closed")
    dead.project.keys.clear()
    keys.note_demand(1, NOW)

    assert keys.spares(1, NOW)
    use(open_)
    assert not keys.spares(1, NOW)
    assert keys.spares(1, NOW + 99)


def test_what_has_no_limit_is_spare() -> None:
    """One key without it is enough."""
    limited, free = carrier("limited", Quota(rpm=1)), carrier("free")
    keys = pool(limited, free)
    keys.note_demand(1, NOW)
    use(limited)

    assert keys.spares(1, NOW)


def test_it_is_told_when_to_look_again_for_batch_work() -> None:
    """When something is free again, at the end of a minute, or when nobody is there any more; never now."""
    first, dead = carrier("first", Quota(rpm=2)), carrier("dead", Quota(rpm=2))
    keys = pool(first, dead)
    keys.note_demand(1, NOW - 30)
    use(dead, now=NOW - 20)
    dead.project.keys.clear()
    use(first, now=NOW - 3)

    assert keys.changes_at(NOW) == NOW - 3 + SPAN
    assert keys.changes_at(NOW + 59) == NOW + 60
    assert keys.changes_at(NOW + 100) == NOW + 120
    assert keys.changes_at(NOW + 565) == NOW - 30 + 600
    assert keys.frees_at(NOW + 100) == MIDNIGHT
    assert pool().frees_at(NOW) == NEVER


def test_limits_that_are_learned_are_watched() -> None:
    """From when they are counted anew."""
    only = carrier("a")
    keys = pool(only)
    assert not keys.limited
    only.accounts[0].learn(Quota(rpm=1))

    keys.count_limits()

    assert keys.limited
    keys.note_demand(1, NOW)
    assert not keys.spares(1, NOW)
