"""A task: one generation accepted by Synapse."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.request import Request


class TaskState(StrEnum):
    """Where a task stands. `queued → running → succeeded / failed / cancelled / expired`."""

    QUEUED = "queued"
    """In its lane; holds no slot and no connection. Also between two attempts."""
    RUNNING = "running"
    """Leased to a worker."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It waited longer than it was allowed to."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where a model code leads."""

    code: str
    provider: str
    """By its name in the configuration."""
    model: str
    """The provider's own name for the model."""


class Task(msgspec.Struct, frozen=True, gc=False):
    """What is fixed about a task when it is accepted. What changes is its broker's business."""

    id: str
    request: Request
    provider: str
    """The provider that has the model, by its name in the configuration."""
    model: str
    """The provider's own name for the model."""
    created_at: float
    """UTC."""
    max_wait: float
    """Seconds it may wait in its lane, all waits together."""
    timeout: float
    """Seconds it may take as a whole."""
    caller: Caller = ANONYMOUS
    band: Band = Band.INTERACTIVE
    """No more urgent than the caller's."""
    fallbacks: tuple[Route, ...] = ()
    """Where it may go instead, the first choice first. Falling back makes a task of what is left of them."""
    fallen_to: str | None = None
    """The model code of the fallback that it waits for or runs on; None while it is at the first choice."""
    dropped: tuple[str, ...] = ()
    """What was left out of its request because its provider could not honour it, and its caller agreed to that."""
    fallback_after: float = 30.0
    """Seconds of waiting for the first choice that are too many."""

    @property
    def lane(self) -> tuple[str, str]:
        """The lane it waits in: that of its provider's model."""
        return self.provider, self.model
