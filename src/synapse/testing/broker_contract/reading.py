"""How logs are read: waiting, waking, and readers slower than their writers."""

from __future__ import annotations

import asyncio

from synapse.brokers.base import Lease, LeaseLost
from synapse.domain.events import Delta
from synapse.testing.broker_contract.props import FINISH, deltas
from synapse.testing.broker_contract.reader import promptly
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Stage, staged

_PIECE = "x" * 1000
_MUCH = 8_000
"""Pieces of an answer too large to be kept for a reader that does not read: 8 MB."""
_BOUND = 2_000
"""Pieces that may be on their way to a reader: 2 MB."""


async def silence_is_told_after_the_readers_patience(open_setting: OpenSetting) -> None:
    """A reader without news gets an empty answer when its patience ends, not before, and again the next time."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        for _ in range(2):
            waiting = asyncio.ensure_future(reader.wait(5.0))
            await stage.elapse(4.5)
            assert not waiting.done()

            await stage.elapse(0.5)

            assert not await promptly(waiting, "the end of a reader's patience")


async def patience_counts_anew_each_time(open_setting: OpenSetting) -> None:
    """What a reader waited before does not shorten its next wait, nor does a longer patience before delay it."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        waiting = asyncio.ensure_future(reader.wait(5.0))
        await stage.elapse(3.0)
        await stage.publish(lease, "a")
        assert await promptly(waiting, "an entry")

        waiting = asyncio.ensure_future(reader.wait(4.0))
        await stage.elapse(3.5)
        assert not waiting.done()
        await stage.elapse(0.5)
        assert not await promptly(waiting, "the end of a reader's patience")

        waiting = asyncio.ensure_future(reader.wait(100.0))
        await stage.elapse(1.0)
        await stage.publish(lease, "b")
        assert await promptly(waiting, "an entry")
        waiting = asyncio.ensure_future(reader.wait(1.0))
        await stage.elapse(1.0)
        assert not await promptly(waiting, "the end of a shorter patience")


async def a_waiting_reader_wakes_at_an_entry(open_setting: OpenSetting) -> None:
    """Whoever waits for an entry has it without any passing of time."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        waiting = asyncio.ensure_future(reader.read())
        await stage.elapse(0)
        assert not waiting.done()

        await stage.publish(lease, "a")

        assert await promptly(waiting, "the reader's waking") == [((1, 1), Delta("a"))]


async def a_reader_drains_all_there_is(open_setting: OpenSetting) -> None:
    """Entries that came while the reader was busy are read at once, each one once."""
    async with staged(open_setting) as stage:
        reader = await stage.submit()
        lease = await stage.lease()
        for text in "abc":
            await stage.publish(lease, text)

        assert [event for _, event in await reader.read()] == deltas("a", "b", "c")

        await stage.publish(lease, "d")
        assert [event for _, event in await reader.read()] == deltas("d")


async def a_slow_reader_holds_back_its_own_writer_only(open_setting: OpenSetting) -> None:
    """Of an endless answer no more is kept than a bound; other tasks go on; all of it arrives when it is read."""
    async with staged(open_setting) as stage:
        slow, quick = await stage.submit(), await stage.submit()
        lease, other = await stage.lease(), await stage.lease()
        writer = _Writer(stage, lease)
        writing = asyncio.ensure_future(writer.write_much())
        await stage.elapse(60.0)
        assert writer.written < _BOUND

        await stage.succeed(other, "quick")
        assert [event for _, event in await quick.read_to_the_end()] == [*deltas("quick"), FINISH]
        assert not writing.done()

        reading = asyncio.ensure_future(slow.read_to_the_end())
        await promptly(writing, "the end of a writer whose reader reads")
        await stage.succeed(lease)
        entries = await promptly(reading, "the end of the log")
        assert [event_id for event_id, _ in entries] == [(1, seq) for seq in range(1, _MUCH + 2)]
        assert all(event == Delta(_PIECE) for _, event in entries[:-1])


async def a_held_back_writer_goes_on_when_its_task_ends(open_setting: OpenSetting) -> None:
    """A writer that waits for its reader does not wait for one that has gone, or that asked for the end."""
    async with staged(open_setting) as stage:
        leaver, canceller = await stage.submit(), await stage.submit()
        writers = [_Writer(stage, await stage.lease()) for _ in range(2)]
        writing = [asyncio.ensure_future(writer.write_much()) for writer in writers]
        await stage.elapse(0)

        await leaver.leave()
        await stage.broker.cancel(canceller.task.id)

        for one in writing:
            await promptly(one, "the end of a writer whose task is over")
        assert all(writer.lost for writer in writers)


async def tiny_pieces_are_bounded_too(open_setting: OpenSetting) -> None:
    """What is kept for a reader that does not read is bounded in entries as it is in text."""
    async with staged(open_setting) as stage:
        await stage.submit()
        writer = _Writer(stage, await stage.lease(), piece="", count=1_000_000)
        writing = asyncio.ensure_future(writer.write_much())

        await stage.elapse(0)

        assert not writing.done()
        assert writer.written < 100_000
        writing.cancel()


class _Writer:
    """An attempt that writes as fast as it may."""

    def __init__(self, stage: Stage, lease: Lease, *, piece: str = _PIECE, count: int = _MUCH) -> None:
        self.written = 0
        self.lost = False
        self._stage = stage
        self._lease = lease
        self._piece = deltas(piece)
        self._count = count

    async def write_much(self) -> None:
        try:
            for _ in range(self._count):
                await self._stage.broker.publish(self._lease, self._piece)
                self.written += 1
        except LeaseLost:
            self.lost = True


SCENARIOS: tuple[Scenario, ...] = (
    silence_is_told_after_the_readers_patience,
    patience_counts_anew_each_time,
    a_waiting_reader_wakes_at_an_entry,
    a_reader_drains_all_there_is,
    a_slow_reader_holds_back_its_own_writer_only,
    a_held_back_writer_goes_on_when_its_task_ends,
    tiny_pieces_are_bounded_too,
)
