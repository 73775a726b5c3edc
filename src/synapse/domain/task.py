"""A task: one generation accepted by Synapse."""

from __future__ import annotations

from enum import StrEnum

import msgspec

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


class Task(msgspec.Struct, frozen=True, gc=False):
    """What is fixed about a task when it is accepted. What changes is its broker's business."""

    id: str
    request: Request
    provider: str
    """The provider that has the model, by its name in the configuration."""
    model: str
    """The provider's own name for the model."""
    caller: str
    """Who sent it; `anonymous` where callers are not told apart."""
    created_at: float
    """UTC."""
    max_wait: float
    """Seconds it may wait in its lane, all waits together."""
    timeout: float
    """Seconds it may take as a whole."""

    @property
    def lane(self) -> str:
        """The lane it waits in: that of its model code."""
        return self.request.model
