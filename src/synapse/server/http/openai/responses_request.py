"""The body of `POST /v1/responses`, and the request it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.errors import InvalidRequest, UnsupportedParameter
from synapse.domain.request import Reasoning, Request, ResponseFormat, Sampling
from synapse.server.http.openai.chat_request import EFFORTS
from synapse.server.http.openai.raw import schema
from synapse.server.http.openai.responses_input import input_messages
from synapse.server.http.openai.responses_tools import Choice, FlatTool, tool_choice, tools
from synapse.server.http.openai.terms import Wishes
from synapse.server.http.openai.unsaid import Unsaid

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_TOKENS = 2**31 - 1
_LONGEST_SHOWN = 40
"""Characters of a bad value that are sent back."""
_LOGPROBS = "message.output_text.logprobs"
_SUMMARIES = ("auto", "concise", "detailed")


class TextFormat(msgspec.Struct, tag_field="type", tag="text"):
    """Prose."""


class ObjectFormat(msgspec.Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class SchemaFormat(msgspec.Struct, tag_field="type", tag="json_schema", omit_defaults=True):
    """JSON that keeps to a schema. It is flat here; in chat completions it stands below `json_schema`."""

    name: str
    schema: Raw
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    """How the text of the answer is to be."""

    format: TextFormat | ObjectFormat | SchemaFormat | None = msgspec.field(default_factory=TextFormat)
    verbosity: str | None = "medium"
    """A wish; no answer is wrong for its length."""

    def __post_init__(self) -> None:
        """Read null as what it stands for."""
        self.format = self.format or TextFormat()


class ReasoningOptions(msgspec.Struct):
    """How much to think, and whether to show it."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    """The older name of `summary`."""


class StreamOptions(msgspec.Struct):
    """What a stream is to have. Its pieces are not obfuscated, whatever this says."""

    include_obfuscation: bool | None = None


class ResponsesBody(Wishes, kw_only=True):
    """The body of a request. Fields that are not here are ignored."""

    model: str
    input: str | list[Raw]
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    """Of tools that the provider runs itself; there are none."""
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    tools: list[FlatTool] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    """The older name of `safety_identifier`."""
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    truncation: str | None = None
    store: bool | None = None
    """Answers are never kept, and the answer says so."""
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    context_management: list[Raw] | None = None
    moderation: Raw | UnsetType = UNSET


decode_body = msgspec.json.Decoder(ResponsesBody).decode

_NO_STATE = "answers are not kept; input must carry the conversation"
_UNSAID: Final = (
    Unsaid(
        "background", f"{_NO_STATE}, and the caller wait for the answer", droppable=False, harmless=lambda on: not on
    ),
    Unsaid("previous_response_id", _NO_STATE, droppable=False),
    Unsaid("conversation", _NO_STATE, droppable=False),
    Unsaid("prompt", "templates are not kept; send their text as instructions and input", droppable=False),
    Unsaid("context_management", "shorten the input yourself", harmless=lambda rules: not rules),
    Unsaid("moderation", "leave it out, and moderate beside it"),
)


def leave_out(body: ResponsesBody, *, drop: bool) -> tuple[str, ...]:
    """Return the names of what is left out. Raises `UnsupportedParameter` where the caller has not agreed to that."""
    left_out = []
    for each in _UNSAID:
        value = getattr(body, each.name)
        if value is None or value is UNSET or each.harmless(value):
            continue
        if not (drop and each.droppable):
            raise UnsupportedParameter(f"{each.name}: Synapse cannot honour it; {each.hint}", field=each.name)
        left_out.append(each.name)
    return tuple(left_out)


def responses_request(body: ResponsesBody) -> Request:
    """Build the request. Raises `InvalidRequest` that names the field and what was expected in its place."""
    if body.stream_options is not None and not body.stream:
        raise _wrong("stream_options", "only a stream has options; send stream: true")
    _one_of("truncation", body.truncation, ("auto", "disabled"))
    known = tools(body.tools)
    return Request(
        body.model,
        input_messages(body.input, body.instructions),
        _sampling(body),
        bool(body.stream),
        known,
        tool_choice(body.tool_choice, body.parallel_tool_calls, known),
        _response_format(body),
        _reasoning(body),
        safety_user=body.safety_identifier or body.user,
    )


def _sampling(body: ResponsesBody) -> Sampling:
    _check("temperature", body.temperature, 0.0, 2.0, "a number from 0 to 2")
    _check("top_p", body.top_p, 0.0, 1.0, "a number from 0 to 1")
    _check("max_output_tokens", body.max_output_tokens, 1, _MOST_TOKENS, "a whole number, 1 or more")
    _check("top_logprobs", body.top_logprobs, 0, 20, "a whole number from 0 to 20")
    wanted = body.top_logprobs or _LOGPROBS in (body.include or ())
    return Sampling(
        body.temperature,
        body.top_p,
        max_output_tokens=body.max_output_tokens,
        logprobs=body.top_logprobs or 0 if wanted else None,
    )


def _response_format(body: ResponsesBody) -> ResponseFormat | None:
    match body.text.format if body.text is not None else None:
        case SchemaFormat(name, given, description, strict):
            return ResponseFormat(schema(given, "text.format.schema"), name, description, strict)
        case ObjectFormat():
            return ResponseFormat()
        case _:
            return None


def _reasoning(body: ResponsesBody) -> Reasoning | None:
    options = body.reasoning
    if options is None:
        return None
    summary = options.summary or options.generate_summary
    _one_of("reasoning.effort", options.effort, EFFORTS)
    _one_of("reasoning.summary", summary, _SUMMARIES)
    if options.effort is None and summary is None:
        return None
    return Reasoning(options.effort, show=True if summary is not None else None)


def _one_of(field: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise _wrong(field, f"got {value[:_LONGEST_SHOWN]!r}, expected one of {', '.join(known)}")


def _check(field: str, value: float | None, least: float, most: float, expected: str) -> None:
    if value is not None and not least <= value <= most:
        raise _wrong(field, f"got {str(value)[:_LONGEST_SHOWN]}, expected {expected}")


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
