"""The seam between a worker and whoever answers: one method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from synapse.domain.events import Content, Finish
from synapse.domain.failure import Failure
from synapse.domain.quota import Headroom

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request


Signal = Content | Finish | Failure | Headroom
"""What a provider yields: perhaps what it says of its limits, then deltas, and at the end one `Finish` or `Failure`."""


class Provider(Protocol):
    """Someone who answers requests."""

    def generate(
        self, request: Request, model: str, credential: Credential | None
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Attempt the request once, yielding what has come each time something came.

        The last signal is a `Finish` or a `Failure`, and nothing follows it. An empty sequence means that the provider
        showed progress without visible content. Where the provider says beside its answer how its limits stand, a
        sequence of `Headroom` and nothing else comes first, before any of the answer has been read; no other sequence
        holds one. Failures are values, never exceptions. The connection belongs to the iterator: closing it (`aclose`)
        closes the connection at once.
        """
