"""Writing what was said, for servers that speak like OpenAI."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from synapse.domain.request import Image, ImageUrl, Message, Part, Role, Text, Thinking, ToolCall, ToolResult
from synapse.providers.wires import openai_thoughts
from synapse.providers.wires.openai_dialects import Thoughts
from synapse.providers.wires.openai_parts import Piece, content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from synapse.providers.wires.openai_dialects import Dialect


class _Called(msgspec.Struct, frozen=True, gc=False):
    name: str
    arguments: str


class _Google(msgspec.Struct, frozen=True, gc=False):
    thought_signature: str


class _Extra(msgspec.Struct, frozen=True, gc=False):
    google: _Google


class _Call(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="function"):
    id: str
    function: _Called
    extra_content: _Extra | None = None


class Turn(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A message. Its content may be null, but never missing."""

    role: str
    content: str | list[Piece] | None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Raw] | None = None


_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_PICTURES_FOLLOW = "The result is shown in the next message."


def turns(messages: Sequence[Message], dialect: Dialect, model: str) -> list[Turn]:
    """Write the messages of a request for the model."""
    found: list[Turn] = []
    for message in messages:
        parts = message.parts
        if len(parts) == 1 and message.name is None:
            part = parts[0]
            if type(part) is Text and part.cache is None:
                found.append(Turn(message.role, part.text))
                continue
        if message.role is Role.ASSISTANT:
            found.append(_assistant(message, dialect, model))
        else:
            found.extend(_asking(message, dialect))
    return found


def _asking(message: Message, dialect: Dialect) -> Iterator[Turn]:
    """Write what a user or a system says. What tools gave back comes first, right behind the calls."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield _result(result, dialect)
    rest = [*_pictures(results), *(part for part in message.parts if not isinstance(part, ToolResult))]
    if rest or not results:
        said = content(rest, dialect, as_string=message.role is Role.SYSTEM)
        yield Turn(message.role, said, message.name)


def _result(result: ToolResult, dialect: Dialect) -> Turn:
    texts = [part for part in result.content if isinstance(part, Text)]
    said = content(texts, dialect, as_string=True)
    if not texts and result.content:
        said = _PICTURES_FOLLOW
    return Turn("tool", said, result.name, _id(result.call_id, dialect))


def _pictures(results: Iterable[ToolResult]) -> Iterator[Part]:
    """Give the pictures among results to the user, for a tool can send none."""
    for result in results:
        pictures = [part for part in result.content if isinstance(part, Image | ImageUrl)]
        if pictures:
            yield Text(f"Shown by the tool call {result.call_id}:")
            yield from pictures


def _assistant(message: Message, dialect: Dialect, model: str) -> Turn:
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    thoughts = [part for part in message.parts if isinstance(part, Thinking)]
    said = content(message.parts, dialect, as_string=True)
    details = openai_thoughts.write(thoughts, model) if dialect.thoughts is Thoughts.DETAILS else None
    given_back = dialect.thoughts is Thoughts.WITH_CALLS and calls
    return Turn(
        "assistant",
        said if said or not calls else None,
        message.name,
        tool_calls=[_call(call, dialect, model) for call in calls] or None,
        reasoning_content="".join([thought.text for thought in thoughts]) if given_back else None,
        reasoning_details=details or None,
    )


def _call(call: ToolCall, dialect: Dialect, model: str) -> _Call:
    signed = call.signature is not None and dialect.thoughts is Thoughts.NONE and "gemini" in model
    return _Call(
        _id(call.id, dialect),
        _Called(call.name, call.arguments or "{}"),
        _Extra(_Google(call.signature or "")) if signed else None,
    )


def _id(name: str, dialect: Dialect) -> str:
    """Return a call's id as the server takes it, the same for the same."""
    if not dialect.short_ids or _SHORT.fullmatch(name):
        return name
    return sha256(name.encode()).hexdigest()[:9]
