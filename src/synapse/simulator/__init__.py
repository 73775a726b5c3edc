"""A stand-in for LLM providers: it speaks as they do on the wire, and has no model behind it."""

from __future__ import annotations

from synapse.simulator.app import Simulator
from synapse.simulator.faults import Fault, FaultKind, parse_fault
from synapse.simulator.options import Options
from synapse.simulator.quota import Limits, Window
from synapse.simulator.stats import KeyStats, Stats

__all__ = ["Fault", "FaultKind", "KeyStats", "Limits", "Options", "Simulator", "Stats", "Window", "parse_fault"]
