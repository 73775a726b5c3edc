"""Tools, and which of them may be called, as clients write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.errors import InvalidRequest
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.anthropic.blocks import CacheControl, cache_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_SHOWN = 80
_OWN = (None, "custom")
"""The types of tools that their callers run and describe themselves."""


class ToolBody(msgspec.Struct):
    """A tool."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    """A JSON Schema of an object."""
    strict: bool | None = None
    cache_control: CacheControl | None = None


class AutoChoice(msgspec.Struct, tag_field="type", tag="auto"):
    """The model calls tools or not."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(msgspec.Struct, tag_field="type", tag="any"):
    """It must call some tool."""

    disable_parallel_tool_use: bool | None = None


class NamedChoice(msgspec.Struct, tag_field="type", tag="tool"):
    """It must call this one."""

    name: str
    disable_parallel_tool_use: bool | None = None


class NoChoice(msgspec.Struct, tag_field="type", tag="none"):
    """It must not call any."""


Choice = AutoChoice | AnyChoice | NamedChoice | NoChoice


def tools(given: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """Read the tools. Raises `InvalidRequest`."""
    return tuple([_tool(each, f"tools[{index}]") for index, each in enumerate(given or ())])


def tool_choice(given: Choice | None, known: Sequence[Tool]) -> ToolChoice | None:
    """Read the choice among the tools there are. Raises `InvalidRequest`."""
    if given is None:
        return None
    if isinstance(given, NamedChoice) and given.name not in {tool.name for tool in known}:
        raise _wrong("tool_choice.name", f"there is no {given.name[:_LONGEST_SHOWN]!r} among the tools")
    if not known:
        if isinstance(given, AnyChoice):
            raise _wrong("tool_choice", "there are no tools to choose from; send tools")
        return None
    if isinstance(given, NoChoice):
        return ToolChoice(ToolMode.NONE)
    parallel = None if given.disable_parallel_tool_use is None else not given.disable_parallel_tool_use
    if isinstance(given, AutoChoice):
        return ToolChoice(ToolMode.AUTO, (), parallel)
    return ToolChoice(ToolMode.REQUIRED, (given.name,) if isinstance(given, NamedChoice) else (), parallel)


def _tool(given: ToolBody, field: str) -> Tool:
    if given.type not in _OWN:
        shown = (given.type or "")[:_LONGEST_SHOWN]
        raise _wrong(
            f"{field}.type",
            f"{shown!r} is a tool of Anthropic's; those with an input_schema of your own do work",
        )
    if not given.name:
        raise _wrong(f"{field}.name", "it is required")
    schema = given.input_schema
    if schema is UNSET or bytes(schema)[:1] != b"{":
        raise _wrong(f"{field}.input_schema", "expected a JSON Schema, an object")
    return Tool(given.name, given.description, schema.copy(), given.strict, cache_of(given.cache_control))


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
