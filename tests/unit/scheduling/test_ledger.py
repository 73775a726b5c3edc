"""Who may send what on which credential, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Quota
from synapse.domain.standing import KeyStanding, Use
from synapse.domain.usage import Usage
from synapse.scheduling.account import NEVER, SPAN
from synapse.scheduling.breaker import SHORTEST, THRESHOLD
from synapse.scheduling.ledger import Ledger, Permit, Terms
from synapse.scheduling.slow_start import ACCEPTED_WITHIN, ANSWER

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, tzinfo=UTC).timestamp()
URGENT, BATCH = Band.INTERACTIVE, Band.BATCH
LOST = Failure(FailureClass.TRANSIENT, "it broke")


def ledger(
    *projects: str,
    quota: Quota | None = None,
    quotas: Mapping[str, Quota] | None = None,
    shared: str = "",
    careful: bool = True,
) -> Ledger:
    """Return a ledger with a key for each project; `x2` is a second key of project `x`."""
    credentials = [Credential(each[0], f"key-of-{each}-0{place}") for place, each in enumerate(projects)]
    variables = ("P_KEY", "P_KEYS") if projects else ()
    plenty = Quota(rpm=1000) if quota is None else quota
    return Ledger(Terms("p", ZoneInfo("UTC"), variables, quotas or {}, plenty, shared, careful), credentials)


def take(books: Ledger, model: str = "m", tokens: int = 1, band: Band = URGENT, now: float = NOW) -> Permit:
    """Take a permit that there is."""
    permit = books.take(model, tokens, band, now)
    assert permit is not None
    return permit


def taken(books: Ledger, model: str = "m", band: Band = URGENT, now: float = NOW) -> int:
    """Take all permits there are."""
    number = 0
    while books.take(model, 1, band, now) is not None:
        number += 1
    return number


# --- permits


def test_a_permit_names_the_key_to_send_on() -> None:
    """Of two projects, and of the keys of one, each has its turn."""
    books = ledger("x", "x2", "y")

    labels = Counter(permit.credential.label for permit in (take(books) for _ in range(8)) if permit.credential)

    assert labels == {"…x-00": 2, "…2-01": 2, "…y-02": 4}


def test_a_provider_that_wants_no_key_gets_none() -> None:
    """It has quotas all the same."""
    books = ledger(quota=Quota(rpm=2))

    assert take(books).credential is None
    assert taken(books) == 1


def test_without_the_keys_that_a_provider_wants_nothing_goes() -> None:
    """And it is said which variables to set."""
    books = Ledger(Terms("p", ZoneInfo("UTC"), ("P_KEY", "P_KEYS")), [])

    assert books.take("m", 1, URGENT, NOW) is None
    assert books.opens_at("m", 1, URGENT, NOW) == NEVER
    assert books.refusal("m") == "p has no API key: set P_KEY or P_KEYS"


def test_keys_of_one_project_share_its_quota() -> None:
    """A second key of the same project is no more; another project is."""
    assert taken(ledger("x", "x2", quota=Quota(rpm=3))) == 3
    assert taken(ledger("x", "y", quota=Quota(rpm=3))) == 6


def test_models_have_quotas_of_their_own() -> None:
    """As configured for each, or for all that are not named."""
    books = ledger("x", quota=Quota(rpm=5), quotas={"small": Quota(rpm=2)})

    assert [taken(books, model) for model in ("small", "other", "third")] == [2, 5, 5]


def test_what_is_reserved_is_settled_with_what_was_counted() -> None:
    """Input tokens as the provider tells them; where it tells none, those that were estimated."""
    books = ledger("x", quota=Quota(tpm=1000))
    for usage, used in ((Usage(700), 700), (Usage(0), 700 + 100), (None, 700 + 100 + 100)):
        books.settle(take(books, tokens=100), NOW, usage=usage)
        (account,) = books.accounts()
        assert account.tokens == used
        assert account.running == 0


def test_concurrency_is_returned_however_a_request_ends() -> None:
    """Answered, failed, or given up."""
    books = ledger("x", quota=Quota(concurrency=1, rpm=100))
    for end in ({"usage": Usage(1)}, {"failure": LOST}, {}):
        permit = take(books)
        assert books.opens_at("m", 1, URGENT, NOW) == ANSWER
        books.settle(permit, NOW, **end)
        assert books.opens_at("m", 1, URGENT, NOW) <= NOW


def test_a_permit_says_whether_it_takes_of_a_day() -> None:
    """Of its requests or of its tokens; then it must not be forgotten."""
    assert take(ledger("x", quota=Quota(rpd=5))).spends_day
    assert take(ledger("x", quota=Quota(tpd=5))).spends_day
    assert not take(ledger("x")).spends_day


def test_a_permit_says_whether_it_matters_when_it_is_heard_of() -> None:
    """While it is not known how much may be sent."""
    assert take(ledger("x", quota=Quota())).careful
    assert not take(ledger("x")).careful
    assert not take(ledger("x", quota=Quota(), careful=False)).careful


def test_who_goes_before_its_turn_must_be_small_enough() -> None:
    """Else the one behind which it stands would wait for longer."""
    books = ledger("x", quota=Quota(rpm=10, tpm=100))
    take(books, tokens=60)

    assert books.opens_at("m", 50, URGENT, NOW) == NOW + SPAN
    assert books.take("m", 51, URGENT, NOW, behind=60) is None
    assert books.take("m", 30, URGENT, NOW, behind=60) is not None
    assert books.opens_at("m", 60, URGENT, NOW) == NOW + SPAN


# --- shared quotas


def test_models_that_share_a_quota_use_it_together() -> None:
    """Each project by itself; a model that does not share is not concerned."""
    books = ledger("x", "y", quotas={"a:free": Quota(rpm=3), "b:free": Quota(rpm=5, rpd=100)}, shared=":free")

    assert taken(books, "a:free") + taken(books, "b:free") + taken(books, "c:free") == 2 * 3
    assert books.opens_at("b:free", 1, URGENT, NOW) == NOW + SPAN
    assert taken(books, "paid") == 2000
    account = books.account("x", ":free")
    assert account is not None
    assert account.quota == Quota(rpm=3, rpd=100)


def test_a_shared_quota_that_is_not_known_is_found_by_all_models_together() -> None:
    """One of them probes for the others."""
    books = ledger("x", quota=Quota(), shared=":free")

    take(books, "a:free")

    assert books.opens_at("b:free", 1, URGENT, NOW) == NOW + ACCEPTED_WITHIN


def test_batch_work_leaves_of_a_shared_quota_what_others_use_of_it() -> None:
    """Whatever models they use."""
    books = ledger("x", quotas={"a:free": Quota(rpm=10)}, shared=":free")
    books.settle(take(books, "a:free"), NOW, usage=Usage())

    assert taken(books, "b:free", BATCH) == 10 - 1 - 1


def test_a_shared_limit_that_is_learned_is_known_of_all_models() -> None:
    """From a refusal, or from what is said beside an answer."""
    for said in ("refusal", "headers"):
        books = ledger("x", quota=Quota(), shared=":free")
        assert not books.known("b:free")
        permit = take(books, "a:free")
        if said == "headers":
            books.hear(permit, [Headroom(Measure.RPM, 20)], NOW)
        else:
            account = permit.carrier.accounts[-1]
            account.learn(Quota(rpm=20))
            books.settle(permit, NOW, failure=LOST)
        assert books.known("b:free")


# --- when it opens


def test_it_is_told_when_to_look_again() -> None:
    """At the end of a minute's window, of a day, or never; an instant past is now."""
    books = ledger("x", quotas={"minute": Quota(rpm=1), "day": Quota(rpd=1), "none": Quota(rpd=0)})
    take(books, "minute")
    take(books, "day")

    instants = {model: books.opens_at(model, 1, URGENT, NOW) for model in ("minute", "day", "none", "free")}

    assert instants.pop("free") <= NOW
    assert instants == {"minute": NOW + SPAN, "day": MIDNIGHT, "none": NEVER}


def test_an_open_circuit_lets_one_request_pass_after_its_pause() -> None:
    """However much is left of the quota; when the probe is answered all may pass."""
    books = ledger("x", "y")
    for _ in range(THRESHOLD):
        books.settle(take(books), NOW, failure=LOST)
    later = NOW + SHORTEST

    assert books.take("m", 1, URGENT, NOW) is None
    assert books.opens_at("m", 1, URGENT, NOW) == books.starts_at("m", 1, URGENT, NOW) == later
    probe = take(books, now=later)
    assert (probe.probe, books.take("m", 1, URGENT, later)) == (True, None)
    assert books.opens_at("m", 1, URGENT, later) == ANSWER
    assert [each.event for each in books.settle(probe, later, usage=Usage())] == ["circuit closed"]
    assert not take(books, now=later).probe


def test_a_probe_that_is_given_up_lets_another_pass() -> None:
    """Its caller has gone: it said nothing of the model."""
    books = ledger("x")
    for _ in range(THRESHOLD):
        books.settle(take(books), NOW, failure=LOST)
    later = NOW + SHORTEST

    books.settle(take(books, now=later), later)

    assert take(books, now=later).probe


def test_a_circuit_does_not_open_what_never_will() -> None:
    """Without a key there is nothing to wait for."""
    books = ledger("x")
    for _ in range(THRESHOLD):
        books.settle(take(books), NOW, failure=LOST)
    books.settle(take(books, now=NOW + 5), NOW + 5, failure=Failure(FailureClass.CREDENTIAL_DEAD, "dead"))

    assert books.opens_at("m", 1, URGENT, NOW + 5) == NEVER


# --- batch work


def test_batch_work_is_looked_at_again_when_less_may_be_kept_from_it() -> None:
    """It may have the last one when nobody was there for ten minutes; those above may have it at any time."""
    books = ledger("x", quota=Quota(rpd=3))
    books.settle(take(books), NOW, usage=Usage())

    assert taken(books, band=BATCH) == 1
    assert books.opens_at("m", 1, URGENT, NOW) <= NOW
    assert books.opens_at("m", 1, BATCH, NOW) == NOW + 60
    assert books.opens_at("m", 1, BATCH, NOW + 599) == NOW + 600
    assert books.opens_at("m", 1, BATCH, NOW + 600) <= NOW + 600
    assert taken(books, band=BATCH, now=NOW + 600) == 1


def test_batch_work_is_nobody_for_whom_anything_is_kept() -> None:
    """Alone it may have all."""
    assert taken(ledger("x", quota=Quota(rpm=7)), band=BATCH) == 7


def test_a_dead_keys_last_requests_wake_nobody() -> None:
    """They are never forgotten, for nobody asks its account any more: their end lies in the past for ever."""
    books = ledger("x", "y", quota=Quota(rpm=2))
    permit = take(books)
    books.settle(permit, NOW, failure=Failure(FailureClass.CREDENTIAL_DEAD, "dead"))

    later = NOW + 100
    assert taken(books, band=BATCH, now=later) == 1
    assert books.opens_at("m", 1, BATCH, later) == NOW + 120


# --- what is heard beside an answer


def test_headers_teach_limits_and_what_is_left_of_them() -> None:
    """What others use of the same key counts."""
    books = ledger("x", quota=Quota())
    permit = take(books)
    assert not books.known("m")

    books.hear(permit, [Headroom(Measure.RPM, 10, 4), Headroom(Measure.TPM, 500)], NOW)

    (account,) = books.accounts()
    assert account.quota == Quota(rpm=10, tpm=500)
    assert (account.left(Measure.RPM), account.left(Measure.TPM)) == (4, 499)
    assert books.known("m")
    assert taken(books) == 4


def test_what_is_said_beside_an_answer_of_a_shared_model_is_of_what_it_shares() -> None:
    """For all models that do."""
    books = ledger("x", quota=Quota(), shared=":free")

    books.hear(take(books, "a:free"), [Headroom(Measure.RPM, 5, 0)], NOW)

    assert books.opens_at("b:free", 1, URGENT, NOW) == NOW + SPAN


def test_a_request_that_begins_to_be_answered_lets_the_next_ones_go() -> None:
    """Long before it ends."""
    books = ledger("x", quota=Quota())
    permit = take(books)
    assert books.take("m", 1, URGENT, NOW + 0.5) is None

    books.hear(permit, [], NOW + 0.5)

    assert taken(books, now=NOW + 0.5) == 2


# --- for people


def test_it_is_said_why_no_key_will_do() -> None:
    """Each reason once, without any key."""
    books = ledger("x", "y")
    for kind, words in ((FailureClass.CREDENTIAL_DEAD, "invalid"), (FailureClass.NOT_IN_TIER, "limit: 0")):
        books.settle(take(books), NOW, failure=Failure(kind, words))

    said = books.refusal("m")

    assert said == "p accepts no key for m (…x-00: invalid; …y-01: limit: 0): set others in P_KEY or P_KEYS"


def test_people_see_how_each_key_stands() -> None:
    """For each model that was asked for, and what is benched until when, and why."""
    books = ledger("x", "y", "z", quota=Quota(rpm=1))
    books.settle(take(books), NOW, failure=Failure(FailureClass.CREDENTIAL_DEAD, "invalid"))
    books.settle(take(books), NOW, failure=Failure(FailureClass.QUOTA_MINUTE, "slow down", retry_after=9.0))
    take(books)

    dead, closed, used = books.standings(NOW)

    assert dead == KeyStanding("p", "…x-00", "x", None, (), 0, NEVER, "invalid")
    assert (closed.credential, closed.model, closed.benched_until, closed.reason) == (
        "…y-01",
        "m",
        NOW + 9,
        "slow down",
    )
    assert (used.credential, used.running, used.benched_until, used.reason) == ("…z-02", 1, None, None)
    assert used.quotas[0] == Use(Measure.RPM, 1, 1, NOW + SPAN)


def test_keys_that_nobody_asked_for_anything_stand_there_too() -> None:
    """Without a model; a provider that wants no key has one line without it."""
    assert ledger("x").standings(NOW) == [KeyStanding("p", "…x-00", "x", None, (), 0, None, None)]
    assert ledger().standings(NOW) == [KeyStanding("p", None, None, None, (), 0, None, None)]


def test_accounts_are_found_by_project_and_scope() -> None:
    """Of projects that have keys; it is the one in which requests count."""
    books = ledger("x")

    account = books.account("x", "m")

    assert take(books).carrier.accounts == (account,)
    assert books.account("nobody", "m") is None
    assert [project.name for project in books.projects()] == ["x"]
