"""Writing requests for Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from synapse.domain.request import Request
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires.anthropic_messages import CacheControl, TextBlock, Turn, cache, system, turns
from synapse.providers.wires.anthropic_models import adaptive, refuses_sampling
from synapse.providers.wires.base import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Reasoning, Sampling

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


class _Tool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    name: str
    input_schema: msgspec.Raw
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _Choice(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


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
    messages: list[Turn]
    system: list[TextBlock] | None = None
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
    temperature, top_p = _picked(sampling, model)
    return _Body(
        model=model,
        max_tokens=most,
        messages=turns(request.messages),
        system=system(request.messages),
        temperature=temperature,
        top_p=top_p,
        top_k=sampling.top_k,
        stop_sequences=sampling.stop,
        stream=request.stream,
        tools=[_tool(tool) for tool in _offered(request)] or None,
        tool_choice=_choice(request.tool_choice) if request.tools else None,
        thinking=thinking,
        output_config=_output_config(request, model),
        metadata=_Metadata(request.safety_user) if request.safety_user else None,
    )


def _picked(sampling: Sampling, model: str) -> tuple[float | None, float | None]:
    """Return temperature and top_p. One that changes nothing is not said where saying it would be refused.

    Newer models take one of the two, the newest none.
    """
    temperature, top_p = sampling.temperature, sampling.top_p
    neither = refuses_sampling(model)
    if top_p == 1.0 and (neither or temperature is not None):
        top_p = None
    if temperature == 1.0 and (neither or top_p is not None):
        temperature = None
    return temperature, top_p


# --- tools


def _offered(request: Request) -> Sequence[Tool]:
    """Return the tools that may be chosen from. One that must be called is named in the choice instead."""
    choice = request.tool_choice
    if choice is None or not choice.only or (choice.mode is ToolMode.REQUIRED and len(choice.only) == 1):
        return request.tools
    return [tool for tool in request.tools if tool.name in choice.only]


def _tool(tool: Tool) -> _Tool:
    return _Tool(tool.name, tool.schema or _EMPTY_SCHEMA, tool.description, tool.strict, cache(tool.cache))


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


# --- thoughts, and the form of the answer


def thinks(reasoning: Reasoning | None) -> bool:
    """Tell whether the model is asked to think."""
    if reasoning is None or _off(reasoning):
        return False
    return reasoning.effort is not None or reasoning.budget is not None or reasoning.show is True


def _off(reasoning: Reasoning) -> bool:
    return reasoning.effort == "none" or reasoning.budget == 0


def _thinking(reasoning: Reasoning | None, model: str) -> _Thinking | None:
    if reasoning is None or not thinks(reasoning):
        return _Thinking("disabled") if reasoning is not None and _off(reasoning) else None
    display = {True: "summarized", False: "omitted", None: None}[reasoning.show]
    if adaptive(model):
        return _Thinking("adaptive", display=display)
    budget = reasoning.budget if reasoning.budget is not None else _BUDGETS.get(reasoning.effort or "", -1)
    return _Thinking("enabled", max(_LEAST_BUDGET, budget) if budget > 0 else _BUDGETS["medium"], display)


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
