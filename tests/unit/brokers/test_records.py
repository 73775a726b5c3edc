"""What is kept of ledgers: what has changed, once, and how it is put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.brokers.records import Records, restore
from synapse.brokers.store import Bench, DayUse, Learned, Ledgers, Store, key_id
from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Quota, Violation
from synapse.domain.usage import Usage
from synapse.scheduling.account import NEVER
from synapse.scheduling.ledger import Ledger, Permit, Terms

NOW = 1_767_225_600.0 + 3600.0
MIDNIGHT = 1_767_225_600.0 + 86_400.0
KEYS = (Credential("one", "key-1-of-one"), Credential("one", "key-2-of-one"), Credential("two", "key-of-two"))
MODELS = ("m", "n", "a:free", "b:free")
DAY = (Measure.RPD, Measure.TPD)
MANY = Quota(rpm=1000)
SPENT = Failure(FailureClass.QUOTA_DAY, "per day", violations=(Violation(Measure.RPD, 50),))
DEAD = Failure(FailureClass.CREDENTIAL_DEAD, "API key not valid")
NO_TIER = Failure(FailureClass.NOT_IN_TIER, "limit: 0")
FULL = Failure(FailureClass.QUOTA_MINUTE, "per minute", violations=(Violation(Measure.RPM, 15),), retry_after=30.0)
BRIEF = Failure(FailureClass.RATE_LIMITED, "too fast")
CUT = Failure(FailureClass.TRANSIENT, "cut")


def make_ledger(provider: str = "p", credentials: Sequence[Credential] = KEYS, *, quota: Quota = MANY) -> Ledger:
    """Make the ledger of a provider whose days end with UTC's."""
    terms = Terms(provider, ZoneInfo("UTC"), variables=("P_API_KEYS",), quota=quota, shared_models=":free")
    return Ledger(terms, credentials)


def take(ledger: Ledger, model: str = "m", *, tokens: int = 100, now: float = NOW) -> Permit:
    """Reserve a request that may be sent now."""
    permit = ledger.take(model, tokens, Band.INTERACTIVE, now)
    assert permit is not None
    return permit


def send(ledger: Ledger, model: str = "m", *, tokens: int = 100, failure: Failure | None = None) -> Permit:
    """Reserve a request and settle it."""
    permit = take(ledger, model, tokens=tokens)
    ledger.settle(permit, NOW, usage=Usage(tokens, 5) if failure is None else None, failure=failure)
    return permit


@pytest.fixture
def ledger() -> Ledger:
    """Return a ledger of three keys in two projects."""
    return make_ledger()


@pytest.fixture
def records(ledger: Ledger) -> Records:
    """Return what tells of that ledger's changes."""
    return Records({"p": ledger})


# --- what has changed


def test_of_what_nobody_has_used_there_is_nothing_to_keep(records: Records) -> None:
    """Keys alone are no change."""
    assert records.collect() == Ledgers()


def test_the_days_use_is_told_when_it_has_changed(ledger: Ledger, records: Records) -> None:
    """With its reservation, and again when the tokens are known; not a second time, and not of other projects."""
    permit = take(ledger, tokens=100)
    first = records.collect()
    assert records.collect() == Ledgers()

    ledger.settle(permit, NOW, usage=Usage(130, 5))

    project = permit.carrier.project.name
    assert first.day_uses == (DayUse("p", project, "m", MIDNIGHT, requests=1, tokens=100),)
    assert records.collect() == Ledgers((DayUse("p", project, "m", MIDNIGHT, requests=1, tokens=130),))
    assert records.collect() == Ledgers()


def test_what_was_given_back_is_told(ledger: Ledger, records: Records) -> None:
    """A refused request cost nothing, also where it was the only one and had been told."""
    permit = take(ledger)
    records.collect()

    ledger.settle(permit, NOW, failure=BRIEF)

    (use,) = records.collect().day_uses
    assert (use.requests, use.tokens) == (0, 0)


def test_a_new_day_begins_a_new_count(ledger: Ledger, records: Records) -> None:
    """Its end tells the two apart."""
    for project in ("one", "two"):
        send(ledger)
        assert project in {use.project for use in records.collect().day_uses}

    take(ledger, now=MIDNIGHT + 5.0)

    uses = {use.project: use for use in records.collect().day_uses}
    assert {(use.ends_at, use.requests) for use in uses.values() if use.requests} == {(MIDNIGHT + 86_400.0, 1)}


def test_a_shared_quota_is_kept_under_its_own_name(ledger: Ledger, records: Records) -> None:
    """Beside that of each model that shares it."""
    first = send(ledger, "a:free").carrier.project.name
    second = send(ledger, "b:free").carrier.project.name

    uses = {(use.project, use.scope): use.requests for use in records.collect().day_uses if use.requests}

    assert uses == {(first, "a:free"): 1, (first, ":free"): 1, (second, "b:free"): 1, (second, ":free"): 1}


def test_a_dead_key_is_kept_by_what_does_not_give_it_away(ledger: Ledger, records: Records) -> None:
    """For good, with the reason; once."""
    credential = send(ledger, failure=DEAD).credential
    assert credential is not None

    benches = records.collect().benches

    assert benches == (Bench("p", credential.project, key_id(credential.key), None, math.inf, "API key not valid"),)
    assert credential.key not in str(benches)
    assert not records.collect().benches


def test_a_closed_model_is_kept_with_the_instant_it_opens(ledger: Ledger, records: Records) -> None:
    """And kept again when that moves away."""
    projects = {send(ledger, failure=FULL).carrier.project.name for _ in range(2)}
    benches = records.collect().benches
    assert set(benches) == {Bench("p", project, None, "m", NOW + 30.0, "per minute") for project in projects}
    late = NOW + 31.0
    permit = take(ledger, now=late)

    ledger.settle(permit, late, failure=NO_TIER)

    project = permit.carrier.project.name
    assert records.collect().benches == (Bench("p", project, None, "m", math.inf, "limit: 0"),)


def test_a_rest_that_is_over_before_a_restart_is_not_kept(ledger: Ledger, records: Records) -> None:
    """A short one is worth no writing."""
    send(ledger, failure=BRIEF)

    assert not records.collect().benches


def test_learned_limits_are_kept_whoever_told_them(ledger: Ledger, records: Records) -> None:
    """From refusals and from headers; configured ones are no news."""
    permit = send(ledger, failure=FULL)
    told = Learned("p", permit.carrier.project.name, "m", Quota(rpm=15))
    assert records.collect().learned == (told,)

    ledger.hear(permit, [Headroom(Measure.RPD, limit=200, remaining=150)], NOW)

    assert records.collect().learned == (Learned("p", told.project, "m", Quota(rpm=15, rpd=200)),)
    assert not records.collect().learned


def test_each_provider_is_told_by_its_name() -> None:
    """Projects and models of one name are not the same elsewhere."""
    ledgers = {name: make_ledger(name, KEYS[:1]) for name in ("p", "q")}
    records = Records(ledgers)
    for ledger in ledgers.values():
        send(ledger)

    assert [(use.provider, use.requests) for use in records.collect().day_uses] == [("p", 1), ("q", 1)]


# --- what is put back


def put_back(kept: Ledgers, ledger: Ledger, now: float = NOW) -> Ledger:
    """Restore a ledger; return it."""
    restore({ledger.terms.provider: ledger}, kept, now)
    return ledger


async def through_the_store(kept: Ledgers, now: float = NOW) -> Ledgers:
    """Write records, and read them again."""
    store = Store.open(None)
    try:
        await store.save(kept)
        return store.load(now)
    finally:
        await store.close()


async def test_the_days_use_goes_on_after_a_restart() -> None:
    """A project that has used up its day waits for midnight, in the new process as in the old."""
    quota = Quota(rpd=3)
    before = make_ledger(credentials=KEYS[:2], quota=quota)
    for _ in range(3):
        before.settle(take(before, tokens=10), NOW, usage=Usage(10, 5))
    kept = await through_the_store(Records({"p": before}).collect())

    after = put_back(kept, make_ledger(credentials=KEYS[:2], quota=quota))

    assert after.take("m", 10, Band.INTERACTIVE, NOW) is None
    assert after.opens_at("m", 10, Band.INTERACTIVE, NOW) == MIDNIGHT
    assert after.take("m", 10, Band.INTERACTIVE, MIDNIGHT) is not None
    assert after.take("another", 10, Band.INTERACTIVE, NOW) is not None


async def test_a_dead_key_is_not_tried_again_after_a_restart(ledger: Ledger, records: Records) -> None:
    """Wherever the configuration has it now; its project's other keys carry on, and it is still said why."""
    dead = send(ledger, failure=DEAD).credential
    assert dead is not None
    kept = await through_the_store(records.collect())
    moved = [Credential("elsewhere", each.key) for each in KEYS]

    after = put_back(kept, make_ledger(credentials=moved))

    used = {send(after).credential for _ in range(6)}
    assert {each.key for each in used if each is not None} == {each.key for each in KEYS} - {dead.key}
    (benched,) = [standing for standing in after.standings(NOW) if standing.benched_until is not None]
    assert (benched.credential, benched.benched_until, benched.reason) == (dead.label, NEVER, "API key not valid")


async def test_a_closed_model_stays_closed_after_a_restart(ledger: Ledger, records: Records) -> None:
    """Until the instant that was known, for all keys of the project, and for that model alone."""
    for _ in range(2):
        send(ledger, failure=SPENT)
    kept = await through_the_store(records.collect())

    after = put_back(kept, make_ledger())

    assert after.opens_at("m", 1, Band.INTERACTIVE, NOW) == MIDNIGHT
    assert after.opens_at("another", 1, Band.INTERACTIVE, NOW) <= NOW


async def test_a_learned_limit_holds_after_a_restart() -> None:
    """Nobody finds it again at the cost of refusals; the stricter one of a configured and a learned limit holds."""
    for configured, holds in ((Quota(), 15), (Quota(rpm=10), 10), (Quota(rpm=1000), 15)):
        before = make_ledger(credentials=KEYS[2:], quota=configured)
        send(before, failure=FULL)
        kept = await through_the_store(Records({"p": before}).collect())
        after = put_back(kept, make_ledger(credentials=KEYS[2:], quota=configured), NOW)

        later = NOW + 100.0
        sent = 0
        while after.take("m", 1, Band.INTERACTIVE, later) is not None:
            sent += 1

        assert sent == holds
        assert after.known("m")


def test_what_is_about_nobody_that_there_is_is_left_out() -> None:
    """Providers, projects and keys that are no longer configured are no reason to stop."""
    kept = Ledgers(
        tuple(DayUse(*who, "m", MIDNIGHT, 1000, 1000) for who in (("gone", "one"), ("p", "gone"))),
        (
            Bench("gone", "one", None, "m", NEVER, "limit: 0"),
            Bench("p", "gone", None, "m", NEVER, "limit: 0"),
            Bench("p", "one", key_id("a key that is gone"), None, NEVER, "not valid"),
            Bench("gone", "one", key_id(KEYS[0].key), None, NEVER, "not valid"),
        ),
        (Learned("gone", "one", "m", Quota(rpm=1)), Learned("p", "gone", "m", Quota(rpm=1))),
    )

    ledger = put_back(kept, make_ledger())

    assert ledger.standings(NOW) == make_ledger().standings(NOW)


def test_a_bench_that_is_over_is_left_out() -> None:
    """Of a key and of a model."""
    over = (
        Bench("p", "one", key_id(KEYS[0].key), None, NOW, "suspended"),
        Bench("p", "two", None, "m", NOW - 1.0, "per minute"),
    )

    ledger = put_back(Ledgers((), over), make_ledger())

    assert all(standing.benched_until is None for standing in ledger.standings(NOW))


def test_a_provider_without_keys_is_remembered_too() -> None:
    """Its only project has no name."""
    terms = Terms("local", ZoneInfo("UTC"), quota=Quota(rpm=1000))
    before, after = Ledger(terms, []), Ledger(terms, [])
    send(before, failure=SPENT)

    put_back(Records({"local": before}).collect(), after)

    assert after.opens_at("m", 1, Band.INTERACTIVE, NOW) == MIDNIGHT


def remembered(ledger: Ledger, now: float) -> list[object]:
    """Return all that must outlive the process, as people see it."""
    for model in MODELS:
        ledger.pool(model)
    return sorted(
        (
            str(standing.credential),
            str(standing.project),
            str(standing.model),
            [(use.measure, use.limit, use.used if use.measure in DAY else 0) for use in standing.quotas],
            standing.benched_until or 0.0,
            str(standing.reason),
        )
        for standing in ledger.standings(now)
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.sampled_from([None, None, None, SPENT, DEAD, NO_TIER, FULL, BRIEF, CUT]),
        st.booleans(),
    ),
    max_size=25,
)


@given(steps=STEPS, shared=st.booleans())
async def test_whatever_happens_a_restart_changes_nothing_that_lasts(
    steps: list[tuple[str, Failure | None, bool]], *, shared: bool
) -> None:
    """Day counts, limits and benches are the same after it, however they came about and whenever they were written."""
    ledger = make_ledger()
    records = Records({"p": ledger})
    kept, later = Ledgers(), NOW
    for model, failure, writing in steps:
        later += 1.0
        permit = ledger.take(model, 100, Band.INTERACTIVE, later)
        kept = kept.then(records.collect()) if writing else kept
        if permit is not None:
            usage = Usage(120, 5) if failure is None else None
            spans = failure if failure is None or not shared else _shared(failure)
            ledger.settle(permit, later, usage=usage, failure=spans)
    kept = kept.then(records.collect())
    later += 5.0  # the rests that are not worth keeping are over

    after = put_back(await through_the_store(kept, later), make_ledger(), later)

    assert remembered(after, later) == remembered(ledger, later)


def _shared(failure: Failure) -> Failure:
    return Failure(failure.kind, failure.message, None, failure.retry_after, failure.violations, shared=True)
