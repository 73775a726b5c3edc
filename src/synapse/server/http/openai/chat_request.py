"""The body of `POST /v1/chat/completions`, and the request it becomes."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Reasoning, Request, ResponseFormat, Sampling
from synapse.server.http.openai.messages import messages
from synapse.server.http.openai.raw import schema
from synapse.server.http.openai.terms import Wishes
from synapse.server.http.openai.tools import Choice, CustomTool, FunctionTool, tool_choice, tools
from synapse.server.http.openai.turns import Turn

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LONGEST_SHOWN = 40
"""Characters of a bad value that are sent back."""

Share = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
OffOrMore = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63) + 1, le=2**63 - 1)]
Choices = Annotated[int, Meta(ge=1, le=128)]
Beside = Annotated[int, Meta(ge=0, le=20)]


class TextFormat(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """Prose."""


class ObjectFormat(msgspec.Struct, tag_field="type", tag="json_object", gc=False):
    """Any JSON object."""


class Schema(msgspec.Struct, gc=False):
    """A JSON Schema with its name."""

    name: str
    schema: Raw | UnsetType = UNSET
    description: str | None = None
    strict: bool | None = None


class SchemaFormat(msgspec.Struct, tag_field="type", tag="json_schema", gc=False):
    """JSON that keeps to a schema."""

    json_schema: Schema


class StreamOptions(msgspec.Struct, gc=False):
    """What a stream is to have."""

    include_usage: bool | None = None


class ReasoningOptions(msgspec.Struct, gc=False):
    """OpenRouter's way to say how much to think."""

    effort: str | None = None
    max_tokens: OffOrMore | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class ChatBody(Wishes, kw_only=True, gc=False):
    """The body of a request. Fields that are not here are ignored."""

    model: str
    messages: list[Turn]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Choices | None = None
    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    """The older name."""
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: OffOrMore | None = None
    """Not OpenAI's, but many servers' of this dialect."""
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    logprobs: bool | None = None
    top_logprobs: Beside | None = None
    tools: list[FunctionTool | CustomTool] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | ObjectFormat | SchemaFormat | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningOptions | None = None
    user: str | None = None
    """The older name of `safety_identifier`."""
    safety_identifier: str | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: Raw | UnsetType = UNSET
    prediction: Raw | UnsetType = UNSET
    functions: list[Raw] | None = None
    function_call: Raw | UnsetType = UNSET
    web_search_options: Raw | UnsetType = UNSET
    moderation: Raw | UnsetType = UNSET
    verbosity: str | None = None


decode_body = msgspec.json.Decoder(ChatBody).decode


def chat_request(body: ChatBody) -> Request:
    """Build the request. Raises `InvalidRequest` that names the field and what was expected in its place."""
    if body.stream_options is not None and not body.stream:
        raise _wrong("stream_options", "only a stream has options; send stream: true")
    known = tools(body.tools)
    return Request(
        body.model,
        messages(body.messages),
        _sampling(body),
        bool(body.stream),
        known,
        tool_choice(body.tool_choice, body.parallel_tool_calls, known),
        _response_format(body),
        _reasoning(body),
        safety_user=body.safety_identifier or body.user,
    )


def _sampling(body: ChatBody) -> Sampling:
    stop = body.stop
    return Sampling(
        body.temperature,
        body.top_p,
        body.top_k or None,
        body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens,
        () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        body.seed,
        body.presence_penalty,
        body.frequency_penalty,
        _logprobs(body),
    )


def _logprobs(body: ChatBody) -> int | None:
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise _wrong("top_logprobs", "it says how many beside each token; send logprobs: true with it")
    return None


def _response_format(body: ChatBody) -> ResponseFormat | None:
    match body.response_format:
        case SchemaFormat(given):
            kept = schema(given.schema, "response_format.json_schema.schema")
            return ResponseFormat(kept, given.name, given.description, given.strict)
        case ObjectFormat():
            return ResponseFormat()
        case _:
            return None


def _reasoning(body: ChatBody) -> Reasoning | None:
    """Read how much to think. Who asks for thinking is shown the thoughts, as far as the provider shows them."""
    options = body.reasoning
    if options is None:
        if body.reasoning_effort is None:
            return None
        options = ReasoningOptions(_effort("reasoning_effort", body.reasoning_effort))
    effort = "none" if options.enabled is False else options.effort or body.reasoning_effort
    if effort is not None:
        _effort("reasoning.effort", effort)
    return Reasoning(effort, options.max_tokens, None if effort == "none" else not options.exclude)


def _effort(field: str, given: str) -> str:
    if given not in EFFORTS:
        raise _wrong(field, f"got {given[:_LONGEST_SHOWN]!r}, expected one of {', '.join(EFFORTS)}")
    return given


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
