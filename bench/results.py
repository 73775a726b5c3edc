"""What a measurement yields: frozen figures, and nothing that computes them."""

from __future__ import annotations

import msgspec

NOTHING = 0.05
"""Figures below this, in any unit of the table, are noise to divide by."""


class Sample(msgspec.Struct, frozen=True):
    """What one load saw of one server in its window."""

    seconds: float
    """How long the window was."""
    requests: int
    """Answers that were complete."""
    events: int
    """Texts of the upstream that arrived, however they were cut into events."""
    frames: int
    """Server-sent events or gRPC messages that arrived."""
    reads: int
    """Times the socket had something: `events / reads` is how much arrived together."""
    errors: int
    """Answers with an error status, cut short, or without all of their texts."""
    p50: float
    """Median seconds: of a request since it was due, or of a paced event since it was due at the upstream."""
    p99: float
    cpu_seconds: float
    """Processor time the server took."""
    core_busy: float
    """Share of the window in which the server's core did anything, for whomever."""
    rss: int
    """Bytes of memory the server held at the end."""

    @property
    def server_busy(self) -> float:
        """Share of its core that the server took."""
        return self.cpu_seconds / self.seconds


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the table: medians of the rounds, by server (`synapse`, `floor`)."""

    name: str
    unit: str
    figures: dict[str, float]
    cpu: dict[str, float] = {}
    """The server's processor time for each request or event, microseconds."""
    errors: int = 0
    """In all rounds together."""
    note: str = ""


def ratio(figures: dict[str, float]) -> float | None:
    """Return Synapse's figure over the bare proxy's; None where one is missing, or where theirs is next to nothing."""
    floor = figures.get("floor", 0.0)
    return figures["synapse"] / floor if floor > NOTHING and "synapse" in figures else None
