"""What a ledger has come to know, for the log."""

from __future__ import annotations

import msgspec


class News(msgspec.Struct, frozen=True):
    """One thing that a failure or an answer taught. Never contains a key."""

    event: str
    """What happened, in a few words."""
    credential: str | None
    """The label of the credential it was learned from."""
    project: str | None
    model: str
    until: float | None
    """UTC; `math.inf` is for good; None where nothing waits for it."""
    reason: str
