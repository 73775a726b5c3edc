"""When answers are sent, in which pieces, and to whom no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from synapse.simulator import Options, Simulator

if TYPE_CHECKING:
    from conftest import Serve, Simulate, Until
    from synapse.testing import FakeClock

everywhere = pytest.mark.parametrize("dialect", ["gemini", "openai", "openrouter"])


@everywhere
async def test_the_first_token_comes_after_the_latency_and_the_others_after_the_interval(
    simulate: Simulate, until: Until, clock: FakeClock, dialect: str
) -> None:
    """Each in time: none is early, and what belongs to the first or the last one comes with it."""
    caller = await simulate(latency=2, interval=1, tokens=3)
    line = await caller.line(dialect, stream=True)
    await until(lambda: clock.timers)
    await clock.elapse(1.9)
    assert line.events == 0
    counts = []

    for _ in range(3):
        await clock.elapse(1)
        counts.append(line.events)

    await until(lambda: line.data.endswith(b"\r\n0\r\n\r\n"))
    role = dialect == "openai"
    assert counts[:2] == [1 + role, 2 + role]
    assert line.events == {"gemini": 3, "openai": 6, "openrouter": 6}[dialect]


async def test_headers_wait_for_the_first_token(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """So that a caller that waits for the status waits as with the real thing."""
    caller = await simulate(latency=2)
    line = await caller.line("openai", stream=True)
    await until(lambda: clock.timers)

    await clock.elapse(1.9)

    assert line.data == b""


async def test_openrouter_answers_at_once_and_comments_until_there_is_a_token(
    simulate: Simulate, until: Until, clock: FakeClock
) -> None:
    """Its status is no sign of anything but a connection."""
    caller = await simulate(latency=3.5)
    line = await caller.line("openrouter", stream=True)

    await until(lambda: line.data.count(b": OPENROUTER PROCESSING\n\n") == 1)
    await clock.elapse(3.4)
    await until(lambda: line.data.count(b": OPENROUTER PROCESSING\n\n") == 4)

    assert line.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert line.events == 0


async def test_a_plain_answer_takes_as_long_as_its_tokens(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """The latency, and an interval between each two of them."""
    caller = await simulate(latency=2, interval=1, tokens=3)
    line = await caller.line("gemini")
    await until(lambda: clock.timers)

    await clock.elapse(3.9)
    assert line.data == b""
    await clock.elapse(0.2)
    await until(lambda: line.data)


async def test_a_stream_has_one_timer_at_a_time(simulate: Simulate, until: Until, clock: FakeClock) -> None:
    """Whatever its length; and none is left when it has ended, or its caller has."""
    caller = await simulate(latency=1, interval=1, tokens=5)
    first = await caller.line("gemini", stream=True)
    second = await caller.line("gemini", stream=True)
    await until(lambda: clock.timers == 2)
    await clock.elapse(2)
    assert clock.timers == 2

    second.leave()
    await until(lambda: clock.timers == 1)
    await clock.elapse(5)

    await until(lambda: first.data.endswith(b"\r\n0\r\n\r\n"))
    assert clock.timers == 0


async def test_every_event_is_a_chunk_of_its_own(simulate: Simulate, until: Until) -> None:
    """Without an interval too, as long as nothing else is asked for."""
    line = await (await simulate(tokens=40)).line("gemini", stream=True)
    await until(lambda: line.data.endswith(b"\r\n0\r\n\r\n"))

    assert line.data.count(b"\r\n\r\n\r\n") == 40


async def test_a_coalesced_stream_is_one_chunk(simulate: Simulate, until: Until) -> None:
    """With the same events in it."""
    line = await (await simulate(tokens=40, coalesce=True)).line("gemini", stream=True)
    await until(lambda: line.data.endswith(b"\r\n0\r\n\r\n"))

    assert line.events == 40
    assert line.data.count(b"\r\n\r\n\r\n") == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_caller_that_leaves_while_waiting_is_noticed_at_once(
    simulate: Simulate, until: Until, clock: FakeClock, *, stream: bool
) -> None:
    """Before the first token; no time has to pass for it."""
    caller = await simulate(latency=60)
    line = await caller.line("openai", stream=stream)
    await until(lambda: clock.timers)

    line.leave()
    await until(lambda: not caller.simulator.stats().in_flight)

    assert caller.simulator.stats().disconnects == 1
    assert clock.timers == 0


async def test_a_caller_that_leaves_between_tokens_is_noticed_at_once(
    simulate: Simulate, until: Until, clock: FakeClock
) -> None:
    """And nothing more is made for it."""
    caller = await simulate(interval=60)
    line = await caller.line("gemini", stream=True)
    await until(lambda: line.events)

    line.leave()
    await until(lambda: not caller.simulator.stats().in_flight)

    assert caller.simulator.stats().disconnects == 1
    assert clock.timers == 0


async def test_a_caller_that_reads_no_further_and_leaves_is_noticed(simulate: Simulate, until: Until) -> None:
    """A stream that the connection cannot take any more waits for it, and ends with it."""
    caller = await simulate(tokens=200_000)
    line = await caller.line("gemini", stream=True)
    await until(lambda: line.events)
    line.pause()
    assert caller.simulator.stats().in_flight == 1

    line.leave()
    await until(lambda: not caller.simulator.stats().in_flight)

    assert caller.simulator.stats().disconnects == 1


async def test_a_caller_that_leaves_before_the_end_of_its_request_has_asked_nothing(
    simulate: Simulate, until: Until
) -> None:
    """It is not counted, and the simulator goes on."""
    caller = await simulate()
    line = await caller.line("gemini", missing_bytes=5)
    await until(lambda: line.sent)

    line.leave()

    assert (await caller.gemini()).status == 200
    assert caller.simulator.stats().requests == 1


async def test_a_large_request_is_read_to_its_end(simulate: Simulate) -> None:
    """Images come in many pieces."""
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * 900_000}}

    answer = await (await simulate()).gemini(contents=[{"parts": [image, {"text": "echo seen"}]}])

    assert b'"text": "seen"' in answer.body


async def test_a_caller_that_stays_is_no_disconnect(simulate: Simulate) -> None:
    """Plain, streamed or refused."""
    caller = await simulate(limits={"rpm": 2})

    for stream in (False, True, True):
        await caller.call("gemini", stream=stream)

    assert caller.simulator.stats().disconnects == 0


async def test_leaving_the_block_ends_every_answer(until: Until, serve: Serve, simulate: Simulate) -> None:
    """However long they would take, and without waiting for a caller; the port is free again."""
    simulator = Simulator(Options(port=0, latency=3600))
    async with simulator.serve() as url:
        caller = await simulate()
        caller.url = url
        line = await caller.line("gemini", stream=True)
        await until(lambda: simulator.stats().in_flight)

    await until(lambda: line.closed)
    assert simulator.stats().in_flight == 0
    again = Options(port=int(url.rpartition(":")[2]))
    assert await serve(Simulator(again)) == url


async def test_a_port_that_is_taken_is_an_error(serve: Serve) -> None:
    """The system's own."""
    url = await serve(Simulator(Options(port=0)))

    with pytest.raises(OSError, match="in use"):
        await serve(Simulator(Options(port=int(url.rpartition(":")[2]))))


@pytest.mark.parametrize("change", [{"port": -1}, {"latency": -0.5}, {"tokens": -1}, {"interval": -1.0}])
def test_options_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    """With the name of the option."""
    with pytest.raises(ValueError, match=next(iter(change))):
        Options(**change)  # type: ignore[arg-type]
