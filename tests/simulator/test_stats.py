"""What the simulator tells of what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.simulator import FaultKind, KeyStats, Stats

if TYPE_CHECKING:
    from conftest import Simulate, Until
    from synapse.testing import FakeClock


async def test_requests_are_counted_by_key_and_model(simulate: Simulate) -> None:
    """Of a key only its last four characters are told."""
    caller = await simulate(limits={"rpm": 1})
    await caller.gemini(key="secret-one1", model="a")
    await caller.gemini(key="secret-one1", model="a")
    await caller.gemini(key="secret-one1", model="b")
    await caller.openai(key="secret-two2", model="a")

    answer = await caller.get("/_simulator/stats")

    stats = msgspec.json.decode(answer.body, type=Stats)
    assert stats == caller.simulator.stats()
    assert stats.keys == (
        KeyStats("one1", "a", 2, 1, 0, 1, 0, quota_429s=1),
        KeyStats("one1", "b", 1, 0, 0, 1, 0),
        KeyStats("two2", "a", 1, 0, 0, 1, 0),
    )
    assert (stats.requests, stats.rate_limited, stats.in_flight) == (4, 1, 0)
    assert b"secret" not in answer.body


async def test_what_goes_wrong_on_purpose_is_counted_by_kind(simulate: Simulate) -> None:
    """In total, where it happened; a request that is refused has nothing else go wrong with it."""
    caller = await simulate(limits={"rpm": 4}, faults=[{"rate": 0.5, "kind": "503"}, {"rate": 0.5, "kind": "429"}])
    seen = [(await caller.openai()).status for _ in range(4)]
    await caller.openai()
    await caller.openai(messages=None)

    counts = caller.simulator.stats().faults

    assert {FaultKind(str(status)): seen.count(status) for status in set(seen)} == counts
    assert sum(counts.values()) == 4
    await caller.ask("/_simulator/reset")
    assert caller.simulator.stats().faults == {}


async def test_refused_requests_are_counted_too(simulate: Simulate) -> None:
    """Under no key where there was none, and under no model where the request could not be read."""
    caller = await simulate()
    await caller.gemini(key="", model="a")
    await caller.gemini(key="invalid-1", model="a")
    await caller.openai(key="key-1", messages=None)

    assert caller.simulator.stats().keys == (
        KeyStats("", "a", 1, 0, 0, 1, 0),
        KeyStats("ey-1", "", 1, 0, 0, 1, 0),
        KeyStats("id-1", "a", 1, 0, 0, 1, 0),
    )


async def test_concurrency_is_counted_while_answers_are_on_their_way(
    simulate: Simulate, until: Until, clock: FakeClock
) -> None:
    """The most there ever were at once is kept, by key and in total."""
    caller = await simulate(latency=5)
    lines = [await caller.line("gemini", model=model) for model in ("a", "a", "b")]
    await until(lambda: clock.timers == 3)
    assert caller.simulator.stats().in_flight == 3

    await clock.elapse(5)
    await until(lambda: all(line.data for line in lines))

    stats = caller.simulator.stats()
    assert (stats.in_flight, stats.max_in_flight) == (0, 3)
    assert [row.max_in_flight for row in stats.keys] == [2, 1]


async def test_other_requests_are_not_counted(simulate: Simulate) -> None:
    """Those for models, for stats, and for what there is not."""
    caller = await simulate()
    for path in ("/v1beta/models", "/_simulator/stats", "/nonsense"):
        await caller.get(path, {"x-goog-api-key": "k"})

    assert caller.simulator.stats().requests == 0


async def test_a_reset_forgets_all_but_what_is_going_on(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """Counts begin anew, quotas are whole again, and answers on their way are still seen to end."""
    caller = await simulate(limits={"rpm": 2}, latency=5)
    line = await caller.line("gemini", model="a")
    gone = await caller.line("gemini", model="b")
    await until(lambda: clock.timers == 2)
    gone.leave()
    await until(lambda: clock.timers == 1)

    answer = await caller.ask("/_simulator/reset")

    assert (answer.status, answer.json) == (200, {})
    began = clock.now()
    assert caller.simulator.stats() == Stats(0, 0, 1, 1, 0, (KeyStats("ey-1", "a", 0, 0, 1, 1, 0),), started_at=began)
    await clock.elapse(5)
    await until(lambda: line.data)
    assert caller.simulator.stats().in_flight == 0


async def test_a_reset_gives_quotas_and_chance_back(simulate: Simulate) -> None:
    """The same requests get the same answers again."""
    caller = await simulate(limits={"rpm": 1})
    first = await caller.gemini()
    assert (await caller.gemini()).status == 429

    await caller.ask("/_simulator/reset")

    assert (await caller.gemini()).body == first.body
