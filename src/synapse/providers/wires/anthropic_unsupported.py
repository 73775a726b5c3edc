"""What of a request Anthropic's models cannot honour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.domain.request import Audio, Document, Image, ToolResult
from synapse.domain.tools import ToolMode
from synapse.domain.unsupported import Unsupported
from synapse.providers.wires.anthropic_models import picks_one_way, refuses_sampling
from synapse.providers.wires.anthropic_request import thinks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.domain.request import Part, Request, Sampling

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})
_LEAST_TOP_P = 0.95
"""While the model thinks."""


def unsupported(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Name what would change the answer and cannot be said to this model; each parameter once."""
    found: dict[str, Unsupported] = {}
    for each in _all(request, model):
        found.setdefault(each.parameter, each)
    return tuple(found.values())


def _all(request: Request, model: str) -> Iterator[Unsupported]:
    sampling, choice = request.sampling, request.tool_choice
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs"):
        if getattr(sampling, name) is not None:
            yield Unsupported(name, "temperature, top_p, top_k and stop do work")
    yield from _picked(sampling, model)
    if thinks(request.reasoning):
        yield from _while_thinking(sampling)
        if choice is not None and choice.mode is ToolMode.REQUIRED:
            yield Unsupported("tool_choice", "while the model thinks, auto and none do work; or turn thinking off")
    if request.response_format is not None and request.response_format.schema is None:
        yield Unsupported("response_format", "a JSON schema does work; or ask for JSON in the prompt")
    for message in request.messages:
        for part in message.parts:
            yield from _part(part)


def _picked(sampling: Sampling, model: str) -> Iterator[Unsupported]:
    changes_temperature, changes_top_p = (each not in {None, 1.0} for each in (sampling.temperature, sampling.top_p))
    if refuses_sampling(model):
        for name, changes in (("temperature", changes_temperature), ("top_p", changes_top_p)):
            if changes:
                yield Unsupported(name, "the model picks its words itself; leave it out")
        if sampling.top_k is not None:
            yield Unsupported("top_k", "the model picks its words itself; leave it out")
    elif picks_one_way(model) and changes_temperature and changes_top_p:
        yield Unsupported("top_p", "temperature does work; or leave that out")
    if sampling.temperature is not None and sampling.temperature > 1.0:
        yield Unsupported("temperature", "numbers from 0 to 1 do work")


def _while_thinking(sampling: Sampling) -> Iterator[Unsupported]:
    hint = "while the model thinks it has to be left out; or turn thinking off"
    if sampling.temperature not in {None, 1.0}:
        yield Unsupported("temperature", hint)
    if sampling.top_p is not None and sampling.top_p < _LEAST_TOP_P:
        yield Unsupported("top_p", f"while the model thinks, numbers from {_LEAST_TOP_P} on do work")
    if sampling.top_k is not None:
        yield Unsupported("top_k", hint)


def _part(part: Part) -> Iterator[Unsupported]:
    match part:
        case Audio():
            yield Unsupported("audio", "text, images and PDF documents do work")
        case Image(media_type) if media_type not in _IMAGES:
            yield Unsupported("images", f"it is {media_type}; PNG, JPEG, GIF and WebP do work")
        case Document(media_type) if media_type not in _DOCUMENTS:
            yield Unsupported("documents", f"it is {media_type}; PDF and plain text do work")
        case ToolResult(_, content):
            for inner in content:
                yield from _part(inner)
        case _:
            pass
