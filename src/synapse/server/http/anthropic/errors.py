"""What went wrong, as Anthropic's clients read it."""

from __future__ import annotations

import re
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
    retry: bool | None = None
    """What the official clients are told about trying again by themselves; None leaves it to the status.

    They try three times at 408, 409, 429 and all of 5xx. Where Synapse has done all the trying and waiting there was
    to do, that would only multiply it.
    """


_REQUEST, _MISSING, _LIMIT = "invalid_request_error", "not_found_error", "rate_limit_error"
_API, _TIMEOUT = "api_error", "timeout_error"

ROWS: Final[Mapping[str, Row]] = {
    errors.InvalidRequest.code: Row(_REQUEST, retry=False),
    errors.UnsupportedParameter.code: Row(_REQUEST, retry=False),
    errors.Unauthenticated.code: Row("authentication_error", retry=False),
    errors.PermissionDenied.code: Row("permission_error", retry=False),
    errors.ModelNotFound.code: Row(_MISSING, retry=False),
    errors.NotFound.code: Row(_MISSING, retry=False),
    errors.MethodNotAllowed.code: Row(_REQUEST, retry=False),
    errors.PayloadTooLarge.code: Row("request_too_large", retry=False),
    errors.QueueFull.code: Row(_LIMIT),
    errors.WaitTooLong.code: Row(_LIMIT),
    errors.Cancelled.code: Row(_API),
    errors.InternalError.code: Row(_API),
    errors.ProviderFailed.code: Row(_API, retry=False),
    errors.NoCredentials.code: Row(_API, retry=False),
    errors.ShuttingDown.code: Row("overloaded_error", retry=True),
    errors.TimedOut.code: Row(_TIMEOUT, retry=False),
    errors.Expired.code: Row(_TIMEOUT, retry=False),
}
"""Every error's name on this port, beside its status in `synapse.domain.errors.ERRORS`."""

NAMES: Final[Mapping[str, str]] = {
    "model_code": "model",
    "stop": "stop_sequences",
    "reasoning": "thinking",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "images": "messages",
    "image_urls": "messages",
    "audio": "messages",
    "documents": "messages",
}
"""What the service calls a field, and what it is here."""
_LONGEST_SLEEP = 120.0
"""Seconds. The official clients sleep as long as `Retry-After` says, hours too, and their callers hear nothing."""
_UNKNOWN = re.compile(r"^(?P<field>\S*): Invalid value '(?P<value>[^']*)'$")
_BLOCKS = "text, image, document, tool_result of the user's; text, thinking, redacted_thinking, tool_use of the model's"
_KNOWN: Final[Mapping[str, str]] = {
    "role": "user, assistant and system do work",
    "content.type": f"blocks that do work are {_BLOCKS}",
    "thinking.type": "enabled, adaptive and disabled do work",
    "tool_choice.type": "auto, any, tool and none do work",
}
_INDEX = re.compile(r"\[\d+\]")


class ErrorBody(msgspec.Struct):
    """The value of `error`."""

    type: str
    message: str


class ErrorAnswer(msgspec.Struct, tag_field="type", tag="error"):
    """The body of an answer that is an error, and the data of a stream's event that is one."""

    error: ErrorBody
    request_id: str


_encode = msgspec.json.Encoder().encode


def error_json(error: SynapseError, request_id: str) -> bytes:
    """Encode an error."""
    named = renamed(error, NAMES)
    return _encode(ErrorAnswer(ErrorBody(ROWS[error.code].type, _plainly(named.message)), request_id))


async def fail(error: SynapseError, send: Send, request_id: str | None = None) -> None:
    """Answer with an error. Without the id of a task there is one of the request alone: clients report it."""
    request_id = request_id or new_request_id()
    headers: Headers = [*error_headers(error), id_header(request_id)]
    retry = _to_be_retried(error)
    if retry is not None:
        headers.append((b"x-should-retry", b"true" if retry else b"false"))
    await respond(send, error.row.http, error_json(error, request_id), headers)


def _to_be_retried(error: SynapseError) -> bool | None:
    if error.retry_after is not None and error.retry_after > _LONGEST_SLEEP:
        return False
    return ROWS[error.code].retry


def id_header(request_id: str) -> tuple[bytes, bytes]:
    """Return the header that tells the request's id; the clients keep it with every answer and every error."""
    return (b"request-id", request_id.encode())


def _plainly(message: str) -> str:
    """Say of a block of an unknown type which ones do work."""
    unknown = _UNKNOWN.match(message)
    if unknown is None:
        return message
    path = _INDEX.sub("", unknown["field"])
    hint = next((hint for ending, hint in _KNOWN.items() if path.endswith(ending)), None)
    return message if hint is None else f"{unknown['field']}: got {unknown['value']!r}; {hint}"
