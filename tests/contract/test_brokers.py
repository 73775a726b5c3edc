"""Every broker keeps to the contract."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from synapse.brokers.memory import MemoryBroker
from synapse.testing import FakeClock
from synapse.testing.broker_contract import CONTRACT, OpenSetting, Scenario, Setting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from synapse.brokers.base import TaskEnd
    from synapse.scheduling.ledger import Ledger


@asynccontextmanager
async def memory(ledgers: Mapping[str, Ledger], *, max_size: int) -> AsyncIterator[Setting]:
    """Open a memory broker."""
    clock = FakeClock()
    ends: list[TaskEnd] = []
    broker = MemoryBroker(ledgers, clock=clock, max_size=max_size, on_end=ends.append)
    yield Setting(broker, clock, clock.elapse, ends)


@pytest.mark.parametrize("scenario", CONTRACT, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("open_setting", [memory], ids=lambda opened: opened.__name__)
async def test_a_broker_keeps_to_the_contract(open_setting: OpenSetting, scenario: Scenario) -> None:
    """Each scenario of the contract plays out as it must."""
    await scenario(open_setting)
