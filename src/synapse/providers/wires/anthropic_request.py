"""Writing requests for Anthropic's Messages API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from synapse.domain.request import (
    Document,
    Image,
    ImageUrl,
    Message,
    Part,
    Request,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires.anthropic_models import adaptive
from synapse.providers.wires.base import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Reasoning

VERSION = "2023-06-01"
"""The last one that takes temperature and its like."""
_MAX_TOKENS = 8192
"""Asked for where the caller names no length: the field is required, and no model in service has a lower limit."""
_LEAST_BUDGET = 1024
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": _LEAST_BUDGET, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000,
}  # fmt: skip
"""Tokens of thinking for each effort, where the model takes a budget."""
_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low", "xhigh": "high"}
"""The nearest effort that all models know, of those that some do not."""
_EMPTY_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
_NO_ID = re.compile(r"[^A-Za-z0-9_-]")


class _CacheControl(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    ttl: str | None = None


class _TextBlock(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    text: str
    cache_control: _CacheControl | None = None


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
    cache_control: _CacheControl | None = None


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
    content: list[_TextBlock | _SourceBlock] | None = None
    is_error: bool = False
    cache_control: _CacheControl | None = None


_Block = _TextBlock | _SourceBlock | _ThinkingBlock | _RedactedBlock | _ToolUse | _ToolResultBlock


class _Turn(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    name: str
    input_schema: msgspec.Raw
    description: str | None = None
    strict: bool | None = None
    cache_control: _CacheControl | None = None


class _Choice(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    budget_tokens: int | None = None


class _Format(msgspec.Struct, frozen=True, gc=False):
    schema: msgspec.Raw
    type: Literal["json_schema"] = "json_schema"


class _OutputConfig(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    user_id: str


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str
    max_tokens: int
    messages: list[_Turn]
    system: list[_TextBlock] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    metadata: _Metadata | None = None


_encode_body = msgspec.json.Encoder().encode


def encode(request: Request, model: str, credential: Credential | None) -> Call:
    """Write the request for a model; the path goes behind a base URL without a version."""
    headers = {"content-type": "application/json", "anthropic-version": VERSION}
    if credential is not None:
        headers["x-api-key"] = credential.key
    body = _encode_body(_body(request, model))
    if request.extras:
        body = _encode_body({**msgspec.json.decode(body, type=dict[str, msgspec.Raw]), **request.extras})
    return Call("/v1/messages", headers, body)


def _body(request: Request, model: str) -> _Body:
    sampling = request.sampling
    thinking = _thinking(request.reasoning, model)
    most = sampling.max_output_tokens if sampling.max_output_tokens is not None else _MAX_TOKENS
    if thinking is not None and thinking.budget_tokens is not None and most <= thinking.budget_tokens:
        most += thinking.budget_tokens  # thoughts count as output here
    return _Body(
        model=model,
        max_tokens=most,
        messages=_turns(request.messages),
        system=_system(request.messages),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop_sequences=sampling.stop,
        stream=request.stream,
        tools=[_tool(tool) for tool in _offered(request)] or None,
        tool_choice=_choice(request.tool_choice) if request.tools else None,
        thinking=thinking,
        output_config=_output_config(request, model),
        metadata=_Metadata(request.safety_user) if request.safety_user else None,
    )


# --- what was said


def _system(messages: Sequence[Message]) -> list[_TextBlock] | None:
    found = [
        _TextBlock("text", part.text, _cache(part.cache))
        for message in messages
        if message.role is Role.SYSTEM
        for part in message.parts
        if isinstance(part, Text) and part.text
    ]
    return found or None


def _turns(messages: Sequence[Message]) -> list[_Turn]:
    turns: list[_Turn] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            continue
        role = "user" if message.role is Role.USER else "assistant"
        blocks = _blocks(message.parts)
        if not blocks:
            continue
        if turns and turns[-1].role == role and isinstance(turns[-1].content, list):
            turns[-1].content += blocks
        else:
            turns.append(_Turn(role, blocks))
    for turn in turns:
        _tidy(turn)
    return turns


def _tidy(turn: _Turn) -> None:
    """Put the results of tools first, where they must stand; let plain text alone be a plain string."""
    blocks = turn.content
    if isinstance(blocks, str):
        return
    if len(blocks) == 1 and isinstance(blocks[0], _TextBlock) and blocks[0].cache_control is None:
        turn.content = blocks[0].text
    elif turn.role == "user":
        blocks.sort(key=lambda block: not isinstance(block, _ToolResultBlock))


def _blocks(parts: Sequence[Part]) -> list[_Block]:
    return [block for part in parts if (block := _block(part)) is not None]


def _block(part: Part) -> _Block | None:  # noqa: PLR0911 - one for each kind of part
    match part:
        case Text(text, cache):
            return _TextBlock("text", text, _cache(cache)) if text else None
        case Image() | ImageUrl() | Document():
            return _source_block(part)
        case Thinking(text, signature, redacted):
            if redacted is not None:
                return _RedactedBlock(redacted)
            return _ThinkingBlock(text, signature) if signature is not None else None  # another provider's thoughts
        case ToolCall(id, name, arguments):
            return _ToolUse(tool_id(id), name, msgspec.Raw(arguments.encode() or b"{}"))
        case ToolResult():
            return _tool_result(part)
        case _:
            return None


def _source_block(part: Image | ImageUrl | Document) -> _SourceBlock:
    if isinstance(part, ImageUrl):
        return _SourceBlock("image", _Source("url", url=part.url), cache_control=_cache(part.cache))
    if isinstance(part, Image):
        return _SourceBlock("image", _Source("base64", part.media_type, part.data), cache_control=_cache(part.cache))
    if part.media_type == "text/plain":
        source = _Source("text", "text/plain", part.data.decode(errors="replace"))
    else:
        source = _Source("base64", part.media_type, part.data)
    return _SourceBlock("document", source, part.name, _cache(part.cache))


def _tool_result(part: ToolResult) -> _ToolResultBlock:
    content: list[_TextBlock | _SourceBlock] = []
    for inner in part.content:
        if not isinstance(inner, Text):
            content.append(_source_block(inner))
        elif inner.text:
            content.append(_TextBlock("text", inner.text))
    return _ToolResultBlock("tool_result", tool_id(part.call_id), content or None, part.is_error, _cache(part.cache))


def tool_id(name: str) -> str:
    """Return a call's id in the letters that are allowed; those of other providers may have others."""
    return _NO_ID.sub("_", name) or "call"


def _cache(ttl: str | None) -> _CacheControl | None:
    if ttl is None:
        return None
    return _CacheControl("ephemeral", None if ttl == "5m" else ttl)


# --- tools and thoughts


def _offered(request: Request) -> Sequence[Tool]:
    """Return the tools that may be chosen from. One that must be called is named in the choice instead."""
    choice = request.tool_choice
    if choice is None or not choice.only or (choice.mode is ToolMode.REQUIRED and len(choice.only) == 1):
        return request.tools
    return [tool for tool in request.tools if tool.name in choice.only]


def _tool(tool: Tool) -> _Tool:
    return _Tool(tool.name, tool.schema or _EMPTY_SCHEMA, tool.description, tool.strict, _cache(tool.cache))


def _choice(choice: ToolChoice | None) -> _Choice | None:
    if choice is None or (choice.mode is None and choice.parallel is None):
        return None
    alone = True if choice.parallel is False else None
    match choice.mode:
        case ToolMode.NONE:
            return _Choice("none")
        case ToolMode.REQUIRED if len(choice.only) == 1:
            return _Choice("tool", choice.only[0], alone)
        case ToolMode.REQUIRED:
            return _Choice("any", None, alone)
        case _:
            return _Choice("auto", None, alone)


def _thinking(reasoning: Reasoning | None, model: str) -> _Thinking | None:
    if reasoning is None:
        return None
    if reasoning.effort == "none" or reasoning.budget == 0:
        return _Thinking("disabled")
    if adaptive(model):
        return _Thinking("adaptive")
    budget = reasoning.budget if reasoning.budget is not None else _BUDGETS.get(reasoning.effort or "", -1)
    if budget < 0:
        return _Thinking("enabled", _BUDGETS["medium"]) if reasoning.budget == -1 or reasoning.show else None
    return _Thinking("enabled", max(_LEAST_BUDGET, budget))


def _output_config(request: Request, model: str) -> _OutputConfig | None:
    effort = request.reasoning.effort if request.reasoning is not None else None
    schema = request.response_format.schema if request.response_format is not None else None
    if not adaptive(model) or effort == "none":
        effort = None
    if effort is None and schema is None:
        return None
    return _OutputConfig(
        _EFFORTS.get(effort, effort) if effort is not None else None, _Format(schema) if schema is not None else None
    )
