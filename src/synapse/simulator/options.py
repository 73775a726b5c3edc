"""What a simulator is asked to be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from synapse.domain.quota import Quota
from synapse.simulator.faults import Fault
from synapse.simulator.quota import Window
from synapse.simulator.rules import Rule


class Bodies(StrEnum):
    """How much the 429 of a quota tells."""

    FULL = "full"
    """Which limit, its value, and when to come back; of a day, with a delay that is much too short."""
    NO_VALUE = "no-value"
    """Which limit and when to come back, but not the value."""
    BARE = "bare"
    """Nothing: it is the same 429 as that of `--fail`."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulator answers. Raises `ValueError` for values that make no sense."""

    host: str = "127.0.0.1"
    port: int = 9100
    """0 takes any free port."""
    latency: float = 0.0
    """Seconds from a request to its first token."""
    tokens: int = 64
    """Output tokens of an answer that nothing else ends."""
    interval: float = 0.0
    """Seconds between two tokens."""
    coalesce: bool = False
    """Send a stream that has no interval in one piece, not event by event."""
    faults: tuple[Fault, ...] = ()
    replay: Path | None = None
    """The directory of recordings to answer from."""
    seed: int = 0
    """The same seed and the same requests in the same order give the same answers."""
    limits: Quota = Quota()
    """The quota of each project for each model."""
    rules: tuple[Rule, ...] = ()
    """Other limits for some of them; later ones win."""
    window: Window = Window.FIXED
    bodies: Bodies = Bodies.FULL
    projects: dict[str, str] = {}
    """The project of each key that shares one; any other key is a project of its own."""
    dead: frozenset[str] = frozenset()
    """Keys that are refused as invalid."""
    spent: frozenset[str] = frozenset()
    """Keys whose projects have no request left today."""

    def project(self, key: str) -> str:
        """Return the project of a key."""
        return self.projects.get(key, key)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        numbers = {name: getattr(self, name) for name in ("port", "latency", "tokens", "interval")}
        for name, number in (numbers | msgspec.structs.asdict(self.limits)).items():
            if number is not None and number < 0:
                raise ValueError(f"{name} is {number}: it cannot be less than 0")
        total = sum(fault.rate for fault in self.faults)
        if total > 1:
            raise ValueError(f"the rates of all faults add up to {total:g}: together they cannot exceed 1")
        for key in self.spent:
            if not self._has_day(self.project(key)):
                raise ValueError(f"the key …{key[-4:]} cannot have spent its day: it has no limit of a day (rpd)")

    def _has_day(self, project: str) -> bool:
        """Tell whether any requests of a project are limited by the day."""
        own = [rule.limits for rule in self.rules if rule.fits(project, rule.model)]
        return any(limits.rpd is not None for limits in (self.limits, *own))
