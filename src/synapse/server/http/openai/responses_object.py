"""A response as clients read it, whole or so far: every key is there, and null where there is nothing to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain import errors
from synapse.domain.events import FinishReason
from synapse.server.http.openai.chat_answer import service_tier
from synapse.server.http.openai.responses_output import Item, output_items
from synapse.server.http.openai.responses_request import TextOptions
from synapse.server.http.openai.responses_tools import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.domain.answer import Answer
    from synapse.domain.events import Finish
    from synapse.domain.task import Task
    from synapse.domain.usage import Usage
    from synapse.server.http.openai.responses_request import ResponsesBody


class InputDetails(msgspec.Struct):
    """What the input consisted of."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct):
    """What the output consisted of."""

    reasoning_tokens: int


class ResponseUsage(msgspec.Struct):
    """The value of `usage`."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    """Reasoning included."""
    output_tokens_details: OutputDetails
    total_tokens: int
    cost: float | UnsetType = UNSET
    """US dollars; Synapse's own field, where the price is known."""


class ResponseError(msgspec.Struct):
    """Why there is no answer."""

    code: str
    message: str


class IncompleteDetails(msgspec.Struct):
    """Why the answer is not whole."""

    reason: str


class ReasoningEcho(msgspec.Struct):
    """How much was to be thought."""

    effort: str | None = None
    summary: str | None = None


class ToolEcho(msgspec.Struct):
    """A tool that could be called."""

    name: str
    description: str | None
    parameters: msgspec.Raw | None
    strict: bool | None
    type: str = "function"


class ResponseObject(msgspec.Struct, kw_only=True):
    """The response."""

    id: str
    object: str = "response"
    created_at: int
    status: str = "in_progress"
    background: bool = False
    completed_at: int | None = None
    error: ResponseError | None = None
    frequency_penalty: None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    """The code of the model that answered: a fallback's where one did."""
    output: list[Item] = []
    """Always a list: the official client fails at null."""
    parallel_tool_calls: bool
    presence_penalty: None = None
    previous_response_id: None = None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    reasoning: ReasoningEcho
    safety_identifier: str | None
    service_tier: str
    store: bool = False
    temperature: float | None
    text: TextOptions
    tool_choice: Choice
    tools: list[ToolEcho]
    top_logprobs: int
    top_p: float | None
    truncation: str = "disabled"
    """Whatever was asked: nothing is ever cut from the input. One that is too long for a model fails in words."""
    usage: ResponseUsage | None = None
    user: str | None
    metadata: dict[str, str]


_ERROR_CODES: Final[Mapping[str, str]] = {
    errors.InvalidRequest.code: "invalid_prompt",
    errors.UnsupportedParameter.code: "invalid_prompt",
    errors.QueueFull.code: "rate_limit_exceeded",
    errors.WaitTooLong.code: "rate_limit_exceeded",
}
"""What errors are called in a response that failed; clients know few names. All others are faults of the server."""
_INCOMPLETE: Final[Mapping[FinishReason, str]] = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}
"""Answers that are not whole, and why. There is no `finish_reason`: one that ends in tool calls is complete."""

encode_object = msgspec.json.Encoder().encode


def response_id(task_id: str) -> str:
    """Return an answer's id: that of its task, as clients know the form."""
    return f"resp_{task_id.removeprefix('task_')}"


def new_response(task: Task, body: ResponsesBody) -> ResponseObject:
    """Return the response to a request before there is anything of its answer."""
    return ResponseObject(
        id=response_id(task.id),
        created_at=int(task.created_at),
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        model=task.request.model,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        prompt_cache_key=body.prompt_cache_key,
        prompt_cache_retention=body.prompt_cache_retention,
        reasoning=_reasoning(body),
        safety_identifier=body.safety_identifier,
        service_tier=service_tier(task),
        temperature=body.temperature,
        text=body.text or TextOptions(),
        tool_choice="auto" if body.tool_choice is None else body.tool_choice,
        tools=[ToolEcho(tool.name, tool.description, tool.schema, tool.strict) for tool in task.request.tools],
        top_logprobs=body.top_logprobs or 0,
        top_p=body.top_p,
        user=body.user,
        metadata=body.metadata or {},
    )


def is_complete(finish: Finish) -> bool:
    """Say whether an answer is whole."""
    return finish.reason not in _INCOMPLETE


def ended(response: ResponseObject, finish: Finish, output: list[Item], now: float) -> ResponseObject:
    """Return a response whose answer has ended; `now` is when, in seconds, UTC."""
    reason = _INCOMPLETE.get(finish.reason)
    return msgspec.structs.replace(
        response,
        status="completed" if reason is None else "incomplete",
        completed_at=int(now) if reason is None else None,
        incomplete_details=None if reason is None else IncompleteDetails(reason),
        model=finish.fallen_to or response.model,
        output=output,
        usage=response_usage(finish.usage),
    )


def failed(response: ResponseObject, error: errors.SynapseError, output: list[Item]) -> ResponseObject:
    """Return a response whose answer will not be whole."""
    code = _ERROR_CODES.get(error.code, "server_error")
    return msgspec.structs.replace(response, status="failed", error=ResponseError(code, error.message), output=output)


def answered(task: Task, body: ResponsesBody, answer: Answer, now: float) -> ResponseObject:
    """Return the response with a whole answer."""
    output = output_items(task.id, answer, complete=is_complete(answer.finish))
    return ended(new_response(task, body), answer.finish, output, now)


def response_usage(usage: Usage) -> ResponseUsage:
    """Say what an answer took. A provider's own total counts, where it gave one."""
    return ResponseUsage(
        usage.input_tokens,
        InputDetails(usage.cached_tokens, usage.cache_write_tokens),
        usage.output_tokens,
        OutputDetails(usage.thinking_tokens),
        usage.total_tokens or usage.input_tokens + usage.output_tokens,
        UNSET if usage.cost is None else usage.cost,
    )


def _reasoning(body: ResponsesBody) -> ReasoningEcho:
    given = body.reasoning
    return ReasoningEcho() if given is None else ReasoningEcho(given.effort, given.summary or given.generate_summary)
