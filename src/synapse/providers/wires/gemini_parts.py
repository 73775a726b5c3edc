"""The pieces of a turn, as Gemini reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.request import Audio, Document, Image, ImageUrl, Part, Text, Thinking, ToolCall, ToolResult
from synapse.providers.wires import gemini_body as body
from synapse.providers.wires.faults import UNREADABLE
from synapse.providers.wires.gemini_media import audio_type, document_type, image_type
from synapse.providers.wires.gemini_signatures import foreign

if TYPE_CHECKING:
    from collections.abc import Iterable

    from synapse.providers.wires.gemini_models import Traits

_NO_ARGUMENTS: Final = msgspec.Raw(b"{}")
_NAMELESS: Final = "tool"

_encode = msgspec.json.Encoder().encode


def written(parts: Iterable[Part], model: Traits) -> list[body.Part]:
    """Write the pieces of a turn. Results of tools are none of them: see `response`."""
    return [piece for part in parts if (piece := _written(part, model)) is not None]


def response(result: ToolResult, name: str, model: Traits) -> tuple[body.Part, list[body.Part]]:
    """Write what the function of that name gave back, and what of it has to be shown beside."""
    inside: list[body.ResponsePart] = []
    beside: list[Part] = []
    for part in result.content:
        if isinstance(part, Image) and model.hears_pictures_of_tools:
            inside.append(body.ResponsePart(_image(part)))
        elif not isinstance(part, Text):
            beside.append(part)
    given = body.FunctionResponse(
        name or result.name or result.call_id or _NAMELESS, _given(result), result.call_id or None, inside or None
    )
    return body.Part(function_response=given), written(beside, model)


def _written(part: Part, model: Traits) -> body.Part | None:
    match part:
        case Text(text):
            return body.Part(text)
        case ToolCall():
            return _call(part, model)
        case Thinking(text, signature):
            return _thought(text, signature, model)
        case ImageUrl(url):
            return body.Part(file_data=body.FileData(url, image_type(url)))
        case ToolResult():
            return None
        case _:
            return body.Part(inline_data=_file(part))


def _file(part: Image | Audio | Document) -> body.Blob:
    """Write a file. One of a type that is not known is sent all the same: Gemini says best what is wrong with it."""
    match part:
        case Audio(media_type, data):
            return body.Blob(audio_type(media_type) or media_type, data)
        case Document(media_type, data):
            return body.Blob(document_type(media_type) or media_type, data)
        case _:
            return _image(part)


def _image(part: Image) -> body.Blob:
    return body.Blob(part.media_type, part.data)


def _call(call: ToolCall, model: Traits) -> body.Part:
    made = body.FunctionCall(call.name, _arguments(call.arguments), call.id or None)
    return body.Part(function_call=made, thought_signature=_kept(call.signature, model))


def _thought(text: str, signature: str | None, model: Traits) -> body.Part | None:
    """Give back what is signed. What is not is another model's, or was only a summary."""
    kept = _kept(signature, model)
    return None if kept is None else body.Part(text, thought=bool(text), thought_signature=kept)


def _kept(signature: str | None, model: Traits) -> str | None:
    return signature if signature and model.signs and not foreign(signature) else None


def _arguments(arguments: str) -> msgspec.Raw:
    """Return a call's arguments; those that are no object, as a broken-off call's may be, are put into one."""
    if not arguments.strip():
        return _NO_ARGUMENTS
    found = _object(arguments)
    return msgspec.Raw(_encode({"arguments": arguments})) if found is None else found


def _given(result: ToolResult) -> msgspec.Raw:
    """Return what a tool gave back as the object that it has to be."""
    text = "\n".join([part.text for part in result.content if isinstance(part, Text)])
    found = _object(text)
    if result.is_error:
        return msgspec.Raw(_encode({"error": text if found is None else found}))
    return msgspec.Raw(_encode({"output": text})) if found is None else found


def _object(text: str) -> msgspec.Raw | None:
    """Return the text as JSON if it is an object."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return None
    return msgspec.Raw(text.encode())
