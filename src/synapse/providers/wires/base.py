"""What a dialect is to the rest: a few functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.events import Finish
    from synapse.domain.failure import Failure
    from synapse.domain.quota import Headroom
    from synapse.domain.request import Request
    from synapse.domain.unsupported import Unsupported
    from synapse.providers.base import Signal


class Call(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request to a provider."""

    path: str
    """Appended to the provider's base URL; begins with a slash."""
    headers: dict[str, str]
    body: bytes


class Decoder(Protocol):
    """Reads one answer. Made for one attempt, thrown away after it."""

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take the next piece of the answer and say what it means.

        A piece is the data of one server-sent event, or the whole body of a plain answer. What it means is deltas, or
        a `Failure`: anything that cannot be understood is one, never an exception. After it nothing more is fed.
        """

    def end(self) -> Finish | Failure:
        """Say how the answer ended, now that the connection has: complete, or cut short."""


def nothing_unsupported(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Take everything."""
    del request, model
    return ()


class Wire(msgspec.Struct, frozen=True):
    """A dialect."""

    name: str
    encode: Callable[[Request, str, Credential | None], Call]
    """`encode(request, model, credential)`: the HTTP request that asks this. `request.stream` chooses the form."""
    decoder: Callable[[], Decoder]
    """A new reader for one answer, streamed or plain."""
    classify: Callable[[int, Mapping[str, str], bytes], Failure]
    """`classify(status, headers, body)`: what an answer with an error status teaches. Header names are lower case."""
    headroom: Callable[[Mapping[str, str]], tuple[Headroom, ...]] | None = None
    """`headroom(headers)`: what the headers of a good answer say of limits; None where its providers never say any.

    It is called for every answer. Names are found in lower case.
    """
    unsupported: Callable[[Request, str], tuple[Unsupported, ...]] = nothing_unsupported
    """`unsupported(request, model)`: what of a request would change the answer, and cannot be said in this dialect."""
    embeddings: Wire | None = None
    """How vectors are asked for; None where they cannot be."""
