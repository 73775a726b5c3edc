"""Writing requests for chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Raw

from synapse.domain.request import Reasoning, Request, ResponseFormat, Sampling
from synapse.domain.tools import Tool, ToolMode
from synapse.providers.wires.base import Call
from synapse.providers.wires.openai_messages import Turn, turns
from synapse.providers.wires.openai_models import Thinks, told_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.domain.credential import Credential
    from synapse.providers.wires.openai_dialects import Dialect


class _StreamOptions(msgspec.Struct, frozen=True, gc=False):
    include_usage: bool


class _Function(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="function"):
    function: _Function


class _Allowed(msgspec.Struct, frozen=True, gc=False):
    mode: str
    tools: list[_Tool]


class _AllowedTools(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="allowed_tools"):
    allowed_tools: _Allowed


class _Schema(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    name: str
    schema: Raw
    description: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    json_schema: _Schema | None = None


class _Reasoning(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class _Switch(msgspec.Struct, frozen=True, gc=False):
    type: Literal["enabled", "disabled"]


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[Turn]
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    random_seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Tool | _AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    thinking: _Switch | None = None
    user: str | None = None


_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')
_WITH_USAGE = _StreamOptions(include_usage=True)
_EFFORTS: Final = ((2048, "low"), (8192, "medium"))
"""Budgets of thinking up to which an effort is the nearest; a larger one is a high effort."""


def encoder(dialect: Dialect) -> Callable[[Request, str, Credential | None], Call]:
    """Return what writes requests for a server; their path goes behind a base URL like `…/v1`."""

    def encode(request: Request, model: str, credential: Credential | None) -> Call:
        body = _encode(_body(request, model, dialect))
        if request.extras:
            body = _encode({**_decode_fields(body), **request.extras})
        return Call("/chat/completions", headers(credential), body)

    return encode


def headers(credential: Credential | None) -> dict[str, str]:
    """Return the headers of a request; a server without keys gets none."""
    if credential is None:
        return {"content-type": "application/json"}
    return {"content-type": "application/json", "authorization": f"Bearer {credential.key}"}


def _body(request: Request, model: str, dialect: Dialect) -> _Body:
    sampling = request.sampling
    body = _Body(
        model=model,
        messages=turns(request.messages, dialect, model),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop=sampling.stop,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        stream=request.stream,
        stream_options=_WITH_USAGE if request.stream and not dialect.usage_unasked else None,
    )
    _add_numbers(body, sampling, dialect)
    if request.tools:
        _add_tools(body, request)
    if request.response_format is not None:
        body.response_format = _format(request.response_format)
    if request.reasoning is not None:
        _add_reasoning(body, request.reasoning, dialect)
    if request.safety_user is not None and dialect.takes_user:
        body.user = request.safety_user
    return body


def _add_numbers(body: _Body, sampling: Sampling, dialect: Dialect) -> None:
    if sampling.max_output_tokens is not None:
        if told_by(body.model).counts_thoughts:
            body.max_completion_tokens = sampling.max_output_tokens
        else:
            body.max_tokens = sampling.max_output_tokens
    if sampling.seed is not None:
        setattr(body, dialect.seed, sampling.seed)
    if sampling.logprobs is not None:
        body.logprobs = True
        body.top_logprobs = sampling.logprobs or None


# --- tools


def _add_tools(body: _Body, request: Request) -> None:
    choice = request.tool_choice
    body.tools = [_tool(tool) for tool in request.tools]
    if choice is None:
        return
    body.parallel_tool_calls = choice.parallel
    if choice.mode is ToolMode.REQUIRED and len(choice.only) == 1:
        body.tool_choice = _named(choice.only[0])
    elif not choice.only or choice.mode is ToolMode.NONE:
        body.tool_choice = choice.mode
    elif told_by(body.model).own:
        mode = choice.mode or ToolMode.AUTO
        body.tool_choice = _AllowedTools(_Allowed(mode, [_named(name) for name in choice.only]))
    else:
        # Only OpenAI's own models know of some among the tools; the others are shown no other.
        body.tools = [_tool(tool) for tool in request.tools if tool.name in choice.only]
        body.tool_choice = choice.mode


def _tool(tool: Tool) -> _Tool:
    return _Tool(_Function(tool.name, tool.description, tool.schema or _NO_ARGUMENTS, tool.strict))


def _named(name: str) -> _Tool:
    return _Tool(_Function(name))


# --- the form of the answer, and the thinking before it


def _format(wanted: ResponseFormat) -> _Format:
    if wanted.schema is None:
        return _Format("json_object")
    return _Format("json_schema", _Schema(wanted.name or "response", wanted.schema, wanted.description, wanted.strict))


def _add_reasoning(body: _Body, reasoning: Reasoning, dialect: Dialect) -> None:
    if dialect.reasoning_object:
        body.reasoning = _reasoning(reasoning)
        return
    effort = reasoning.effort if reasoning.effort is not None else _effort(reasoning.budget)
    if effort == "none" and dialect.thinking_switch:
        body.thinking = _Switch("disabled")
    elif effort != "none" or told_by(body.model).thinks is not Thinks.NEVER:
        body.reasoning_effort = effort


def _effort(budget: int | None) -> str | None:
    """Return the effort that is nearest to a budget; None where the model is free to think as much as it likes."""
    if budget is None or budget < 0:
        return None
    if budget == 0:
        return "none"
    return next((effort for most, effort in _EFFORTS if budget <= most), "high")


def _reasoning(reasoning: Reasoning) -> _Reasoning:
    exclude = True if reasoning.show is False else None
    if reasoning.effort is not None:
        return _Reasoning(reasoning.effort, exclude=exclude)
    if reasoning.budget is None or reasoning.budget < 0:
        return _Reasoning(enabled=True if reasoning.budget is not None or reasoning.show else None, exclude=exclude)
    if reasoning.budget == 0:
        return _Reasoning("none", exclude=exclude)
    return _Reasoning(max_tokens=reasoning.budget, exclude=exclude)
