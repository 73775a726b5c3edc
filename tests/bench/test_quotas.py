"""The script: which runs, in which order, and what becomes of one that does not come to its end."""

from __future__ import annotations

import asyncio
import signal

import pytest

from acceptance.calls import Call
from acceptance.report import Check, Report
from acceptance.setup import bench
from quotas import Scenario, chosen, reported, run_all, scenarios
from servers import BenchError

KEYS = {"p": "only-key-0001"}


async def good(name: str) -> Report:
    """Come to an end."""
    return Report(name=name, checks=(Check("good", ok=True),))


async def endless(name: str) -> Report:
    """Never come to an end."""
    await asyncio.Event().wait()
    return await good(name)


async def broken(name: str) -> Report:
    """Fail to start."""
    raise BenchError(f"{name} did not start")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    """A mistyped name does not run nothing."""
    with pytest.raises(SystemExit, match="nothing is called floot; there are first-contact"):
        chosen(["floot"])


def test_what_is_asked_for_is_chosen() -> None:
    """Without a name, all of it."""
    assert list(chosen(["flood", "chaos"])) == ["flood", "chaos"]
    assert list(chosen([])) == list(scenarios())


def test_the_names_say_what_is_run() -> None:
    """Both kinds of minutes, with limits configured and learned, in both bands."""
    kinds = {
        f"{window}{how}{band}"
        for window in ("fixed", "trailing")
        for how in ("", "-learned")
        for band in ("", "-batch")
    }

    assert kinds < set(scenarios())


async def test_a_run_that_is_not_over_in_time_has_failed() -> None:
    """The others are still reported."""
    report = await reported("slow", endless, longest=0.01)

    assert not report.ok
    assert report.checks[0].what == "not over after 0 s"


async def test_a_run_that_does_not_start_has_failed() -> None:
    """With the reason."""
    assert (await reported("x", broken)).checks == (Check("x did not start", ok=False),)


async def test_a_run_that_breaks_has_failed() -> None:
    """A mistake of the run's own is told as one, and the others go on."""

    async def mistaken(_name: str) -> Report:
        raise ZeroDivisionError("by zero")

    reports = await run_all({"x": Scenario(mistaken), "y": Scenario(good)}, 2, print)

    assert [report.ok for report in reports] == [False, True]
    assert reports[0].checks[0].what == "ZeroDivisionError: by zero"


async def test_those_that_must_be_alone_are_and_the_others_share_the_places() -> None:
    """Reports come in the order asked, whatever the order of ends."""
    running: set[str] = set()
    together: dict[str, int] = {}

    async def noted(name: str) -> Report:
        running.add(name)
        for _ in range(5):
            await asyncio.sleep(0)
            together[name] = max(together.get(name, 0), len(running))
        running.remove(name)
        return await good(name)

    asked = {name: Scenario(noted, alone=name.startswith("alone")) for name in ("a", "alone-1", "b", "c", "alone-2")}
    told: list[str] = []

    reports = await run_all(asked, 2, told.append)

    assert [report.name for report in reports] == list(asked)
    assert (together["alone-1"], together["alone-2"]) == (1, 1)
    assert max(together.values()) == 2
    assert told[:4] == ["alone-1 …", "alone-1: ok", "alone-2 …", "alone-2: ok"]


async def test_a_task_goes_through_real_processes_and_survives_their_restart() -> None:
    """The simulator counts it; after kill -9 the server is there again, at another address."""
    async with bench(keys=KEYS, latency=0.0) as run:
        first = await run.callers.send(Call())
        before = run.server.url
        code = await run.server.restart(signal.SIGKILL)
        second = await run.callers.send(Call(stream=False))
        stats = await run.provider.stats()

    assert (first.failure, second.failure) == (None, None)
    assert (code, run.server.url != before, stats.requests) == (-signal.SIGKILL, True, 2)
    assert run.server.slots > 0


async def test_a_server_that_cannot_start_says_why() -> None:
    """The end of its log is in the error, and nothing is left running."""
    with pytest.raises(BenchError, match=r"(?s)serve-0 ended with \d.*nonsense"):
        async with bench(keys=KEYS, sections={"nonsense": {}}):
            pass
