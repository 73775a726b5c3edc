"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("synapse.testing.broker_contract", "synapse.testing.wire_contract")

from synapse.testing import FakeClock  # noqa: E402 - assertions in there are rewritten from the import on

settings.register_profile("synapse", deadline=None)
settings.load_profile("synapse")


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still until the test moves it."""
    return FakeClock()
