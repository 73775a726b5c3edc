"""The loads: the same one on the bare proxy and on Synapse in turn, round after round."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from machine import on_core
from plan import Plan
from results import Row, Sample
from rows import Rows, Samples, event_rows, latency_rows, paced_rows, request_rows
from servers import HERE, Bench, BenchError, Server, Start, upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

LOAD_TIMEOUT = 600
LOG_TAIL = 4000
PACE = 50.0
RAMP = 2.0


class Scenario(msgspec.Struct, frozen=True):
    """One load, and what its rows say."""

    name: str
    title: str
    plan: Plan
    rows: Rows
    events: int = 200
    """Events of a streamed answer."""
    pace: float = 0
    """Events a second that the upstream gives each stream; 0: as fast as it can."""
    grpc: bool = False
    """Over gRPC, which the bare proxy has not."""


def scenarios(seconds: float) -> list[Scenario]:
    """Return the loads, each with a window of so many seconds."""
    plain = Plan(seconds=seconds)
    stream = Plan(seconds=seconds, stream=True)
    steady = Plan(seconds=seconds, rate=1000, connections=64)
    paced = Plan(seconds=2 * seconds, stream=True, connections=500, ramp=RAMP)
    gemini = {"model": "benchg"}
    return [
        Scenario("plain", "plain", plain, request_rows),
        Scenario("stream", "streamed", stream, event_rows),
        Scenario("gemini-plain", "plain, gemini wire", msgspec.structs.replace(plain, **gemini), request_rows),
        Scenario("gemini-stream", "streamed, gemini wire", msgspec.structs.replace(stream, **gemini), event_rows),
        Scenario("grpc", "gRPC, plain", plain, request_rows, grpc=True),
        Scenario("grpc-stream", "gRPC, streamed", stream, event_rows, grpc=True),
        Scenario("latency", "latency at 1,000 requests/s", steady, latency_rows),
        Scenario("paced", "500 streams, 50 events/s each", paced, paced_rows, events=_lasting(paced), pace=PACE),
    ]


def _lasting(plan: Plan) -> int:
    """Return how many paced events keep the first stream going until the window ends."""
    return round(PACE * (plan.ramp + plan.warmup + plan.seconds + 1))


def measure(bench: Bench, scenario: Scenario, rounds: int, starts: Sequence[Start]) -> list[Row]:
    """Put the load on each server in turn, `rounds` times, and return its rows."""
    plan = msgspec.structs.replace(scenario.plan, marks=_marks(bench, scenario))
    with ExitStack() as stack:
        provider = stack.enter_context(upstream(bench, events=scenario.events, rate=scenario.pace))
        servers = [stack.enter_context(start(bench, provider)) for start in starts]
        servers = [server for server in servers if server.grpc or not scenario.grpc]
        samples: Samples = {server.name: [] for server in servers}
        for server in servers * rounds:
            samples[server.name].append(load(bench, server, plan, grpc=scenario.grpc))
    return scenario.rows(scenario.title, samples) if servers else []


def _marks(bench: Bench, scenario: Scenario) -> int:
    if bench.upstream is not None:
        return 0
    return scenario.events if scenario.plan.stream else 1


def load(bench: Bench, server: Server, plan: Plan, *, grpc: bool = False) -> Sample:
    """Put one load on one server, from the load's core.

    Raises BenchError when the load does not come to its end.
    """
    script, url = ("grpc_load.py", server.grpc) if grpc else ("load.py", f"{server.http}/generate")
    plan = msgspec.structs.replace(plan, url=url, pid=server.pid)
    argv = [sys.executable, str(HERE / script), msgspec.json.encode(plan).decode()]
    with on_core(bench.cores.load):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LOAD_TIMEOUT, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BenchError(f"the load on {server.name} failed:\n{done.stderr[-LOG_TAIL:]}")
    return msgspec.json.decode(done.stdout, type=Sample)
