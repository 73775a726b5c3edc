"""Everything a caller can be told went wrong, as one tree, with one table of what each is on each port.

SynapseError
  InvalidRequest          the request itself is wrong; says which field and what was expected
  Unauthenticated         no key of a caller came along, or one that is nobody's
  PermissionDenied        the caller may not do this; names what it may
  UnsupportedParameter    an InvalidRequest: the model's provider cannot honour a part of it; says what does work
  ModelNotFound           no such model code; names those there are
  NotFound                no such route
  MethodNotAllowed        the route is there, for another HTTP method
  PayloadTooLarge
  QueueFull               too much waits already; retry_after
  WaitTooLong             it is known that no credential is free within max_wait; retry_after
  Cancelled               the caller went, or asked for it
  NoCredentials           no key for the provider, or none that it accepts; names the variable to set
  ProviderFailed          what the provider said
  TimedOut                the whole task took longer than `timeout`
  Expired                 it waited longer than `max_wait`
  ShuttingDown            this process takes no new tasks
  InternalError           a fault of Synapse
"""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec


class Row(msgspec.Struct, frozen=True):
    """What one error is called where callers meet it."""

    http: int
    grpc: str
    """The name of the gRPC status code."""


class SynapseError(Exception):
    """The root of all errors that reach a caller. The message is complete: what was wrong, where, what to do."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        """Take the message, the request's field it is about, and the seconds after which trying again makes sense."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after

    @property
    def row(self) -> Row:
        """The line of the table that is about this error."""
        return ERRORS[self.code]


class InvalidRequest(SynapseError):
    """The request cannot be understood or honoured; sending it again will not help."""

    code = "invalid_request"


class Unauthenticated(SynapseError):
    """Who sent this is not known: it came without a key, or with one that no caller has."""

    code = "unauthenticated"


class PermissionDenied(SynapseError):
    """The caller is known, and may not do this."""

    code = "permission_denied"


class UnsupportedParameter(InvalidRequest):
    """A part of the request would change the answer, and the model's provider cannot honour it."""

    code = "unsupported_parameter"
    model = ""
    """The model code."""
    hint = ""
    """What does work; the end of a sentence."""

    @classmethod
    def of(cls, parameter: str, model: str, hint: str) -> Self:
        """Say it of a parameter, by its name on the port."""
        error = cls(f"{parameter}: the provider of {model} cannot honour it; {hint}", field=parameter)
        error.model, error.hint = model, hint
        return error


class ModelNotFound(SynapseError):
    """No model has that code."""

    code = "model_not_found"


class NotFound(SynapseError):
    """There is no such route."""

    code = "not_found"


class MethodNotAllowed(SynapseError):
    """The route answers another HTTP method."""

    code = "method_not_allowed"


class PayloadTooLarge(SynapseError):
    """The body or the answer is larger than the server passes on."""

    code = "payload_too_large"


class QueueFull(SynapseError):
    """As many tasks wait as may wait."""

    code = "queue_full"


class WaitTooLong(SynapseError):
    """No credential can carry the task within the time it may wait."""

    code = "wait_too_long"


class Cancelled(SynapseError):
    """The task was cancelled."""

    code = "cancelled"


class NoCredentials(SynapseError):
    """The model's provider has no key that works."""

    code = "no_credentials"


class ProviderFailed(SynapseError):
    """The provider did not answer the task, and what may be tried has been tried."""

    code = "provider_failed"


class TimedOut(SynapseError):
    """The task took longer than its `timeout`."""

    code = "timed_out"


class Expired(SynapseError):
    """The task waited longer than its `max_wait`."""

    code = "expired"


class ShuttingDown(SynapseError):
    """The server is stopping: it finishes what it has and takes nothing new."""

    code = "shutting_down"


class InternalError(SynapseError):
    """Synapse itself failed; the log has the reason."""

    code = "internal_error"


ERRORS: dict[str, Row] = {
    InvalidRequest.code: Row(400, "INVALID_ARGUMENT"),
    UnsupportedParameter.code: Row(400, "INVALID_ARGUMENT"),
    Unauthenticated.code: Row(401, "UNAUTHENTICATED"),
    PermissionDenied.code: Row(403, "PERMISSION_DENIED"),
    ModelNotFound.code: Row(404, "NOT_FOUND"),
    NotFound.code: Row(404, "UNIMPLEMENTED"),
    MethodNotAllowed.code: Row(405, "UNIMPLEMENTED"),
    PayloadTooLarge.code: Row(413, "RESOURCE_EXHAUSTED"),
    QueueFull.code: Row(429, "RESOURCE_EXHAUSTED"),
    WaitTooLong.code: Row(429, "RESOURCE_EXHAUSTED"),
    Cancelled.code: Row(499, "CANCELLED"),
    InternalError.code: Row(500, "INTERNAL"),
    ProviderFailed.code: Row(502, "UNAVAILABLE"),
    NoCredentials.code: Row(503, "FAILED_PRECONDITION"),
    ShuttingDown.code: Row(503, "UNAVAILABLE"),
    TimedOut.code: Row(504, "DEADLINE_EXCEEDED"),
    Expired.code: Row(504, "DEADLINE_EXCEEDED"),
}
"""Every error's status on every port. Ports look up; they decide nothing."""
