"""Tools, and which of them may be called, as clients write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.openai.media import CacheControl, cache_of
from synapse.server.http.openai.raw import schema

if TYPE_CHECKING:
    from collections.abc import Sequence


class FunctionData(msgspec.Struct, gc=False):
    """A function that the model may ask for."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A JSON Schema."""
    strict: bool | None = None


class FunctionTool(msgspec.Struct, tag_field="type", tag="function", gc=False):
    """A tool that is a function."""

    function: FunctionData
    cache_control: CacheControl | None = None


class CustomTool(msgspec.Struct, tag_field="type", tag="custom", gc=False):
    """A tool that takes free text; only OpenAI has those."""


class FunctionName(msgspec.Struct, gc=False):
    """Which function is meant."""

    name: str


class NamedTool(msgspec.Struct, tag_field="type", tag="function", gc=False):
    """Which tool is meant."""

    function: FunctionName


class AllowedTools(msgspec.Struct, gc=False):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool | CustomTool]


class Allowed(msgspec.Struct, tag_field="type", tag="allowed_tools", gc=False):
    """The choice of some of the tools."""

    allowed_tools: AllowedTools


Choice = str | NamedTool | CustomTool | Allowed
_MODES = {mode.value: mode for mode in ToolMode}


def tools(given: Sequence[FunctionTool | CustomTool] | None) -> tuple[Tool, ...]:
    """Read the tools. Raises `InvalidRequest`."""
    return tuple([_tool(each, f"tools[{index}]") for index, each in enumerate(given)]) if given else ()


def tool_choice(given: Choice | None, parallel: bool | None, known: Sequence[Tool]) -> ToolChoice | None:  # noqa: FBT001
    """Read the choice among the tools there are. Without any there is none to make. Raises `InvalidRequest`."""
    mode, only = (None, ()) if given is None else _mode(given)
    if not known:
        if only or mode is ToolMode.REQUIRED:
            raise _wrong("tool_choice", "there are no tools to choose from; send tools")
        return None
    names = {tool.name for tool in known}
    for name in only:
        if name not in names:
            raise _wrong("tool_choice", f"there is no {name[:80]!r} among the tools")
    if mode is None and parallel is None:
        return None
    return ToolChoice(mode, only, parallel)


def _mode(given: Choice) -> tuple[ToolMode, tuple[str, ...]]:
    match given:
        case str():
            if given not in _MODES:
                raise _wrong("tool_choice", f"got {given[:40]!r}, expected none, auto, required or an object")
            return _MODES[given], ()
        case NamedTool():
            return ToolMode.REQUIRED, (given.function.name,)
        case Allowed():
            allowed = given.allowed_tools
            if not allowed.tools:
                raise _wrong("tool_choice.allowed_tools.tools", "it is empty; name one, or send none as tool_choice")
            return _MODES[allowed.mode], tuple([_name(each) for each in allowed.tools])
        case CustomTool():
            raise _custom("tool_choice")


def _name(tool: NamedTool | CustomTool) -> str:
    if isinstance(tool, CustomTool):
        raise _custom("tool_choice.allowed_tools.tools")
    return tool.function.name


def _tool(given: FunctionTool | CustomTool, field: str) -> Tool:
    if isinstance(given, CustomTool):
        raise _custom(field)
    function = given.function
    parameters = schema(function.parameters, f"{field}.function.parameters")
    return Tool(function.name, function.description, parameters, function.strict, cache_of(given.cache_control))


def _custom(field: str) -> InvalidRequest:
    return _wrong(field, "custom tools are not passed on; describe a function with one string as its parameter")


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
