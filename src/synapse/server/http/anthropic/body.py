"""The bodies of `POST /v1/messages` and of `POST /v1/messages/count_tokens`, and the requests they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Message, Reasoning, Request, ResponseFormat, Sampling, Text
from synapse.server.http.anthropic.blocks import CacheControl, TextBlock, Turn, cache_of
from synapse.server.http.anthropic.conversation import messages
from synapse.server.http.anthropic.tools import Choice, ToolBody, tool_choice, tools
from synapse.server.http.intake import Wishes

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_TOKENS = 2**31 - 1
_AS_MUCH_AS_IT_LIKES = -1


class EnabledThinking(msgspec.Struct, tag_field="type", tag="enabled"):
    """So many tokens at most."""

    budget_tokens: int
    display: Literal["summarized", "omitted"] | None = None


class AdaptiveThinking(msgspec.Struct, tag_field="type", tag="adaptive"):
    """As the model sees fit."""

    display: Literal["summarized", "omitted"] | None = None


class DisabledThinking(msgspec.Struct, tag_field="type", tag="disabled"):
    """Not at all."""


class JsonFormat(msgspec.Struct, tag_field="type", tag="json_schema"):
    """JSON that keeps to a schema."""

    schema: Raw


class OutputConfig(msgspec.Struct):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(msgspec.Struct):
    """Of whom it is asked."""

    user_id: str | None = None


class CountBody(Wishes, kw_only=True):
    """What counts as input."""

    model: str
    messages: list[Turn]
    system: str | list[TextBlock] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Choice | None = None
    thinking: EnabledThinking | AdaptiveThinking | DisabledThinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None
    """What `output_config.format` was before."""
    cache_control: CacheControl | None = None
    """A mark behind the last block."""
    container: Raw | UnsetType = UNSET
    mcp_servers: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET
    inference_geo: Raw | UnsetType = UNSET


class MessagesBody(CountBody, kw_only=True):
    """The body of `POST /v1/messages`. Sampling is taken whatever version of the API a client says it speaks."""

    max_tokens: int
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None


def messages_request(body: MessagesBody) -> Request:
    """Build the request. Raises `InvalidRequest` with the field that is wrong and what was expected."""
    asked = count_request(body)
    return msgspec.structs.replace(
        asked,
        sampling=_sampling(body),
        stream=bool(body.stream),
        response_format=_response_format(body),
        reasoning=_reasoning(body),
        safety_user=body.metadata.user_id if body.metadata is not None else None,
    )


def count_request(body: CountBody) -> Request:
    """Build as much of the request as is input. Raises `InvalidRequest`."""
    said = messages(body.system, body.messages)
    offered = tools(body.tools)
    return Request(
        body.model,
        _marked(said, cache_of(body.cache_control)),
        tools=offered,
        tool_choice=tool_choice(body.tool_choice, offered),
    )


def _sampling(body: MessagesBody) -> Sampling:
    _check("max_tokens", body.max_tokens, 0, _MOST_TOKENS, "a whole number of tokens, 0 or more")
    _check("temperature", body.temperature, 0, 2, "a number from 0 to 2")
    _check("top_p", body.top_p, 0, 1, "a number from 0 to 1")
    _check("top_k", body.top_k, 0, _MOST_TOKENS, "a whole number, 0 or more")
    return Sampling(body.temperature, body.top_p, body.top_k, body.max_tokens, tuple(body.stop_sequences or ()))


def _response_format(body: CountBody) -> ResponseFormat | None:
    given, field = body.output_format, "output_format"
    if body.output_config is not None and body.output_config.format is not None:
        given, field = body.output_config.format, "output_config.format"
    if given is None:
        return None
    if bytes(given.schema)[:1] != b"{":
        raise InvalidRequest(f"{field}.schema: expected a JSON Schema, an object", field=f"{field}.schema")
    return ResponseFormat(given.schema.copy(), strict=True)


def _reasoning(body: CountBody) -> Reasoning | None:
    effort = body.output_config.effort if body.output_config is not None else None
    match body.thinking:
        case EnabledThinking(budget, display):
            _check("thinking.budget_tokens", budget, 1, _MOST_TOKENS, "a whole number of tokens, 1 or more")
            return Reasoning(effort, budget, display != "omitted")
        case AdaptiveThinking(display):
            return Reasoning(effort, None if effort is not None else _AS_MUCH_AS_IT_LIKES, display != "omitted")
        case DisabledThinking():
            return Reasoning("none") if effort is None else Reasoning(effort, 0)
        case None:
            return Reasoning(effort) if effort is not None else None


def _marked(said: Sequence[Message], cache: str | None) -> tuple[Message, ...]:
    """Set the mark for the provider's cache behind the last block, where that can have one."""
    if cache is None:
        return tuple(said)
    last = said[-1].parts[-1]
    if not isinstance(last, Text) or last.cache is not None:
        return tuple(said)
    parts = (*said[-1].parts[:-1], Text(last.text, cache))
    return (*said[:-1], msgspec.structs.replace(said[-1], parts=parts))


def _check(name: str, value: float | None, least: int, most: int, expected: str) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidRequest(f"{name}: got {value:g}, expected {expected}", field=name)
