"""Tools that a model may ask to have called."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A function of the caller's that the model may ask for."""

    name: str
    description: str | None = None
    schema: msgspec.Raw | None = None
    """The JSON Schema of its arguments, which are an object; None: it takes none."""
    strict: bool | None = None
    """Whether arguments must keep to the schema exactly."""
    cache: str | None = None
    """As of `Text.cache`."""


class ToolMode(StrEnum):
    """Whether the model calls tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class ToolChoice(msgspec.Struct, frozen=True, gc=False):
    """Which tools the model may, must or must not call."""

    mode: ToolMode | None = None
    only: tuple[str, ...] = ()
    """The names of those it may choose from; empty: all. With `REQUIRED` and one name it must call that one."""
    parallel: bool | None = None
    """Whether it may call several at once."""
