"""The seam between a worker and whoever answers: one method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from synapse.domain.events import Delta, Finish
from synapse.domain.failure import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request


Signal = Delta | Finish | Failure
"""What a provider yields: deltas, and at the end one `Finish` or one `Failure`."""


class Provider(Protocol):
    """Someone who answers requests."""

    def generate(
        self, request: Request, model: str, credential: Credential | None
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Attempt the request once, yielding what has come each time something came.

        The last signal is a `Finish` or a `Failure`, and nothing follows it. An empty sequence means that the provider
        showed progress without visible content. Failures are values, never exceptions. The connection belongs to the
        iterator: closing it (`aclose`) closes the connection at once.
        """
