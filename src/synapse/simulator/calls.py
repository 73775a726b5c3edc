"""Calls of tools: what a prompt that asks for some says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = re.compile(r"call ([^\s{]+)\s*(\{.*\})?\s*")
_FRAGMENT = 8
"""How many characters of a call's arguments are a token."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that is to be called."""

    name: str
    arguments: str
    """A JSON object, as the prompt wrote it."""

    @property
    def fragments(self) -> list[bytes]:
        """Its arguments token by token, each escaped for a JSON string."""
        text = self.arguments
        return [msgspec.json.encode(text[start : start + _FRAGMENT])[1:-1] for start in range(0, len(text), _FRAGMENT)]


def read_calls(prompt: str, tools: Iterable[str], *, parallel: bool = True) -> tuple[ToolCall, ...]:
    """Return the calls that a prompt asks for: with each line `call NAME {…}` it begins with, one of a known tool.

    Without an object behind its name a tool is called with an empty one.
    """
    known = frozenset(tools)
    calls: list[ToolCall] = []
    for line in prompt.splitlines():
        call = _read_call(line)
        if call is None or call.name not in known:
            break
        calls.append(call)
    return tuple(calls if parallel else calls[:1])


def _read_call(line: str) -> ToolCall | None:
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    arguments = found[2] or "{}"
    try:
        msgspec.json.decode(arguments, type=dict[str, object])
    except msgspec.DecodeError:
        return None
    return ToolCall(found[1], arguments)
