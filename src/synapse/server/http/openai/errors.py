"""What went wrong, as OpenAI's clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain import errors
from synapse.server.http.asgi import respond
from synapse.server.http.explain import error_headers, renamed
from synapse.server.http.intake import new_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.domain.errors import SynapseError
    from synapse.server.http.asgi import Headers, Send


class Row(msgspec.Struct, frozen=True):
    """What one error is called on this port."""

    type: str
    code: str | None = None
    retry: bool | None = None
    """What the official clients are told about trying again by themselves; None leaves it to the status.

    They try three times at 408, 409, 429 and all of 5xx. Where Synapse has done all the trying and waiting there was
    to do, that would only multiply it.
    """


_REQUEST, _LIMIT, _SERVER = "invalid_request_error", "rate_limit_error", "server_error"

ROWS: Final[Mapping[str, Row]] = {
    errors.InvalidRequest.code: Row(_REQUEST),
    errors.UnsupportedParameter.code: Row(_REQUEST, "unsupported_parameter"),
    errors.Unauthenticated.code: Row(_REQUEST, "invalid_api_key"),
    errors.PermissionDenied.code: Row(_REQUEST, "permission_denied"),
    errors.ModelNotFound.code: Row(_REQUEST, "model_not_found"),
    errors.NotFound.code: Row(_REQUEST, "unknown_url"),
    errors.MethodNotAllowed.code: Row(_REQUEST, "method_not_supported"),
    errors.PayloadTooLarge.code: Row(_REQUEST, "payload_too_large"),
    errors.QueueFull.code: Row(_LIMIT, "rate_limit_exceeded"),
    errors.WaitTooLong.code: Row(_LIMIT, "rate_limit_exceeded"),
    errors.Cancelled.code: Row(_SERVER, "cancelled"),
    errors.InternalError.code: Row(_SERVER, "internal_error"),
    errors.ProviderFailed.code: Row(_SERVER, "provider_failed", retry=False),
    errors.NoCredentials.code: Row(_SERVER, "no_credentials", retry=False),
    errors.ShuttingDown.code: Row(_SERVER, "shutting_down", retry=True),
    errors.TimedOut.code: Row(_SERVER, "timed_out", retry=False),
    errors.Expired.code: Row(_SERVER, "expired", retry=False),
}
"""Every error's name on this port, beside its status in `synapse.domain.errors.ERRORS`."""

_NAMES: Final[Mapping[str, str]] = {"model_code": "model"}
"""What the service calls a field, and what it is here on every route."""


class ErrorBody(msgspec.Struct):
    """The value of `error`; all four are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(msgspec.Struct):
    """The body of an answer that is an error, and the data of a stream's event that is one."""

    error: ErrorBody


_encode = msgspec.json.Encoder().encode


def error_json(error: SynapseError) -> bytes:
    """Encode an error."""
    row = ROWS[error.code]
    named = renamed(error, _NAMES)
    return _encode(ErrorAnswer(ErrorBody(named.message, row.type, named.field, row.code)))


def retry_headers(error: SynapseError) -> Headers:
    """Return what the clients go by when they decide whether and when to try again.

    They ignore every advice, and never try again, where `Retry-After` is more than 120 seconds: that suits us.
    """
    headers = error_headers(error)
    retry = ROWS[error.code].retry
    if retry is not None:
        headers = [*headers, (b"x-should-retry", b"true" if retry else b"false")]
    return headers


async def fail(error: SynapseError, send: Send, request_id: str | None = None) -> None:
    """Answer with an error. Without the id of a task there is one of the request alone: clients report it."""
    headers = [*retry_headers(error), id_header(request_id or new_request_id())]
    await respond(send, error.row.http, error_json(error), headers)


def id_header(request_id: str) -> tuple[bytes, bytes]:
    """Return the header that tells the request's id; the clients keep it with every answer and every error."""
    return (b"x-request-id", request_id.encode())
