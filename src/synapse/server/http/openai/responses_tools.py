"""Tools, and which of them may be called, as clients of the Responses API write them: flat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.tools import Tool
from synapse.server.http.openai import tools as nested
from synapse.server.http.openai.raw import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.tools import ToolChoice

_LONGEST_SHOWN = 40


class FlatTool(msgspec.Struct):
    """A tool. Only functions are known; of the others nothing but the type is read."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A JSON Schema."""
    strict: bool | None = None


class NamedTool(msgspec.Struct, omit_defaults=True):
    """Which tool is meant."""

    type: str
    name: str | None = None


class FlatChoice(msgspec.Struct, omit_defaults=True):
    """The choice of one tool, or of some."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[NamedTool] | None = None


Choice = str | FlatChoice


def tools(given: Sequence[FlatTool] | None) -> tuple[Tool, ...]:
    """Read the tools. Raises `InvalidRequest`."""
    return tuple([_tool(each, f"tools[{index}]") for index, each in enumerate(given)]) if given else ()


def tool_choice(given: Choice | None, parallel: bool | None, known: Sequence[Tool]) -> ToolChoice | None:  # noqa: FBT001
    """Read the choice among the tools there are. Raises `InvalidRequest`."""
    return nested.tool_choice(_nested(given) if isinstance(given, FlatChoice) else given, parallel, known)


def _nested(given: FlatChoice) -> nested.Choice:
    """Write a choice of tools as chat completions have it."""
    if given.type != "allowed_tools":
        return nested.NamedTool(nested.FunctionName(_name(given, "tool_choice")))
    if not given.tools:
        raise _wrong("tool_choice.tools", "it is empty; name one, or send none as tool_choice")
    names = [_name(tool, f"tool_choice.tools[{index}]") for index, tool in enumerate(given.tools)]
    functions: list[nested.NamedTool | nested.CustomTool] = [
        nested.NamedTool(nested.FunctionName(name)) for name in names
    ]
    return nested.Allowed(nested.AllowedTools(given.mode or "auto", functions))


def _name(given: FlatTool | FlatChoice | NamedTool, field: str) -> str:
    if given.type != "function":
        shown = repr(given.type[:_LONGEST_SHOWN])
        raise _wrong(f"{field}.type", f"got {shown}, expected function; only your own functions can be called")
    if not given.name:
        raise _wrong(f"{field}.name", "it is required")
    return given.name


def _tool(given: FlatTool, field: str) -> Tool:
    name = _name(given, field)
    return Tool(name, given.description, schema(given.parameters, f"{field}.parameters"), given.strict)


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
