"""The harness against what it calls the floor: if it counted wrong, its table would be worth nothing."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from importlib.metadata import requires
from itertools import pairwise
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import msgspec
import pytest

from footprint import installed
from machine import Cores
from measures import Scenario, load, measure
from plan import Plan
from results import Row, Sample, ratio
from rows import event_rows, latency_rows, request_rows
from run import chosen
from servers import Bench, BenchError, Server, floor, upstream
from synapse.protos import generate_pb2 as pb
from ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECONDS = 0.3
EVENTS = 20
PLAIN = Plan(seconds=SECONDS, warmup=0.1, connections=8)
STREAM = msgspec.structs.replace(PLAIN, stream=True, marks=EVENTS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Use whatever cores there are: figures do not matter here."""
    cores = sorted(os.sched_getaffinity(0))
    return Bench(Cores(cores[0], cores[-1], cores[-1]), tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def proxy(bench: Bench) -> Iterator[Server]:
    """Run the bare proxy in front of a canned provider with short streams."""
    with upstream(bench, events=EVENTS) as provider, floor(bench, provider) as server:
        yield server


def sample(**changes: float) -> Sample:
    """Return a sample of one busy second, with changes."""
    usual: dict[str, float] = {
        "seconds": 1.0, "requests": 100, "events": 400, "frames": 400, "reads": 200, "errors": 0,
        "p50": 0.001, "p99": 0.002, "cpu_seconds": 1.0, "core_busy": 1.0, "rss": 1 << 20,
    }  # fmt: skip
    return msgspec.convert({**usual, **changes}, Sample)


@pytest.mark.parametrize("model", ["bench", "benchg"])
def test_plain_answers_are_counted_once_and_cost_processor_time(bench: Bench, proxy: Server, model: str) -> None:
    """Each complete answer is one request with one text, on either wire."""
    seen = load(bench, proxy, msgspec.structs.replace(PLAIN, model=model))

    assert seen.errors == 0
    assert seen.requests > 50
    assert abs(seen.events - seen.requests) <= PLAIN.connections
    assert 0 < seen.p50 <= seen.p99 < SECONDS + 1
    assert seen.cpu_seconds > 0


@pytest.mark.parametrize("model", ["bench", "benchg"])
def test_streamed_events_are_counted_by_text_and_by_terminator(bench: Bench, proxy: Server, model: str) -> None:
    """No event of a complete answer is missed, whatever ends its lines and however it was cut."""
    seen = load(bench, proxy, msgspec.structs.replace(STREAM, model=model))

    under_way = STREAM.connections * EVENTS
    assert seen.errors == 0
    assert seen.requests > 10
    assert abs(seen.events - seen.requests * EVENTS) <= under_way
    assert seen.frames > seen.events * 0.9


def test_answers_with_texts_missing_are_errors(bench: Bench, proxy: Server) -> None:
    """A server that lost an event would not look fast."""
    seen = load(bench, proxy, msgspec.structs.replace(STREAM, marks=EVENTS + 1))

    assert seen.requests > 10
    assert seen.errors == seen.requests


def test_a_fixed_rate_sends_what_is_due_and_no_more(bench: Bench, proxy: Server) -> None:
    """Requests are as many as the schedule has, however fast the answers come."""
    seen = load(bench, proxy, msgspec.structs.replace(PLAIN, rate=200))

    assert seen.errors == 0
    assert 0.7 * 200 * SECONDS < seen.requests < 1.3 * 200 * SECONDS


def test_a_fixed_rate_counts_the_wait_of_requests_that_found_no_connection(bench: Bench) -> None:
    """One connection cannot carry the rate, so latency grows with the backlog instead of the rate shrinking unseen."""
    with upstream(bench, events=5, rate=100) as provider, floor(bench, provider) as server:
        plan = msgspec.structs.replace(STREAM, connections=1, rate=1000, marks=5)
        seen = load(bench, server, plan)

    assert seen.errors == 0
    assert seen.requests < 20
    assert seen.p50 > SECONDS / 10


def test_a_load_of_so_many_requests_ends_there(bench: Bench, proxy: Server) -> None:
    """Growth of memory is measured over an exact number of answers."""
    seen = load(bench, proxy, msgspec.structs.replace(PLAIN, requests=300))

    assert 300 <= seen.requests < 300 + PLAIN.connections


def test_paced_streams_keep_the_rate_and_say_how_late_each_event_is(bench: Bench) -> None:
    """The upstream's schedule is in the events' text, and the load reads it."""
    scenario = Scenario("paced", "paced", msgspec.structs.replace(STREAM, ramp=0.1), latency_rows, events=60, pace=50.0)

    rows = measure(bench, scenario, 1, [floor])

    assert [row.errors for row in rows] == [0, 0]
    assert 0 < rows[0].figures["floor"] <= rows[1].figures["floor"] < 1000


def test_what_was_started_is_stopped_when_a_measurement_fails(bench: Bench) -> None:
    """No server outlives an error."""
    pids: list[int] = []

    with pytest.raises(ZeroDivisionError):
        _fail_beside_a_server(bench, pids)

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_load_without_a_server_says_so(bench: Bench, proxy: Server) -> None:
    """A load that cannot connect is an error with its reason, not a row of zeros."""
    nobody = msgspec.structs.replace(proxy, http="http://127.0.0.1:1")

    with pytest.raises(BenchError, match="the load on floor failed"):
        load(bench, nobody, PLAIN)


async def test_calls_over_grpc_are_counted(bench: Bench) -> None:
    """The gRPC load counts calls, texts and messages, and misses none."""
    async with _grpc_server() as server:
        seen = await asyncio.to_thread(load, bench, server, msgspec.structs.replace(PLAIN, marks=2), grpc=True)

    assert seen.errors == 0
    assert seen.requests > 10
    assert abs(seen.events - 2 * seen.requests) <= 2 * PLAIN.connections


async def test_a_ticker_makes_up_for_ticks_it_was_too_busy_for() -> None:
    """Every tick is delivered with the instant it was due."""
    dues: list[float] = []
    enough = asyncio.Event()

    def tick(due: float) -> None:
        dues.append(due)
        if len(dues) == 20:
            enough.set()

    ticker = Ticker(0.001, tick)
    start = time.monotonic()
    while time.monotonic() - start < 0.02:
        pass

    await enough.wait()
    ticker.close()

    steps = [later - earlier for earlier, later in pairwise(dues)]
    assert steps == pytest.approx([0.001] * len(steps), abs=1e-6)


def test_a_row_has_the_medians_of_the_rounds() -> None:
    """One disturbed round does not move the figure."""
    rounds = {"floor": [sample(requests=count) for count in (100, 5, 110)], "synapse": [sample(requests=80)]}

    row = request_rows("plain", rounds)[0]

    assert row.figures == {"floor": 100.0, "synapse": 80.0}
    assert ratio(row.figures) == pytest.approx(0.8)
    assert ratio(row.cpu) == pytest.approx(1.25)


@pytest.mark.parametrize(("core", "reason"), [(0.8, "the load was the limit"), (1.0, "others used it")])
def test_a_row_says_when_the_server_was_not_the_limit(core: float, reason: str) -> None:
    """A server with time to spare was not measured at its limit, and the row says why."""
    row = event_rows("streamed", {"floor": [sample(cpu_seconds=0.8, core_busy=core)]})[0]

    assert row.note == f"events per read: floor 2.0; floor had 80% of its core, {reason}"


def test_latency_rows_say_what_is_added() -> None:
    """Synapse's own part of the time is the difference."""
    rows = latency_rows("latency", {"floor": [sample()], "synapse": [sample(p50=0.0015, p99=0.004)]})

    assert [row.note.split(";")[0] for row in rows] == ["adds 0.50 ms", "adds 2.00 ms"]


def test_the_size_of_the_dependencies_has_those_of_dependencies_in_it() -> None:
    """What is required is more than what the package names itself."""
    row = installed()[0]

    named = [line for line in requires("synapse-queue") or () if "extra ==" not in line]
    assert int(row.note.split()[0]) > len(named)
    assert row.figures["synapse"] > 1


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    """A mistyped name does not measure nothing."""
    with pytest.raises(SystemExit, match="nothing is called plane; there are plain"):
        chosen({"plain": lambda: [Row("plain", "requests/s", {})]}, ["plane"])


def _fail_beside_a_server(bench: Bench, pids: list[int]) -> None:
    with upstream(bench) as provider, floor(bench, provider) as server:
        pids.append(server.pid)
        _ = 1 / 0


@asynccontextmanager
async def _grpc_server() -> AsyncIterator[Server]:
    async def answer(_request: pb.Request, _context: object) -> AsyncIterator[pb.Response]:
        yield pb.Response(chunk="one@")
        yield pb.Response(chunk="two@")

    method = grpc.unary_stream_rpc_method_handler(
        answer, request_deserializer=pb.Request.FromString, response_serializer=pb.Response.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("synapse.Generate", {"GenerateTask": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Server("synapse", os.getpid(), "", 0.0, f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
