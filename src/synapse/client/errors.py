"""How a call's failure becomes one of Synapse's errors.

A Synapse server names the error in the call's trailing metadata (`synapse-error`, and where they apply `synapse-field`
and `retry-after` in seconds), and those are the classes of `synapse.domain.errors`. A failure without a name comes
from gRPC itself, from a proxy or from another kind of server, and is told by its status alone. One class is added here:

    SynapseError
      ConnectionFailed        no server answers at the address, or the connection to it broke
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import grpc

from synapse.domain import errors
from synapse.domain.errors import (
    Cancelled,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    NoCredentials,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    QueueFull,
    Row,
    SynapseError,
    TimedOut,
    Unauthenticated,
)


class ConnectionFailed(SynapseError):
    """No Synapse server could be reached, or the connection to it broke. Only clients raise it."""

    code = "connection_failed"

    @property
    def row(self) -> Row:
        """What a port that passes it on would answer."""
        return Row(503, "UNAVAILABLE")


_BY_CODE: dict[str, type[SynapseError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SynapseError) and kind is not SynapseError
}

_BY_STATUS: dict[grpc.StatusCode, tuple[type[SynapseError], str]] = {
    grpc.StatusCode.CANCELLED: (Cancelled, "the call was cancelled: {details}"),
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidRequest, "{details}"),
    grpc.StatusCode.OUT_OF_RANGE: (InvalidRequest, "{details}"),
    grpc.StatusCode.UNAUTHENTICATED: (Unauthenticated, "{details}"),
    grpc.StatusCode.PERMISSION_DENIED: (PermissionDenied, "{details}"),
    grpc.StatusCode.NOT_FOUND: (ModelNotFound, "{details}"),
    grpc.StatusCode.UNIMPLEMENTED: (NotFound, "the server at {address} is not Synapse, or a different one: {details}"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (QueueFull, "{details}"),
    grpc.StatusCode.FAILED_PRECONDITION: (NoCredentials, "{details}"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (TimedOut, "{address} did not finish in time: {details}"),
    grpc.StatusCode.UNAVAILABLE: (
        ConnectionFailed,
        "no connection to Synapse at {address}: {details}. Start one with `synapse serve` or check the address",
    ),
    grpc.StatusCode.INTERNAL: (InternalError, "{address} failed: {details}"),
    grpc.StatusCode.UNKNOWN: (InternalError, "{address} failed: {details}"),
}


def translate(error: grpc.RpcError, address: str) -> SynapseError:
    """Return the failure of a call to `address` as an error of the tree."""
    # Threads' and asyncio's gRPC have pairs in different wrappings; the type stubs know only one of them.
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    trailing = {key: value for key, value in pairs if isinstance(value, str)}
    details = error.details() or error.code().name
    retry_after = _read_seconds(trailing.get("retry-after", ""))
    named = _BY_CODE.get(trailing.get("synapse-error", ""))
    if named is not None:
        return named(details, field=trailing.get("synapse-field"), retry_after=retry_after)
    kind, template = _explain_status(error.code(), details)
    return kind(template.format(address=address, details=details), retry_after=retry_after)


@contextmanager
def translating(address: str, is_closed: Callable[[], bool]) -> Iterator[None]:
    """Raise what a call to `address` raises as an error of the tree."""
    try:
        yield
    except grpc.RpcError as error:
        raise translate(error, address) from error
    except asyncio.CancelledError as error:
        # Closing an asyncio channel ends its calls with the error that is meant for a cancelled reader. The reader was
        # not cancelled, and must not look as if it had been.
        if is_closed() and not _is_being_cancelled():
            raise Cancelled(f"the client was closed while it waited for {address}") from error
        raise


def _explain_status(status: grpc.StatusCode, details: str) -> tuple[type[SynapseError], str]:
    # gRPC's own size check has no status of its own.
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in details:
        return PayloadTooLarge, "{details}"
    return _BY_STATUS.get(status, (SynapseError, f"{{address}} answered {status.name}: {{details}}"))


def _read_seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
