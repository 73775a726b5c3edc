"""What a simulator is asked to be."""

from __future__ import annotations

from pathlib import Path

import msgspec

from synapse.simulator.faults import Fault
from synapse.simulator.quota import Limits, Window


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
    limits: Limits = Limits()
    """The quota of each project for each model."""
    window: Window = Window.FIXED
    projects: dict[str, str] = {}
    """The project of each key that shares one; any other key is a project of its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("port", "latency", "tokens", "interval"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it cannot be less than 0")
        total = sum(fault.rate for fault in self.faults)
        if total > 1:
            raise ValueError(f"the rates of all faults add up to {total:g}: together they cannot exceed 1")
