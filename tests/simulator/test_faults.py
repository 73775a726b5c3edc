"""What goes wrong on purpose."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from synapse.simulator import Fault, FaultKind, Options, parse_fault
from synapse.simulator.faults import Dice

if TYPE_CHECKING:
    from conftest import Simulate, Until
    from synapse.testing import FakeClock


def certain(kind: str) -> list[dict[str, object]]:
    """Return a fault that happens to every request."""
    return [{"rate": 1.0, "kind": kind}]


everywhere = pytest.mark.parametrize("dialect", ["gemini", "openai", "openrouter"])


@pytest.mark.parametrize("text", ["0.1:429", "1:cut", "0:slow", ".5:stall"])
def test_a_fault_is_written_as_rate_and_kind(text: str) -> None:
    """Every kind by its name, every rate as a share."""
    rate, _, kind = text.partition(":")

    assert parse_fault(text) == Fault(float(rate), FaultKind(kind))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.1", "RATE:KIND"),
        ("0.1:404", "429, 500, 503"),
        ("x:429", "number"),
        ("1.1:429", "share"),
        ("nan:429", "share"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    """The message says what was expected."""
    with pytest.raises(ValueError, match=words):
        parse_fault(text)


def test_faults_cannot_happen_more_often_than_always() -> None:
    """The rates of all faults together are a share of the requests."""
    with pytest.raises(ValueError, match=r"add up to 1\.2"):
        Options(faults=(Fault(0.6, FaultKind.CUT), Fault(0.6, FaultKind.SLOW)))


def test_faults_happen_as_often_as_they_are_told() -> None:
    """Over many requests, to within a hundredth; the same seed gives the same faults."""
    faults = (Fault(0.1, FaultKind.CUT), Fault(0.3, FaultKind.SLOW))
    dice, again = Dice(faults, 1), Dice(faults, 1)

    rolls = [dice.roll() for _ in range(20_000)]

    counts = Counter(roll.kind for roll in rolls if roll is not None)
    assert counts[FaultKind.CUT] == pytest.approx(2_000, abs=200)
    assert counts[FaultKind.SLOW] == pytest.approx(6_000, abs=200)
    assert [again.roll() for _ in range(100)] == rolls[:100]


@everywhere
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_error_status_comes_in_the_shape_of_the_dialect(
    simulate: Simulate, *, dialect: str, stream: bool, status: int
) -> None:
    """Without any hint of a quota, or of when to come back."""
    answer = await (await simulate(faults=certain(str(status)))).call(dialect, stream=stream)

    error = msgspec.json.decode(answer.body, type=dict[str, dict[str, object]])["error"]
    assert answer.status == status
    assert error["message"]
    assert "details" not in error
    assert not [name for name in answer.headers if "retry" in name.lower() or "ratelimit" in name.lower()]
    if dialect == "openai":
        assert isinstance(error["type"], str)
    else:
        assert error["code"] == status


@everywhere
async def test_a_plain_answer_is_cut_before_its_end(simulate: Simulate, dialect: str) -> None:
    """The connection closes with less than was promised."""
    caller = await simulate(faults=certain("cut"))

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.call(dialect)
    assert caller.simulator.stats().disconnects == 0


@everywhere
async def test_a_stream_is_cut_before_its_end(simulate: Simulate, until: Until, dialect: str) -> None:
    """The connection closes amid the answer, after any number of tokens, and never after its end."""
    caller = await simulate(faults=certain("cut"), tokens=6)
    lengths = set()
    for _ in range(40):
        line = await caller.line(dialect, stream=True)
        await until(lambda line=line: line.closed)
        assert b"\r\n0\r\n" not in line.data
        assert not any(end in line.data for end in (b"[DONE]", b"STOP", b'"stop"'))
        lengths.add(line.events)

    assert len(lengths) >= 4


@everywhere
async def test_a_malformed_plain_answer_is_no_json(simulate: Simulate, dialect: str) -> None:
    """It is complete as HTTP."""
    answer = await (await simulate(faults=certain("malformed"))).call(dialect)

    assert answer.status == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.body)


@everywhere
async def test_a_malformed_stream_ends_with_an_event_that_is_no_json(simulate: Simulate, dialect: str) -> None:
    """It is complete as HTTP, and all events before are well."""
    answer = await (await simulate(faults=certain("malformed"))).call(dialect, stream=True)

    frames = answer.body.replace(b"\r\n", b"\n").split(b"\n\n")
    *events, last = [frame.removeprefix(b"data: ") for frame in frames if frame.startswith(b"data: ")]
    for event in events:
        msgspec.json.decode(event)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(last)


async def test_a_malformed_array_breaks_off(simulate: Simulate) -> None:
    """The array form has no frames; its elements just stop making sense."""
    answer = await (await simulate(faults=certain("malformed"))).gemini(form="array")

    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.body)


@everywhere
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_stalled_answer_waits_until_the_caller_goes(
    simulate: Simulate, until: Until, clock: FakeClock, *, dialect: str, stream: bool
) -> None:
    """However long that is; it never comes to an end by itself."""
    caller = await simulate(faults=certain("stall"))
    line = await caller.line(dialect, stream=stream)
    await until(lambda: caller.simulator.stats().in_flight)

    await clock.elapse(100)

    assert not line.closed
    assert not any(end in line.data for end in (b"[DONE]", b"STOP", b'"stop"'))
    line.leave()
    await until(lambda: not caller.simulator.stats().in_flight)
    assert caller.simulator.stats().disconnects == 1


async def test_openrouter_sends_comments_into_a_stall(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """A caller that takes any byte for progress waits for ever."""
    caller = await simulate(faults=certain("stall"), tokens=4)
    line = await caller.line("openrouter", stream=True)
    await until(lambda: line.data.count(b": OPENROUTER PROCESSING\n\n") == 1 and clock.timers)
    await clock.elapse(1)
    before = line.events

    await clock.elapse(5)

    await until(lambda: line.data.count(b": OPENROUTER PROCESSING\n\n") == 1 + 1 + 5)
    assert line.events == before < 4


async def test_a_slow_answer_takes_ten_times_as_long(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """To its first token and between tokens."""
    caller = await simulate(faults=certain("slow"), latency=0.5, interval=0.2, tokens=3)
    line = await caller.line("gemini", stream=True)
    await until(lambda: clock.timers)

    await clock.elapse(4.9)
    assert line.data == b""
    await clock.elapse(0.2)
    await until(lambda: line.events == 1)
    await clock.elapse(1.8)
    assert line.events == 1
    await clock.elapse(2.2)
    await until(lambda: line.events == 3)


async def test_a_slow_answer_is_slow_where_all_others_are_instant(
    simulate: Simulate, until: Until, clock: FakeClock
) -> None:
    """It takes a second to its first token even then."""
    caller = await simulate(faults=certain("slow"))
    line = await caller.line("openai", stream=True)
    await until(lambda: clock.timers)

    await clock.elapse(0.9)
    assert line.data == b""
    await clock.elapse(0.2)
    await until(lambda: line.events)
