"""The message of a chat completion, and the deltas it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, cast

from synapse.simulator.replay.pieces import pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Fields = dict[str, object]

_TEXTS = ("reasoning", "reasoning_content", "content", "refusal")
"""In the order in which models tell them."""
_FRAGMENTS = ("text", "summary", "data")
_LISTS = ("annotations", "images")


class Function(TypedDict, total=False):
    """The function that is called."""

    name: str
    arguments: str


class ToolCall(TypedDict, total=False):
    """A call of a tool, or some of it."""

    index: int
    id: str
    type: str
    function: Function


class Message(TypedDict, total=False):
    """What is said, or some of it; what is not named here is kept as it is."""

    role: str
    content: str | None
    tool_calls: list[ToolCall]
    reasoning_details: list[Fields]


def add_delta(message: Message, delta: Message) -> None:
    """Add what a chunk brings to a message."""
    fields = cast("Fields", message)
    for name, value in delta.items():
        if name in _TEXTS and isinstance(value, str):
            fields[name] = f"{fields.get(name) or ''}{value}"
        elif name in _LISTS and isinstance(value, list):
            fields[name] = [*cast("list[object]", fields.get(name) or []), *value]
        elif name not in {"tool_calls", "reasoning_details"}:
            fields.setdefault(name, value)
    for call in delta.get("tool_calls") or ():
        _add_call(message.setdefault("tool_calls", []), call)
    for detail in delta.get("reasoning_details") or ():
        _add_detail(message.setdefault("reasoning_details", []), detail)
    if message.get("tool_calls") and not message.get("content"):
        message["content"] = None


def deltas_of(message: Message) -> Iterator[Message]:
    """Cut a message into deltas: its role, its texts a few words at a time, everything else whole."""
    fields = cast("Fields", message)
    yield {"role": message.get("role", "assistant"), "content": ""}
    for name in _TEXTS:
        text = fields.get(name)
        for piece in pieces_of(text) if isinstance(text, str) else ():
            yield cast("Message", {name: piece})
    for number, call in enumerate(message.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": number, **call}]}
    rest = {name: value for name, value in fields.items() if name not in {*_TEXTS, "role", "tool_calls"} and value}
    if rest:
        yield cast("Message", rest)


def _add_call(calls: list[ToolCall], call: ToolCall) -> None:
    index = call.get("index", len(calls))
    whole = next((known for known in calls if known.get("index") == index), None)
    if whole is None:
        calls.append({**call, "index": index, "function": {**call.get("function", {})}})
        return
    function = whole["function"]
    function["arguments"] = function.get("arguments", "") + call.get("function", {}).get("arguments", "")


def _add_detail(details: list[Fields], detail: Fields) -> None:
    same = ("index", "type")
    whole = next((known for known in details if all(known.get(name) == detail.get(name) for name in same)), None)
    if whole is None:
        details.append({**detail})
        return
    for name, value in detail.items():
        if name in _FRAGMENTS and isinstance(value, str):
            whole[name] = f"{whole.get(name) or ''}{value}"
        elif value is not None:
            whole[name] = value
