"""Every failure of a call is one of Synapse's errors, with both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from synapse import (
    Cancelled,
    ConnectionFailed,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    NoCredentials,
    NotFound,
    ProviderFailed,
    QueueFull,
    SynapseError,
    TimedOut,
)
from synapse.domain.errors import ERRORS, PermissionDenied, Unauthenticated
from synapse.testing.grpc_server import Abort, ScriptedServer, chunk

if TYPE_CHECKING:
    from conftest import Connect

TASK = {"prompt": "Why?", "model_code": "sim/echo"}

BY_STATUS = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.ALREADY_EXISTS: SynapseError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: QueueFull,
    grpc.StatusCode.FAILED_PRECONDITION: NoCredentials,
    grpc.StatusCode.ABORTED: SynapseError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: NotFound,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNAVAILABLE: ConnectionFailed,
    grpc.StatusCode.DATA_LOSS: SynapseError,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
}


def failing(status: grpc.StatusCode, **trailing: str) -> ScriptedServer:
    """Return a server that fails every call, after a piece of the answer."""
    pairs = tuple((key.replace("_", "-"), value) for key, value in trailing.items())
    return ScriptedServer([chunk("so"), Abort(status, "what was wrong", pairs)])


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_a_named_error_is_raised_as_its_class(connect: Connect, code: str) -> None:
    """Each error of the table arrives as what it was at the server, message and all."""
    async with failing(getattr(grpc.StatusCode, ERRORS[code].grpc), synapse_error=code) as server:
        with pytest.raises(SynapseError) as caught:
            await connect(server.target).generate(**TASK)

    assert caught.value.code == code
    assert type(caught.value) is not SynapseError
    assert caught.value.message == "what was wrong"
    assert (caught.value.field, caught.value.retry_after) == (None, None)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_field_and_retry_after_are_kept(connect: Connect) -> None:
    """What the server says about the error beside its name is on the error."""
    trailing = {"synapse_error": "queue_full", "synapse_field": "model_code", "retry_after": "12.5"}
    async with failing(grpc.StatusCode.RESOURCE_EXHAUSTED, **trailing) as server:
        with pytest.raises(QueueFull) as caught:
            await connect(server.target).generate(**TASK)

    assert (caught.value.field, caught.value.retry_after) == ("model_code", 12.5)


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
async def test_a_retry_after_that_is_no_time_is_left_out(connect: Connect, value: str) -> None:
    """A senseless value does not hide the error."""
    async with failing(grpc.StatusCode.RESOURCE_EXHAUSTED, synapse_error="queue_full", retry_after=value) as server:
        with pytest.raises(QueueFull) as caught:
            await connect(server.target).generate(**TASK)

    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("trailing", [{}, {"synapse_error": "an_error_of_the_future"}], ids=["unnamed", "unknown"])
async def test_without_a_known_name_the_status_decides(
    connect: Connect, status: grpc.StatusCode, trailing: dict[str, str]
) -> None:
    """Failures of gRPC, of proxies and of newer servers have a class too, and keep their text."""
    async with failing(status, **trailing) as server:
        with pytest.raises(SynapseError) as caught:
            await connect(server.target).generate(**TASK)

    assert type(caught.value) is BY_STATUS[status]
    assert "what was wrong" in caught.value.message


async def test_what_came_before_a_failure_is_not_lost(connect: Connect) -> None:
    """The pieces are yielded, then the error is raised."""
    async with failing(grpc.StatusCode.UNAVAILABLE, synapse_error="provider_failed") as server:
        results = connect(server.target).generate_task(**TASK)

        first = await anext(results)
        with pytest.raises(ProviderFailed):
            await anext(results)

    assert first.text == "so"


async def test_listing_models_fails_with_the_same_errors(connect: Connect) -> None:
    """There is one translation for all calls."""
    trailing = {"synapse_error": "shutting_down", "retry_after": "3"}
    async with failing(grpc.StatusCode.UNAVAILABLE, **trailing) as server:
        with pytest.raises(SynapseError) as caught:
            await connect(server.target).list_models()

    assert (caught.value.code, caught.value.retry_after) == ("shutting_down", 3.0)
