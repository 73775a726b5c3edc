"""What a task's log holds."""

from __future__ import annotations

from synapse.brokers.base import LeaseLost
from synapse.domain.errors import ProviderFailed
from synapse.domain.events import Delta, Restart
from synapse.domain.task import TaskState
from synapse.scheduling.settlement import Fail, Release, Retry, Succeed
from synapse.testing.broker_contract.props import FINISH, deltas
from synapse.testing.broker_contract.reader import refused
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, staged


async def entries_are_numbered_and_the_finish_is_last(open_setting: OpenSetting) -> None:
    """Ids are `(run, seq)` from `(1, 1)`, in the order of writing."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()

        await stage.publish(lease, "a", "b")
        await stage.publish(lease, "c")
        await stage.settle(lease, Succeed(FINISH))

        assert await reader.read_to_the_end() == [
            ((1, 1), Delta("a")),
            ((1, 2), Delta("b")),
            ((1, 3), Delta("c")),
            ((1, 4), FINISH),
        ]


async def a_log_can_be_read_after_its_end(open_setting: OpenSetting) -> None:
    """A reader that comes when all is written reads all of it."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        await stage.succeed(await stage.lease(), "a", "b")

        assert [event for _, event in await reader.read()] == [*deltas("a", "b"), FINISH]
        assert stage.broker.stats().held == 1


async def the_end_of_a_task_is_told_once(open_setting: OpenSetting) -> None:
    """What is told of a task's end has its durations, its attempts and its tokens."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        await stage.elapse(2.0)
        lease = await stage.lease()
        await stage.elapse(3.0)
        await stage.publish(lease, "a")
        await stage.elapse(4.0)
        assert not stage.ends
        await stage.settle(lease, Succeed(FINISH))

        end = stage.end_of(reader)
        assert (end.task, end.state, end.attempts, end.error) == (reader.task, TaskState.SUCCEEDED, 1, None)
        assert (end.queued, end.first_token, end.total) == (2.0, 5.0, 9.0)
        assert (end.input_tokens, end.output_tokens) == (3, 5)


async def a_failed_task_ends_with_its_error(open_setting: OpenSetting) -> None:
    """The error a task fails with is the last entry of its log and part of what is told of its end."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        await stage.publish(lease, "a")

        await stage.settle(lease, Fail(ProviderFailed("it is on fire")))

        error = await reader.error()
        assert (error.code, error.message) == ("provider_failed", "it is on fire")
        assert [event_id for event_id, _ in reader.entries] == [(1, 1), (1, 2)]
        end = stage.end_of(reader)
        assert (end.state, end.attempts, end.output_tokens) == (TaskState.FAILED, 1, None)
        assert end.error is not None
        assert end.error.code == "provider_failed"


async def a_restart_precedes_the_text_that_replaces_what_was_written(open_setting: OpenSetting) -> None:
    """A reader that has seen text of a failed attempt is told that it is void before any of the next comes."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        await stage.publish(lease, "void")
        await stage.settle(lease, Retry(0.0, counted=True, reason="cut"))

        await stage.succeed(await stage.lease(), "valid")

        events = [event for _, event in await reader.read_to_the_end()]
        assert [type(event) for event in events] == [Delta, Restart, Delta, type(FINISH)]
        assert events[2] == Delta("valid")
        assert reader.entries[1][0][0] == 2


async def nothing_restarts_where_nothing_was_written(open_setting: OpenSetting) -> None:
    """Attempts that failed before their first text leave no trace in the log; each that wrote leaves one restart."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        await stage.settle(await stage.lease(), Retry(0.0, counted=True, reason="refused"))
        lease = await stage.lease()
        await stage.publish(lease, "void")
        await stage.settle(lease, Release())
        await stage.settle(await stage.lease(), Retry(0.0, counted=True, reason="refused"))

        await stage.succeed(await stage.lease(), "valid")

        events = [event for _, event in await reader.read_to_the_end()]
        assert [type(event) for event in events] == [Delta, Restart, Delta, type(FINISH)]


async def a_log_takes_nothing_after_its_end(open_setting: OpenSetting) -> None:
    """The first end counts: later writes and settlements change nothing."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        await stage.succeed(lease, "a")

        await refused(LeaseLost, stage.broker.publish(lease, deltas("b")))
        await stage.broker.settle(lease, Fail(ProviderFailed("too late")))
        await stage.broker.settle(lease, Retry(0.0, counted=True, reason="too late"))
        await stage.broker.cancel(reader.task.id)

        assert [event for _, event in await reader.read_to_the_end()] == [*deltas("a"), FINISH]
        assert stage.end_of(reader).state is TaskState.SUCCEEDED
        await stage.lease_nothing()


SCENARIOS: tuple[Scenario, ...] = (
    entries_are_numbered_and_the_finish_is_last,
    a_log_can_be_read_after_its_end,
    the_end_of_a_task_is_told_once,
    a_failed_task_ends_with_its_error,
    a_restart_precedes_the_text_that_replaces_what_was_written,
    nothing_restarts_where_nothing_was_written,
    a_log_takes_nothing_after_its_end,
)
