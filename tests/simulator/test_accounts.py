"""Quotas as the providers keep them: by project and model, with what is told of them afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.simulator import Measure, Options, Quota, QuotaStats, Stats

if TYPE_CHECKING:
    from conftest import Answer, Caller, Simulate, Until
    from synapse.testing import FakeClock

RULES = [
    {"project": "p1", "model": "*", "limits": {"rpm": 2}},
    {"project": "*", "model": "special", "limits": {"rpm": 0}},
]


def quotas(caller: Caller) -> dict[tuple[str, str], QuotaStats]:
    """Return how each quota was kept."""
    return {(row.project, row.model): row for row in caller.simulator.stats().quotas}


def statuses(*answers: Answer) -> list[int]:
    """Return the status of each answer."""
    return [answer.status for answer in answers]


async def test_a_project_and_a_model_may_have_limits_of_their_own(simulate: Simulate) -> None:
    """All others have those for all."""
    caller = await simulate(limits={"rpm": 1}, rules=RULES, projects={"k1": "p1"})

    assert statuses(*[await caller.gemini(key="k1") for _ in range(3)]) == [200, 200, 429]
    assert statuses(*[await caller.gemini(key="k2") for _ in range(2)]) == [200, 429]
    assert (await caller.gemini(key="k1", model="special")).status == 429


async def test_free_models_of_openrouter_share_a_limit(simulate: Simulate) -> None:
    """Across the project's keys; a paid model has one of its own, and so have free models of others."""
    caller = await simulate(limits={"rpm": 2}, projects={"a": "p", "b": "p"})

    answers = [await caller.openrouter(key=key, model=f"x/{key}:free") for key in ("a", "b", "a")]

    assert statuses(*answers) == [200, 200, 429]
    assert b"Rate limit exceeded: free-models-per-min." in answers[2].body
    assert (await caller.openrouter(key="a", model="x/a")).status == 200
    assert (await caller.openrouter(key="c", model="x/a:free")).status == 200
    assert quotas(caller)["p", ":free"].peak[Measure.RPM] == 2


async def test_elsewhere_free_is_part_of_a_name(simulate: Simulate) -> None:
    """OpenAI's wire knows no free models."""
    caller = await simulate(limits={"rpm": 1})

    assert statuses(*[await caller.openai(model=model) for model in ("a:free", "b:free")]) == [200, 200]


async def test_the_day_of_openrouter_is_told_with_what_to_do(simulate: Simulate) -> None:
    """For free models; it ends at midnight UTC."""
    caller = await simulate(limits={"rpd": 0})

    free = await caller.openrouter(model="x:free")
    paid = await caller.openrouter(model="x")

    assert b"free-models-per-day. Add 10 credits" in free.body
    assert b"Rate limit exceeded: requests-per-day." in paid.body


@pytest.mark.parametrize("dialect", ["gemini", "openai", "openrouter"])
async def test_more_at_once_than_allowed_is_refused_until_an_answer_has_ended(
    simulate: Simulate, until: Until, clock: FakeClock, dialect: str
) -> None:
    """An answer that was sent to its end no longer counts, and neither does one whose caller went."""
    caller = await simulate(limits={"concurrency": 2}, latency=5)
    lines = [await caller.line(dialect) for _ in range(2)]
    await until(lambda: clock.timers == 2)
    refused = await caller.call(dialect)

    lines[0].leave()
    await until(lambda: clock.timers == 1)
    lines.append(await caller.line(dialect))
    await until(lambda: clock.timers == 2)
    await clock.elapse(5)
    await until(lambda: lines[2].data)
    again = await caller.line(dialect)
    await until(lambda: clock.timers == 1)

    assert refused.status == 429
    assert b"oncurrent" in refused.body
    (row,) = caller.simulator.stats().quotas
    assert (row.quota_429s, row.violations, row.peak[Measure.CONCURRENCY]) == (1, {Measure.CONCURRENCY: 1}, 2)
    again.leave()


async def test_a_spent_key_has_its_day_behind_it(simulate: Simulate, clock: FakeClock) -> None:
    """So have the other keys of its project, for every model, until midnight."""
    caller = await simulate(limits={"rpd": 3}, projects={"a": "p", "b": "p"}, spent=["a"])

    assert statuses(*[await caller.gemini(key=key, model=key) for key in ("a", "b", "c")]) == [429, 429, 200]
    clock.advance(24 * 3600)
    assert statuses(*[await caller.gemini(key=key, model=key) for key in ("a", "b")]) == [200, 200]


async def test_a_day_that_is_over_was_not_spent_by_who_comes_later(simulate: Simulate, clock: FakeClock) -> None:
    """It is the day of the start that is spent, whenever the key comes first."""
    caller = await simulate(rules=[{"project": "a", "model": "m", "limits": {"rpd": 1}}], spent=["a"])
    clock.advance(24 * 3600)

    assert statuses(*[await caller.gemini(key="a", model="m") for _ in range(2)]) == [200, 429]


def test_a_spent_key_without_a_limit_of_the_day_is_refused() -> None:
    """It would not be spent at all; of the key only four characters are told."""
    with pytest.raises(ValueError, match=r"the key …cret cannot have spent its day: it has no limit of a day \(rpd\)"):
        Options(limits=Quota(rpm=5), spent=frozenset({"secret"}))


async def test_a_dead_key_is_refused_in_every_dialect(simulate: Simulate) -> None:
    """As an invalid one is: for text, and for the models where they need a key. It counts under its own name."""
    caller = await simulate(dead=["gone-1"])

    gemini = await caller.gemini(key="gone-1")
    others = [await caller.openai(key="gone-1"), await caller.openrouter(key="gone-1")]
    models = [
        await caller.get("/v1beta/models", {"x-goog-api-key": "gone-1"}),
        await caller.get("/v1/models", {"authorization": "Bearer gone-1"}),
        await caller.get("/api/v1/models", {"authorization": "Bearer gone-1"}),
    ]

    assert gemini.status == 400
    assert b"API_KEY_INVALID" in gemini.body
    assert (statuses(*others), statuses(*models)) == ([401, 401], [400, 401, 200])
    assert (await caller.gemini(key="gone-2")).status == 200
    rows = caller.simulator.stats().keys
    assert [(row.key, row.model, row.requests) for row in rows] == [("ne-1", "", 2), ("ne-1", "m", 1), ("ne-2", "m", 1)]


async def test_what_a_quota_refused_is_told_with_its_times(simulate: Simulate, clock: FakeClock) -> None:
    """Apart from the 429s that happen on purpose; each limit that would have been exceeded counts."""
    caller = await simulate(limits={"rpm": 2, "tpm": 5}, projects={"key-1": "mine"})
    began = clock.now()
    await caller.gemini("one two three")
    clock.advance(1.5)
    await caller.gemini("one two three")
    clock.advance(10)
    await caller.gemini("one")
    await caller.gemini("one two three")
    await caller.gemini("one", key="secret-2")

    stats = caller.simulator.stats()

    assert stats.quotas == (
        QuotaStats(
            project="et-2",
            model="m",
            limits=Quota(rpm=2, tpm=5),
            peak={Measure.RPM: 1, Measure.TPM: 1, Measure.RPD: 1, Measure.TPD: 1, Measure.CONCURRENCY: 1},
            quota_429s=0,
            violations={},
            refused_at=(),
        ),
        QuotaStats(
            project="mine",
            model="m",
            limits=Quota(rpm=2, tpm=5),
            peak={Measure.RPM: 2, Measure.TPM: 4, Measure.RPD: 2, Measure.TPD: 4, Measure.CONCURRENCY: 1},
            quota_429s=2,
            violations={Measure.RPM: 1, Measure.TPM: 2},
            refused_at=(1.5, 11.5),
        ),
    )
    assert (stats.quota_429s, stats.rate_limited, stats.started_at) == (2, 2, began)
    assert [(row.key, row.quota_429s) for row in stats.keys] == [("et-2", 0), ("ey-1", 2)]
    answer = await caller.get("/_simulator/stats")
    assert msgspec.json.decode(answer.body, type=Stats) == stats
    assert b"secret" not in answer.body


async def test_a_429_that_happens_on_purpose_is_none_of_a_quota(simulate: Simulate) -> None:
    """It is counted, but not as one."""
    caller = await simulate(limits={"rpm": 5}, faults=[{"rate": 1, "kind": "429"}])
    await caller.gemini()

    stats = caller.simulator.stats()

    assert (stats.rate_limited, stats.quota_429s) == (1, 0)
    assert [(row.quota_429s, row.refused_at) for row in stats.quotas] == [(0, ())]


async def test_no_more_than_the_last_thousand_times_are_kept(simulate: Simulate) -> None:
    """However long it goes on; the count is that of all."""
    caller = await simulate(limits={"rpm": 0})
    for _ in range(1001):
        await caller.openai()

    (row,) = caller.simulator.stats().quotas

    assert (row.quota_429s, len(row.refused_at)) == (1001, 1000)


async def test_a_peak_is_that_of_a_window(simulate: Simulate, clock: FakeClock) -> None:
    """Of the fullest minute, and of the fullest day."""
    caller = await simulate(limits={"rpm": 3})
    for requests in (1, 3, 2):
        for _ in range(requests):
            await caller.gemini()
        clock.advance(60)

    peak = caller.simulator.stats().quotas[0].peak

    assert (peak[Measure.RPM], peak[Measure.RPD]) == (3, 6)


async def test_a_reset_forgets_accounts(simulate: Simulate, clock: FakeClock) -> None:
    """Times are told from there on."""
    caller = await simulate(limits={"rpm": 0})
    await caller.gemini()
    clock.advance(7)

    await caller.ask("/_simulator/reset")

    assert caller.simulator.stats().quotas == ()
    assert caller.simulator.stats().started_at == clock.now()
