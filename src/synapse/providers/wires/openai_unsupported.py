"""What of a request servers that speak like OpenAI cannot honour, where that is certain: else the server decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.request import Audio, Document, Image, ToolResult
from synapse.domain.unsupported import Unsupported
from synapse.providers.wires.openai_models import Model, Thinks, told_by
from synapse.providers.wires.openai_parts import SOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synapse.domain.request import Part, Reasoning, Request, Sampling
    from synapse.providers.wires.openai_dialects import Dialect

_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_PDF = "application/pdf"
_HINTS: Final = {"top_k": "temperature and top_p do work", "logprobs": "leave it out"}
_PICKED: Final = (
    ("temperature", 1.0),
    ("top_p", 1.0),
    ("presence_penalty", 0.0),
    ("frequency_penalty", 0.0),
    ("logprobs", None),
)
"""How a model picks its words, and the one value of each that a model takes while it thinks."""
_EFFORTS: Final = ("low", "medium", "high")
"""What all of the models take that always think."""
_STOPPABLE: Final = frozenset({"o1"})
"""Those of them that take texts at which to stop."""


def unsupported(dialect: Dialect) -> Callable[[Request, str], tuple[Unsupported, ...]]:
    """Return what names those parts of a request that a server cannot honour."""

    def check(request: Request, model: str) -> tuple[Unsupported, ...]:
        refused = [
            Unsupported(name, _HINTS[name])
            for name in dialect.unknown
            if getattr(request.sampling, name, None) is not None
        ]
        told = told_by(model)
        return (*refused, *_all(request, told)) if told.own else tuple(refused)

    return check


def _all(request: Request, model: Model) -> Iterator[Unsupported]:
    choice = request.tool_choice
    if request.sampling.top_k is not None:
        yield Unsupported("top_k", _HINTS["top_k"])
    if request.reasoning is not None:
        yield from _reasoning(request.reasoning, model)
    yield from _sampling(request.sampling, request.reasoning, model)
    if choice is not None and choice.parallel is False and model.series.startswith("o"):
        yield Unsupported("parallel_tool_calls", "leave it out")
    for message in request.messages:
        for part in message.parts:
            yield from _part(part)


def _reasoning(reasoning: Reasoning, model: Model) -> Iterator[Unsupported]:
    if model.thinks is Thinks.NEVER and _wanted(reasoning):
        yield Unsupported("reasoning", "it does not think; leave it out")
    if model.thinks is Thinks.ALWAYS and (_off(reasoning) or reasoning.effort not in {None, *_efforts(model)}):
        yield Unsupported("reasoning", f"of the efforts {', '.join(_efforts(model))} do work")


def _efforts(model: Model) -> tuple[str, ...]:
    return ("minimal", *_EFFORTS) if model.series == "gpt" else _EFFORTS


def _off(reasoning: Reasoning) -> bool:
    return reasoning.effort == "none" or (reasoning.effort is None and reasoning.budget == 0)


def _wanted(reasoning: Reasoning) -> bool:
    return not _off(reasoning) and (reasoning.effort is not None or (reasoning.budget or 0) > 0)


def _sampling(sampling: Sampling, reasoning: Reasoning | None, model: Model) -> Iterator[Unsupported]:
    always = model.thinks is Thinks.ALWAYS
    if always or (model.thinks is Thinks.IF_ASKED and reasoning is not None and _wanted(reasoning)):
        hint = "the model picks its words itself; leave it out" if always else "it does work without a reasoning effort"
        for name, taken in _PICKED:
            if getattr(sampling, name) not in {None, taken}:
                yield Unsupported(name, hint)
    if sampling.stop and always and model.series not in _STOPPABLE:
        yield Unsupported("stop", "say in the prompt where to end")


def _part(part: Part) -> Iterator[Unsupported]:
    match part:
        case Image(media_type) if media_type not in _IMAGES:
            yield Unsupported("images", f"it is {media_type}; PNG, JPEG, GIF and WebP do work")
        case Audio(media_type) if media_type not in SOUNDS:
            yield Unsupported("audio", f"it is {media_type}; WAV and MP3 do work")
        case Document(media_type) if media_type != _PDF and not media_type.startswith("text/"):
            yield Unsupported("documents", f"it is {media_type}; PDF and text do work")
        case ToolResult(_, content):
            for inner in content:
                yield from _part(inner)
        case _:
            pass
