"""Writing what was said, for Anthropic's Messages API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from synapse.domain.request import (
    Document,
    Image,
    ImageUrl,
    Message,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")
_FOREIGN = ("{", "gAAAA")
"""How thoughts begin that others have sealed or signed: OpenRouter, and OpenAI."""


class CacheControl(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """For how long all up to here is kept in the cache."""

    type: str
    ttl: str | None = None


class TextBlock(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Text."""

    type: str
    text: str
    cache_control: CacheControl | None = None


class _Source(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    media_type: str | None = None
    data: bytes | str | None = None
    """Bytes are written as base64."""
    url: str | None = None


class _SourceBlock(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An image or a document."""

    type: str
    source: _Source
    title: str | None = None
    cache_control: CacheControl | None = None


class _ThinkingBlock(msgspec.Struct, frozen=True, gc=False):
    thinking: str
    signature: str
    type: Literal["thinking"] = "thinking"


class _RedactedBlock(msgspec.Struct, frozen=True, gc=False):
    data: str
    type: Literal["redacted_thinking"] = "redacted_thinking"


class _ToolUse(msgspec.Struct, frozen=True, gc=False):
    id: str
    name: str
    input: msgspec.Raw
    type: Literal["tool_use"] = "tool_use"


class _ToolResultBlock(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    tool_use_id: str
    content: list[TextBlock | _SourceBlock] | None = None
    is_error: bool = False
    cache_control: CacheControl | None = None


_Block = TextBlock | _SourceBlock | _ThinkingBlock | _RedactedBlock | _ToolUse | _ToolResultBlock


class Turn(msgspec.Struct, gc=False):
    """What one side says, until the other does."""

    role: str
    content: str | list[_Block]


def system(messages: Sequence[Message]) -> list[TextBlock] | None:
    """Write what the system says: it stands beside the turns. None where it says nothing."""
    found = [
        TextBlock("text", part.text, cache(part.cache))
        for message in messages
        if message.role is Role.SYSTEM
        for part in message.parts
        if isinstance(part, Text) and part.text.strip()
    ]
    return found or None


def turns(messages: Sequence[Message]) -> list[Turn]:
    """Write the turns of user and model, which alternate."""
    found: list[Turn] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            continue
        role = "user" if message.role is Role.USER else "assistant"
        blocks = [block for part in message.parts if (block := _block(part)) is not None]
        if not blocks:
            continue
        if found and found[-1].role == role and isinstance(found[-1].content, list):
            found[-1].content += blocks
        else:
            found.append(Turn(role, blocks))
    for turn in found:
        _tidy(turn)
    return found


def _tidy(turn: Turn) -> None:
    """Put the results of tools first, where they must stand; let plain text alone be a plain string."""
    blocks = turn.content
    if isinstance(blocks, str):
        return
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock) and blocks[0].cache_control is None:
        turn.content = blocks[0].text
    elif turn.role == "user":
        blocks.sort(key=lambda block: not isinstance(block, _ToolResultBlock))


def _block(part: Part) -> _Block | None:
    """Write a part. A text of nothing but spaces is refused, and left out."""
    match part:
        case Text(text, ttl):
            return TextBlock("text", text, cache(ttl)) if text.strip() else None
        case Image() | ImageUrl() | Document():
            return _source_block(part)
        case Thinking():
            return _thinking(part)
        case ToolCall(id, name, arguments):
            return _ToolUse(tool_id(id), name, msgspec.Raw(arguments.encode() or b"{}"))
        case ToolResult():
            return _tool_result(part)
        case _:
            return None


def _thinking(part: Thinking) -> _ThinkingBlock | _RedactedBlock | None:
    """Write thoughts; those of another provider would be refused, and are left out."""
    proof = part.signature if part.redacted is None else part.redacted
    if proof is None or proof.startswith(_FOREIGN):
        return None
    return _ThinkingBlock(part.text, proof) if part.redacted is None else _RedactedBlock(proof)


def _source_block(part: Image | ImageUrl | Document) -> _SourceBlock:
    if isinstance(part, ImageUrl):
        return _SourceBlock("image", _Source("url", url=part.url), cache_control=cache(part.cache))
    if isinstance(part, Image):
        return _SourceBlock("image", _Source("base64", part.media_type, part.data), cache_control=cache(part.cache))
    if part.media_type == "text/plain":
        source = _Source("text", "text/plain", part.data.decode(errors="replace"))
    else:
        source = _Source("base64", part.media_type, part.data)
    return _SourceBlock("document", source, part.name, cache(part.cache))


def _tool_result(part: ToolResult) -> _ToolResultBlock:
    content: list[TextBlock | _SourceBlock] = []
    for inner in part.content:
        if not isinstance(inner, Text):
            content.append(_source_block(inner))
        elif inner.text.strip():
            content.append(TextBlock("text", inner.text))
    return _ToolResultBlock("tool_result", tool_id(part.call_id), content or None, part.is_error, cache(part.cache))


def tool_id(name: str) -> str:
    """Return a call's id in the letters that are allowed; those of other providers may have others."""
    return _NO_ID.sub("_", name) or "call"


def cache(ttl: str | None) -> CacheControl | None:
    """Write for how long to keep all up to here; five minutes are what is kept where nothing is said."""
    if ttl is None:
        return None
    return CacheControl("ephemeral", None if ttl == "5m" else ttl)
