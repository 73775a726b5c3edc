"""What every broker keeps to, as scenarios that need no test framework.

Each of `CONTRACT` takes a way to open a broker in a given setting, plays a scenario and raises AssertionError where the
broker does not keep to it:

    @pytest.mark.parametrize("scenario", CONTRACT, ids=lambda scenario: scenario.__name__)
    async def test_the_contract(scenario: Scenario) -> None:
        await scenario(open_my_broker)
"""

from synapse.testing.broker_contract import (
    bands,
    circuit,
    credentials,
    ending,
    fallbacks,
    lanes,
    leaving,
    log,
    reading,
    retries,
    waiting,
    windows,
)
from synapse.testing.broker_contract.props import make_task
from synapse.testing.broker_contract.stage import OpenSetting, Scenario, Setting

CONTRACT: tuple[Scenario, ...] = (
    *lanes.SCENARIOS,
    *bands.SCENARIOS,
    *log.SCENARIOS,
    *reading.SCENARIOS,
    *retries.SCENARIOS,
    *ending.SCENARIOS,
    *leaving.SCENARIOS,
    *credentials.SCENARIOS,
    *windows.SCENARIOS,
    *waiting.SCENARIOS,
    *circuit.SCENARIOS,
    *fallbacks.SCENARIOS,
)

__all__ = ["CONTRACT", "OpenSetting", "Scenario", "Setting", "make_task"]
