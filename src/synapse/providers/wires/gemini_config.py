"""How Gemini is to answer: sampling, thinking, form, tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.request import Sampling
from synapse.domain.tools import ToolMode
from synapse.providers.wires import gemini_body as body
from synapse.providers.wires.gemini_models import Budget, Levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.domain.request import Reasoning, Request
    from synapse.domain.tools import Tool, ToolChoice
    from synapse.providers.wires.gemini_models import Traits

_DEFAULTS: Final = Sampling()
_JSON: Final = "application/json"
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768,
}  # fmt: skip
"""Tokens of thinking for each effort; up to `high` as Google's own port for OpenAI's clients has them."""
_RANKS: Final[Mapping[str, int]] = {
    "none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 3, "max": 3,
    "MINIMAL": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3,
}  # fmt: skip
_AS_LONG_AS_IT_LIKES: Final = -1
_VALIDATED: Final = "VALIDATED"
_NOTHING: Final = body.ThinkingConfig()


def generation_config(request: Request, model: Traits) -> body.GenerationConfig | None:
    """Say how the answer is to be made; None where all is left open."""
    sampling, form = request.sampling, request.response_format
    thinking = None if request.reasoning is None else _thinking_config(request.reasoning, model)
    if sampling == _DEFAULTS and form is None and thinking is None:
        return None
    return body.GenerationConfig(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_output_tokens=sampling.max_output_tokens,
        stop_sequences=sampling.stop,
        seed=sampling.seed,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        response_logprobs=sampling.logprobs is not None,
        logprobs=sampling.logprobs or None,
        response_mime_type=None if form is None else _JSON,
        response_json_schema=None if form is None else form.schema,
        thinking_config=thinking,
    )


def tools(request: Request) -> list[body.Tool] | None:
    """Declare the functions, all in one tool. Their schemas go as JSON Schema: the other form refuses much of it."""
    if not request.tools:
        return None
    return [body.Tool([_declaration(tool) for tool in request.tools])]


def tool_config(request: Request) -> body.ToolConfig | None:
    """Say which functions are to be called; None where the model may choose, and where there are none."""
    config = _calling(request.tools, request.tool_choice) if request.tools else None
    return None if config is None else body.ToolConfig(config)


def _declaration(tool: Tool) -> body.FunctionDeclaration:
    return body.FunctionDeclaration(tool.name, tool.description or "", tool.schema)


def _calling(tools: tuple[Tool, ...], choice: ToolChoice | None) -> body.FunctionCallingConfig | None:
    mode, only = (None, ()) if choice is None else (choice.mode, choice.only)
    match mode:
        case ToolMode.NONE:
            return body.FunctionCallingConfig("NONE")
        case ToolMode.REQUIRED:
            return body.FunctionCallingConfig("ANY", only)
    # Names may only be given with ANY and VALIDATED; this is also the mode that holds calls to their schemas.
    if only or any(tool.strict for tool in tools):
        return body.FunctionCallingConfig(_VALIDATED, only)
    return None if mode is None else body.FunctionCallingConfig("AUTO")


def _thinking_config(reasoning: Reasoning, model: Traits) -> body.ThinkingConfig | None:
    show = bool(reasoning.show)
    match model.thinking:
        case Budget() as limits:
            budget = _budget(reasoning, limits)
            config = body.ThinkingConfig(show and budget != 0, budget)
        case Levels(known):
            config = body.ThinkingConfig(show, None, _level(reasoning, known))
        case None:
            return None
    return None if config == _NOTHING else config


def _budget(reasoning: Reasoning, limits: Budget) -> int | None:
    """Return the tokens that come nearest to what is wished, of those that the model takes."""
    wished = reasoning.budget if reasoning.budget is not None else _BUDGETS.get(reasoning.effort or "")
    if wished is None or wished == _AS_LONG_AS_IT_LIKES or (wished == 0 and limits.stoppable):
        return wished
    return min(max(wished, limits.least), limits.most)


def _level(reasoning: Reasoning, known: tuple[str, ...]) -> str | None:
    """Return the level that comes nearest to what is wished, of those that the model knows; the higher one of two."""
    wished = _RANKS.get(reasoning.effort or "")
    if wished is None:
        wished = _rank(reasoning.budget)
    if wished is None:
        return None
    return min(known, key=lambda level: (abs(_RANKS[level] - wished), -_RANKS[level]))


def _rank(budget: int | None) -> int | None:
    """Say how much thinking a budget is, by the same measure as the budgets of efforts."""
    if budget is None or budget == _AS_LONG_AS_IT_LIKES:
        return None
    if budget <= 0:
        return _RANKS["none"]
    return next((_RANKS[effort] for effort in ("low", "medium") if budget <= _BUDGETS[effort]), _RANKS["high"])
