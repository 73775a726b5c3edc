"""What tests of Synapse, and of parts written for it, stand on: owned time, scripted providers, contracts."""

from synapse.testing.clock import FakeClock
from synapse.testing.provider import HANG, Call, ScriptedProvider

__all__ = ["HANG", "Call", "FakeClock", "ScriptedProvider"]
