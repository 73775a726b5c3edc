"""What went wrong, as callers of the native API read it, and in words that every port can use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import InvalidRequest, SynapseError, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.server.http.asgi import Headers


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """The value of `error` in an answer."""

    type: str
    message: str
    field: str | None = None
    retry_after: float | None = None


class ErrorAnswer(msgspec.Struct):
    """The body of an answer that is an error."""

    error: ErrorBody


_encode = msgspec.json.Encoder().encode
_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_LONGEST_PATH = 200
"""Characters of a field's path that are sent back: a caller may send a name of megabytes."""
_LONGEST = 2000
"""Characters of what is wrong with a body: it may quote megabytes of it."""
_NAMED = re.compile(r"(?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`")


def error_json(error: SynapseError) -> bytes:
    """Encode an error."""
    retry_after = None if error.retry_after is None else round(error.retry_after, 3)
    return _encode(ErrorAnswer(ErrorBody(error.code, error.message, error.field, retry_after)))


def error_headers(error: SynapseError) -> Headers:
    """Return the headers that go with an error: how to say who calls; `Retry-After` in whole seconds, never too few."""
    if isinstance(error, Unauthenticated):
        return [(b"www-authenticate", b"Bearer")]
    if error.retry_after is None:
        return []
    return [(b"retry-after", str(max(1, -int(-error.retry_after // 1))).encode())]


def not_understood(exc: Exception) -> InvalidRequest:
    """Say in our words what msgspec found wrong with a JSON body: the field, what stood there, what was expected."""
    if isinstance(exc, RecursionError):
        return InvalidRequest("the body is nested too deeply to be read")
    if isinstance(exc, UnicodeDecodeError):
        return InvalidRequest("the body is not valid UTF-8")
    if not isinstance(exc, msgspec.ValidationError):
        return InvalidRequest(f"the body is not valid JSON: {exc}")
    text = str(exc)
    found = _AT.search(text)
    path = found["path"] if found is not None else ""
    text = _AT.sub("", text)
    if (named := _NAMED.search(text)) is not None:
        path = f"{path}.{named['name']}" if path else named["name"]
        text = "it is required" if named["what"].startswith("missing") else "there is no such field"
    path = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
    text = text.replace("`", "").replace("Expected", "expected")
    return InvalidRequest(f"{path or 'the body'}: {text}", field=path or None)


def renamed(error: SynapseError, names: Mapping[str, str]) -> SynapseError:
    """Return an error with its field called as a route's callers call it, in the message as well."""
    name = names.get(error.field) if error.field is not None else None
    if name is None or error.field is None:
        return error
    message = error.message
    if message.startswith(f"{error.field}:"):
        message = name + message[len(error.field) :]
    return type(error)(message, field=name, retry_after=error.retry_after)


def misread(exc: Exception) -> InvalidRequest:
    """Say what msgspec found wrong with a body, at a length that can be sent back."""
    error = not_understood(exc)
    if len(error.message) <= _LONGEST:
        return error
    return InvalidRequest(f"{error.message[:_LONGEST]}…", field=error.field)
