"""Tools, and the choice among them."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.errors import InvalidRequest
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.openai.tools import Choice, CustomTool, FunctionTool, tool_choice, tools

LOOK, FIND = Tool("look"), Tool("find")
NAMED = {"type": "function", "function": {"name": "look"}}


def read(*given: object) -> tuple[Tool, ...]:
    """Read tools as they come in a body."""
    return tools(msgspec.json.decode(msgspec.json.encode(given), type=list[FunctionTool | CustomTool]))


def choose(given: object, *known: Tool, parallel: bool | None = None) -> ToolChoice | None:
    """Read a choice as it comes in a body."""
    return tool_choice(msgspec.json.decode(msgspec.json.encode(given), type=Choice | None), parallel, known)


def test_a_tool_is_a_function_with_its_schema() -> None:
    """The schema stays the text it is; null is none."""
    given = {"name": "look", "description": "It looks.", "parameters": {"type": "object"}, "strict": True}
    bare = {"name": "find", "parameters": None}

    look, find = read(
        {"type": "function", "function": given, "cache_control": {"type": "ephemeral"}},
        {"type": "function", "function": bare},
    )

    assert (look.name, look.description, look.strict, look.cache) == ("look", "It looks.", True, "5m")
    assert look.schema is not None
    assert bytes(look.schema) == b'{"type":"object"}'
    assert find == FIND


def test_no_tools_are_none() -> None:
    """Null and the empty list."""
    assert tools(None) == read() == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("none", ToolChoice(ToolMode.NONE)),
        ("auto", ToolChoice(ToolMode.AUTO)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        (NAMED, ToolChoice(ToolMode.REQUIRED, ("look",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
            ToolChoice(ToolMode.AUTO, ("look",)),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}},
            ToolChoice(ToolMode.REQUIRED, ("look",)),
        ),
    ],
)
def test_each_form_of_choice_is_understood(given: object, expected: ToolChoice | None) -> None:
    """All of the current API."""
    assert choose(given, LOOK, FIND) == expected


@pytest.mark.parametrize("parallel", [True, False])
def test_calls_side_by_side_are_part_of_the_choice(*, parallel: bool) -> None:
    """Also where nothing else is chosen."""
    assert choose(None, LOOK, parallel=parallel) == ToolChoice(parallel=parallel)
    assert choose("auto", LOOK, parallel=parallel) == ToolChoice(ToolMode.AUTO, parallel=parallel)


@pytest.mark.parametrize("given", [None, "none", "auto"])
def test_without_tools_there_is_nothing_to_choose(given: object) -> None:
    """What would change nothing is ignored."""
    assert choose(given, parallel=False) is None


@pytest.mark.parametrize("given", ["required", NAMED])
def test_a_call_cannot_be_demanded_without_tools(given: object) -> None:
    """That is said."""
    with pytest.raises(InvalidRequest, match=r"^tool_choice: there are no tools to choose from"):
        choose(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("any", "tool_choice: got 'any', expected none, auto, required or an object"),
        ({"type": "function", "function": {"name": "nix"}}, "tool_choice: there is no 'nix' among the tools"),
        ({"type": "custom", "custom": {"name": "look"}}, "tool_choice: custom tools are not passed on"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            "tool_choice.allowed_tools.tools: it is empty",
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom"}]}},
            "tool_choice.allowed_tools.tools: custom tools are not passed on",
        ),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(given: object, message: str) -> None:
    """With the field and what is wrong with it."""
    with pytest.raises(InvalidRequest) as caught:
        choose(given, LOOK)

    assert caught.value.message.startswith(message)
    assert caught.value.message.startswith(f"{caught.value.field}: ")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"type": "custom", "custom": {"name": "look"}}, "tools[1]"),
        ({"type": "function", "function": {"name": "look", "parameters": []}}, "tools[1].function.parameters"),
        ({"type": "function", "function": {"name": "look", "parameters": "{}"}}, "tools[1].function.parameters"),
    ],
)
def test_what_is_no_function_is_refused(given: object, field: str) -> None:
    """A tool of another kind, and a schema that is none."""
    with pytest.raises(InvalidRequest) as caught:
        read(NAMED, given)

    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: ")
