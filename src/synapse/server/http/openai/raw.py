"""JSON that is passed on as the text it came as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from synapse.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from msgspec import Raw, UnsetType


def is_given(value: Raw | UnsetType) -> bool:
    """Tell whether there is a value; null is none."""
    return value is not UNSET and bytes(value) != b"null"


def schema(value: Raw | UnsetType, field: str) -> Raw | None:
    """Return a JSON Schema, on its own: it would keep the whole body in memory for as long as its task waits.

    Raises `InvalidRequest` for what is no object.
    """
    if value is UNSET or bytes(value) == b"null":
        return None
    if bytes(value)[:1] != b"{":
        raise InvalidRequest(f"{field}: expected a JSON Schema, an object", field=field)
    return value.copy()
