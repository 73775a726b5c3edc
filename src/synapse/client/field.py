"""Putting a caller's value into a message, with an error that says which value was wrong."""

from __future__ import annotations

from google.protobuf.message import Message

from synapse.domain.errors import InvalidRequest


def set_field(message: Message, name: str, value: object, expected: str, *, path: str | None = None) -> None:
    """Set the message's field `name`.

    Raises `InvalidRequest`, naming `path`, where the field cannot hold the value; never shows text, it may be a prompt.
    """
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:
        field = path or name
        raise InvalidRequest(f"{field} must be {expected}; got {_describe(value)}", field=field) from error


def _describe(value: object) -> str:
    """Show a number, of anything else only the type."""
    return repr(value) if isinstance(value, int | float) else f"a value of type {type(value).__name__}"
