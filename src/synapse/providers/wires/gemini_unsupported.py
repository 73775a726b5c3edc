"""What of a request Google's models cannot honour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.request import Audio, Document, Image, ImageUrl, Text, ToolResult
from synapse.domain.tools import ToolMode
from synapse.domain.unsupported import Unsupported
from synapse.providers.wires.gemini_extras import COUNT, GOOGLE, asked
from synapse.providers.wires.gemini_media import IMAGES, audio_type, document_type, reachable
from synapse.providers.wires.gemini_models import traits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.domain.request import Part, Reasoning, Request
    from synapse.providers.wires.gemini_models import Traits

_MOST_STOPS: Final = 5
_MOST_LOGPROBS: Final = 20
_SEEDS: Final = 2**31


def unsupported(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Name what would change the answer and cannot be said to the model of that name, each name once."""
    if request.embedding is not None:
        return ()
    found: dict[str, Unsupported] = {}
    for each in _all(request, traits(model)):
        found.setdefault(each.parameter, each)
    return tuple(found.values())


def _all(request: Request, model: Traits) -> Iterator[Unsupported]:
    for message in request.messages:
        for part in message.parts:
            if type(part) is not Text:
                yield from _part(part, model)
    yield from _sampling(request, model)
    if request.tools:
        yield from _tools(request, model)
    elif request.tool_choice is not None and request.tool_choice.mode is ToolMode.REQUIRED:
        yield Unsupported("tool_choice", "it works where tools are given")
    if request.reasoning is not None and model.thinking is None and _thinks(request.reasoning):
        yield Unsupported("reasoning", "leave it out, or ask a model that thinks, such as gemini-2.5-flash")
    if request.extras:
        yield from _extras(request)


def _sampling(request: Request, model: Traits) -> Iterator[Unsupported]:
    sampling = request.sampling
    if len(sampling.stop) > _MOST_STOPS:
        yield Unsupported("stop", f"up to {_MOST_STOPS} of them do work; there are {len(sampling.stop)}")
    if sampling.seed is not None and not -_SEEDS <= sampling.seed < _SEEDS:
        yield Unsupported("seed", f"whole numbers from {-_SEEDS} to {_SEEDS - 1} do work")
    if sampling.logprobs is None:
        return
    if not model.tells_logprobs:
        yield Unsupported("logprobs", "leave it out: of Google's models only those of Gemini 2.0 tell them")
    elif sampling.logprobs > _MOST_LOGPROBS:
        yield Unsupported("logprobs", f"those of up to {_MOST_LOGPROBS} others do work")


def _tools(request: Request, model: Traits) -> Iterator[Unsupported]:
    choice = request.tool_choice
    if choice is not None and choice.parallel is False and choice.mode is not ToolMode.NONE:
        yield Unsupported("parallel_tool_calls", "leave it out: the model may ask for several calls at once")
    if request.response_format is not None and not model.calls_and_writes_json:
        yield Unsupported("response_format", "it works without tools, and beside them from Gemini 3 on")


def _thinks(reasoning: Reasoning) -> bool:
    return reasoning.effort not in {None, "none"} or reasoning.budget not in {None, 0}


def _part(part: Part, model: Traits) -> Iterator[Unsupported]:
    match part:
        case Image(media_type) if media_type not in IMAGES:
            yield Unsupported("images", f"one is {media_type}; PNG, JPEG, WebP, HEIC and HEIF do work")
        case ImageUrl(url) if not reachable(url, model):
            yield Unsupported("image_urls", "send the picture itself, as a data: URL")
        case Audio(media_type) if audio_type(media_type) is None:
            yield Unsupported("audio", f"one is {media_type}; WAV, MP3, AIFF, AAC, Ogg and FLAC do work")
        case Document(media_type) if document_type(media_type) is None:
            yield Unsupported("documents", f"one is {media_type}; PDF and all kinds of text do work")
        case ToolResult(_, content):
            for inner in content:
                yield from _result(inner, model)
        case _:
            pass


def _result(part: Text | Image | ImageUrl, model: Traits) -> Iterator[Unsupported]:
    """Pictures that tools gave back have to be there: nobody fetches them."""
    if isinstance(part, ImageUrl):
        yield Unsupported("image_urls", "send the picture itself, as a data: URL")
    else:
        yield from _part(part, model)


def _extras(request: Request) -> Iterator[Unsupported]:
    found = asked(request.extras)
    if found is None:
        yield Unsupported(GOOGLE, "give it, and its generationConfig, as objects with the names of Gemini's API")
    elif found.counts:
        yield Unsupported(COUNT, "ask for several answers as the API you use does, with n where there is one")
