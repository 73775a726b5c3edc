"""What of a request Anthropic's models cannot honour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.domain.request import Audio, Document, Image, ToolResult
from synapse.domain.unsupported import Unsupported
from synapse.providers.wires.anthropic_models import refuses_sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.domain.request import Part, Request

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})
_FREE = "the model picks its words itself; leave it out"
_THINKING = "while the model thinks it must be left out; or turn thinking off"


def unsupported(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Name what would change the answer and cannot be said to this model."""
    return tuple(_all(request, model))


def _all(request: Request, model: str) -> Iterator[Unsupported]:
    sampling = request.sampling
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs"):
        if getattr(sampling, name) is not None:
            yield Unsupported(name, "temperature, top_p, top_k and stop do work")
    yield from _sampling(request, model)
    if request.response_format is not None and request.response_format.schema is None:
        yield Unsupported("response_format", "a JSON schema does work; or ask for JSON in the prompt")
    for message in request.messages:
        for part in message.parts:
            yield from _part(part)


def _sampling(request: Request, model: str) -> Iterator[Unsupported]:
    sampling = request.sampling
    if refuses_sampling(model):
        for name in ("temperature", "top_p", "top_k"):
            if getattr(sampling, name) is not None:
                yield Unsupported(name, _FREE)
    elif _thinks(request):
        if sampling.temperature is not None and sampling.temperature != 1.0:
            yield Unsupported("temperature", _THINKING)
        if sampling.top_k is not None:
            yield Unsupported("top_k", _THINKING)
    if sampling.temperature is not None and sampling.temperature > 1.0:
        yield Unsupported("temperature", "numbers from 0 to 1 do work")


def _thinks(request: Request) -> bool:
    reasoning = request.reasoning
    return reasoning is not None and reasoning.effort != "none" and reasoning.budget != 0


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
