"""What the memory broker has beside the contract: its shutdown, what it logs, and whom it tells of its ledgers."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from synapse.brokers.base import TaskEnd
from synapse.brokers.memory import MemoryBroker
from synapse.domain.errors import ProviderFailed, ShuttingDown
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure, Quota, Violation
from synapse.domain.task import Route, TaskState
from synapse.scheduling.breaker import THRESHOLD
from synapse.scheduling.settlement import Fail, GiveUp, Release, Retry, Settlement, Succeed
from synapse.scheduling.slots import Slots
from synapse.testing import FakeClock
from synapse.testing.broker_contract import make_task
from synapse.testing.broker_contract.props import FINISH, PLENTY, PROVIDER, keys
from synapse.testing.broker_contract.reader import Reader


@pytest.fixture
def ends() -> list[TaskEnd]:
    """Return where the ends of tasks are told."""
    return []


@pytest.fixture
def broker(clock: FakeClock, ends: list[TaskEnd]) -> MemoryBroker:
    """Return a broker with one key."""
    return MemoryBroker({PROVIDER: keys("a")}, clock=clock, max_size=10, on_end=ends.append)


async def submit(broker: MemoryBroker, task_id: str) -> Reader:
    """Submit a task."""
    task = make_task(task_id)
    await broker.enqueue(task)
    return Reader(task, broker.subscribe(task_id))


async def test_the_broker_is_idle_when_nothing_is_held(broker: MemoryBroker, clock: FakeClock) -> None:
    """A task that is over but still read counts; an empty broker is idle at once."""
    await broker.idle()
    first, second = await submit(broker, "t1"), await submit(broker, "t2")
    waiting = asyncio.ensure_future(broker.idle())

    await broker.cancel("t1")
    await broker.cancel("t2")
    await first.leave()
    await clock.elapse(0.0)
    assert not waiting.done()
    await second.leave()

    await waiting


async def test_a_task_that_comes_meanwhile_is_waited_for_too(broker: MemoryBroker, clock: FakeClock) -> None:
    """Idle means that nothing is held at the moment it is said."""
    first = await submit(broker, "t1")
    waiting = asyncio.ensure_future(broker.idle())
    await clock.elapse(0.0)

    await first.leave()
    second = await submit(broker, "t2")
    await clock.elapse(0.0)
    assert not waiting.done()
    await second.leave()

    await waiting


async def test_closing_ends_all_there_is(broker: MemoryBroker, clock: FakeClock, ends: list[TaskEnd]) -> None:
    """Whether it runs, backs off or waits, each reader hears why; the attempt that runs is stopped."""
    running, delayed, waiting = [await submit(broker, f"t{number}") for number in range(3)]
    lease, other = broker.lease(Slots(2)), broker.lease(Slots(2))
    assert lease is not None
    assert other is not None
    await broker.settle(other, Retry(30.0, counted=True, reason="failed"))

    broker.close(ShuttingDown("the server shut down"))

    assert lease.revoked
    await broker.settle(lease, GiveUp())
    for reader in (running, delayed, waiting):
        assert (await reader.error()).code == "shutting_down"
        await reader.leave()
    assert [end.state for end in ends] == [TaskState.CANCELLED] * 3
    assert broker.stats().held == 0
    assert clock.timers == 0


# --- what is logged


def failing(kind: FailureClass, message: str, *, retry_after: float | None = None) -> Retry:
    """Make what becomes of an attempt that failed so."""
    return Retry(0.0, counted=False, reason=message, failure=Failure(kind, message, retry_after=retry_after))


async def settle_all(broker: MemoryBroker, settlements: list[Settlement]) -> None:
    """Lease a task for each of them at once; settle one after the other."""
    leases = []
    for number, _ in enumerate(settlements):
        await submit(broker, f"t{number}")
        leases.append(broker.lease(Slots(100)))
    for lease, settlement in zip(leases, settlements, strict=True):
        assert lease is not None
        await broker.settle(lease, settlement)


async def test_a_closed_model_is_logged_once_and_without_the_key(broker: MemoryBroker) -> None:
    """With the provider's reason and for how long; again only when it is for longer, which for good is."""
    with capture_logs() as logs:
        await settle_all(
            broker,
            [
                failing(FailureClass.QUOTA_MINUTE, "used up", retry_after=32.0),
                failing(FailureClass.QUOTA_MINUTE, "used up", retry_after=16.0),
                failing(FailureClass.NOT_IN_TIER, "limit: 0"),
                failing(FailureClass.NOT_IN_TIER, "limit: 0"),
            ],
        )

    assert [(entry["event"], entry["seconds"], entry["model"], entry["reason"]) for entry in logs] == [
        ("quota is used up", 32.0, "m", "used up"),
        ("model is not in this project's tier", None, "m", "limit: 0"),
    ]
    assert {(entry["log_level"], entry["provider"], entry["project"]) for entry in logs} == {("warning", "p", "a")}
    assert "key-of-a" not in str(logs)


async def test_a_dead_key_is_named_once_by_its_last_four_characters(clock: FakeClock) -> None:
    """However many attempts were under way with it."""
    broker = MemoryBroker({PROVIDER: keys("accounting")}, clock=clock, max_size=10)
    with capture_logs() as logs:
        await settle_all(broker, [failing(FailureClass.CREDENTIAL_DEAD, "API key not valid")] * 3)

    (entry,) = logs
    assert (entry["event"], entry["credential"], entry["reason"]) == (
        "credential benched",
        "…ting",
        "API key not valid",
    )
    assert "key-of-accounting" not in str(logs)


async def test_a_learned_limit_is_logged(broker: MemoryBroker) -> None:
    """As what it is, beside that it is used up."""
    violations = (Violation(Measure.RPM, 15), Violation(Measure.TPM, 250_000))
    failure = Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=32.0, violations=violations)
    with capture_logs() as logs:
        await settle_all(broker, [Retry(0.0, counted=False, reason="used up", failure=failure)])

    assert [(entry["event"], entry["reason"], entry["seconds"]) for entry in logs] == [
        ("limits learned", "rpm 15, tpm 250000", None),
        ("quota is used up", "used up", 32.0),
    ]


async def test_a_circuit_is_logged_when_it_opens_and_when_it_closes(broker: MemoryBroker) -> None:
    """Not with each of the failures that lead there, nor with each answer."""
    fail = Fail(ProviderFailed("boom"), Failure(FailureClass.TRANSIENT, "boom"))
    with capture_logs() as logs:
        await settle_all(broker, [*[fail] * (THRESHOLD + 1), Succeed(FINISH), Succeed(FINISH)])

    assert [(entry["event"], entry["reason"]) for entry in logs] == [
        ("circuit opened", "boom"),
        ("circuit closed", "it works"),
    ]


async def test_a_fallback_is_logged(broker: MemoryBroker) -> None:
    """For which task, from where, to what, and why; it is no reason for a warning."""
    routes = (Route("spare", PROVIDER, "m2"),)
    await broker.enqueue(msgspec.structs.replace(make_task("t1"), fallbacks=routes))
    lease = broker.lease(Slots(1))
    assert lease is not None
    gone = Failure(FailureClass.MODEL_GONE, "no such model")
    with capture_logs() as logs:
        await broker.settle(lease, Retry(0.0, counted=True, reason="no such model", failure=gone, fall_back=True))

    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("task falls back", "info")
    assert (entry["task"], entry["model"], entry["to"], entry["reason"]) == ("t1", "m", "spare", "no such model")


# --- who is told of the ledgers


@pytest.mark.parametrize(
    ("settlement", "urgent"),
    [
        (Succeed(FINISH), False),
        (Release(), False),
        (Retry(0.0, counted=True, reason="boom", failure=Failure(FailureClass.TRANSIENT, "boom")), False),
        (failing(FailureClass.CREDENTIAL_DEAD, "API key not valid"), True),
        (failing(FailureClass.QUOTA_DAY, "per day"), True),
        (failing(FailureClass.NOT_IN_TIER, "limit: 0"), True),
    ],
    ids=["succeed", "release", "transient", "dead key", "day spent", "not in tier"],
)
async def test_what_a_settlement_teaches_must_not_be_lost(
    clock: FakeClock, settlement: Settlement, *, urgent: bool
) -> None:
    """Each changes the ledger; who keeps it hurries where the provider has said something new."""
    told: list[bool] = []

    def on_change(*, urgent: bool) -> None:
        told.append(urgent)

    broker = MemoryBroker({PROVIDER: keys("a")}, clock=clock, max_size=10, on_change=on_change)

    await settle_all(broker, [settlement])

    assert told == [urgent]


@pytest.mark.parametrize(("quota", "told_at_start"), [(PLENTY, []), (Quota(rpd=50), [True])], ids=["minute", "day"])
async def test_a_permit_of_the_day_is_kept_before_it_is_used(
    clock: FakeClock, quota: Quota, told_at_start: list[bool]
) -> None:
    """A crash must not forget it: where days are limited the keeper is told at the start; of headers, without haste."""
    told: list[bool] = []

    def on_change(*, urgent: bool) -> None:
        told.append(urgent)

    broker = MemoryBroker({PROVIDER: keys("a", quota=quota)}, clock=clock, max_size=10, on_change=on_change)
    await submit(broker, "t1")
    lease = broker.lease(Slots(1))
    assert lease is not None
    assert told == told_at_start

    broker.hear(lease, [Headroom(Measure.RPM, limit=100, remaining=99)])

    assert told == [*told_at_start, False]


async def test_a_reader_that_leaves_by_an_error_leaves(broker: MemoryBroker, ends: list[TaskEnd]) -> None:
    """The block that reads may end in any way: the task is cancelled, the error goes on."""
    await broker.enqueue(make_task("t1"))

    with pytest.raises(ZeroDivisionError):
        async with broker.subscribe("t1"):
            raise ZeroDivisionError

    assert [end.state for end in ends] == [TaskState.CANCELLED]


async def test_the_end_of_a_task_needs_nobody_to_hear_of_it(clock: FakeClock) -> None:
    """Without anyone to tell, tasks end all the same."""
    broker = MemoryBroker({PROVIDER: keys()}, clock=clock, max_size=10)
    reader = await submit(broker, "t1")

    await broker.cancel("t1")

    assert (await reader.error()).code == "cancelled"
