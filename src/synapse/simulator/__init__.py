"""A stand-in for LLM providers: it speaks as they do on the wire, and has no model behind it."""

from __future__ import annotations

from synapse.domain.quota import Measure, Quota
from synapse.simulator.accounts import QuotaStats
from synapse.simulator.app import Simulator
from synapse.simulator.faults import Fault, FaultKind, parse_fault
from synapse.simulator.options import Bodies, Options
from synapse.simulator.quota import Window
from synapse.simulator.rules import Rule, parse_rule
from synapse.simulator.stats import KeyStats, Stats

__all__ = [
    "Bodies",
    "Fault",
    "FaultKind",
    "KeyStats",
    "Measure",
    "Options",
    "Quota",
    "QuotaStats",
    "Rule",
    "Simulator",
    "Stats",
    "Window",
    "parse_fault",
    "parse_rule",
]
