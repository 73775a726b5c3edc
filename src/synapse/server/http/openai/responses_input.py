"""From the items of a client of the Responses API to messages of the domain.

Items are flat: thoughts, text and calls of one turn stand one after the other. In the domain they are one message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Image, ImageUrl, Message, Role, Text, Thinking, ToolCall, ToolResult
from synapse.server.http.explain import misread
from synapse.server.http.openai.media import FileData, ImagePart, Url, audio, cache_of, file, image
from synapse.server.http.openai.messages import call_arguments
from synapse.server.http.openai.responses_items import (
    CallItem,
    CallOutputItem,
    InputFile,
    InputImage,
    InputText,
    ItemKind,
    MessageItem,
    OutputText,
    ReasoningItem,
    Refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse.domain.request import Part
    from synapse.server.http.openai.responses_items import ContentPart

T = TypeVar("T")

_kind = msgspec.json.Decoder(ItemKind).decode
_message = msgspec.json.Decoder(MessageItem).decode
_call = msgspec.json.Decoder(CallItem).decode
_call_output = msgspec.json.Decoder(CallOutputItem).decode
_reasoning = msgspec.json.Decoder(ReasoningItem).decode

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_TYPES = "message, function_call, function_call_output or reasoning"
_LONGEST_SHOWN = 80


def input_messages(given: str | Sequence[msgspec.Raw], instructions: str | None) -> tuple[Message, ...]:
    """Read a conversation. Raises `InvalidRequest` that names the place."""
    opening = (Message(Role.SYSTEM, (Text(instructions),)),) if instructions else ()
    if isinstance(given, str):
        return (*opening, Message(Role.USER, (Text(given),)))
    messages = Items().read(given)
    if not messages:
        raise _wrong("input", "it is empty; there is nothing to answer")
    return (*opening, *messages)


class Items:
    """Reads item by item, and knows which calls wait for their results."""

    __slots__ = ("_messages", "_names", "_open", "_results", "_said")

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._messages: list[Message] = []
        self._said: list[Part] = []
        """What the model said in the turn that goes on."""
        self._results: list[Part] = []
        """Results that stand one after the other: they are said in one message."""
        self._names: dict[str, str] = {}
        """What each call so far was of."""
        self._open: dict[str, str] = {}
        """Calls without a result, with the place where they stand."""

    def read(self, items: Sequence[msgspec.Raw]) -> tuple[Message, ...]:
        """Read all items."""
        for index, item in enumerate(items):
            self._add(item, f"input[{index}]")
        self._end_turn()
        self._end_results()
        return tuple(self._messages)

    def _add(self, item: msgspec.Raw, field: str) -> None:
        kind = _decoded(_kind, item, field)
        match kind.type:
            case "message":
                self._add_message(_decoded(_message, item, field), field)
            case None if kind.role is not None:
                self._add_message(_decoded(_message, item, field), field)
            case "function_call":
                self._add_call(_decoded(_call, item, field), field)
            case "function_call_output":
                self._add_result(_decoded(_call_output, item, field), field)
            case "reasoning":
                self._think(_decoded(_reasoning, item, field))
            case _:
                raise _unreadable(kind, field)

    def _add_message(self, item: MessageItem, field: str) -> None:
        role = _ROLES.get(item.role)
        if role is None:
            known = ", ".join(_ROLES)
            raise _wrong(f"{field}.role", f"got {item.role[:_LONGEST_SHOWN]!r}, expected one of {known}")
        parts = _parts(item.content, f"{field}.content")
        if role is not Role.USER and not all(isinstance(part, Text) for part in parts):
            raise _wrong(f"{field}.content", f"what the {item.role} says is text; send the rest as the user")
        if role is Role.ASSISTANT:
            self._end_results()
            self._said += [part for part in parts if isinstance(part, Text) and part.text]
            return
        self._end_turn()
        self._end_results()
        if not parts:
            raise _wrong(f"{field}.content", "it is empty; there is nothing to answer")
        self._messages.append(Message(role, parts))

    def _add_call(self, item: CallItem, field: str) -> None:
        self._end_results()
        self._names[item.call_id] = item.name
        self._open[item.call_id] = field
        google = item.extra_content.google if item.extra_content is not None else None
        signature = google.thought_signature if google is not None else None
        self._said.append(ToolCall(item.call_id, item.name, call_arguments(item.arguments, field), signature))

    def _add_result(self, item: CallOutputItem, field: str) -> None:
        self._end_turn()
        name = self._names.get(item.call_id)
        if name is None:
            shown = repr(item.call_id[:_LONGEST_SHOWN])
            raise _wrong(f"{field}.call_id", f"no function_call before it has the call_id {shown}")
        self._open.pop(item.call_id, None)
        content: list[Text | Image | ImageUrl] = []
        for index, part in enumerate(_parts(item.output, f"{field}.output")):
            if not isinstance(part, Text | Image | ImageUrl):
                raise _wrong(f"{field}.output[{index}]", "expected input_text or input_image")
            content.append(part)
        self._results.append(ToolResult(item.call_id, tuple(content), name))

    def _think(self, item: ReasoningItem) -> None:
        """Take thoughts. Those with a summary, be it empty, are signed; those without one are sealed."""
        self._end_results()
        signature, shown = item.encrypted_content, item.summary or item.content
        if shown:
            self._said.append(Thinking("\n\n".join([piece.text for piece in shown]), signature))
        elif signature is not None:
            self._said.append(Thinking("", redacted=signature))

    def _end_turn(self) -> None:
        if self._said:
            self._messages.append(Message(Role.ASSISTANT, tuple(self._said)))
            self._said = []

    def _end_results(self) -> None:
        """End a row of results. All calls before it must be answered: no provider goes on otherwise."""
        if self._results:
            self._messages.append(Message(Role.USER, tuple(self._results)))
            self._results = []
        elif self._said:
            return
        if self._open:
            call, field = next(iter(self._open.items()))
            shown = repr(call[:_LONGEST_SHOWN])
            raise _wrong(field, f"a function_call_output with call_id {shown} must follow, and none does")


def _decoded(decode: Callable[[msgspec.Raw], T], item: msgspec.Raw, field: str) -> T:
    try:
        return decode(item)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        error = misread(exc)
        if error.field is None:
            raise _wrong(field, error.message.removeprefix("the body: ")) from exc
        raise InvalidRequest(f"{field}.{error.message}", field=f"{field}.{error.field}") from exc


def _unreadable(kind: ItemKind, field: str) -> InvalidRequest:
    if kind.type == "item_reference" or (kind.type is None and kind.id is not None):
        return _wrong(f"{field}.type", "answers are not kept, so none can be referred to; send the item itself")
    if kind.type is None:
        return _wrong(f"{field}.role", "it is required; an item without a type is a message")
    return _wrong(f"{field}.type", f"got {kind.type[:_LONGEST_SHOWN]!r}, expected {_TYPES}")


def _parts(content: str | list[ContentPart], field: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple([_part(part, f"{field}[{index}]") for index, part in enumerate(content)])


def _part(part: ContentPart, field: str) -> Part:
    match part:
        case InputText():
            return Text(part.text, cache_of(part.cache_control))
        case OutputText():
            return Text(part.text)
        case Refusal():
            return Text(part.refusal)
        case InputImage():
            return _image(part, field)
        case InputFile():
            return _file(part, field)
        case _:
            return audio(part, field)


def _image(part: InputImage, field: str) -> Image | ImageUrl:
    if part.image_url is None:
        name = "file_id" if part.file_id is not None else "image_url"
        raise _wrong(f"{field}.{name}", "a picture must come with its message: send image_url, http(s) or a data: URL")
    return image(ImagePart(Url(part.image_url, part.detail), part.cache_control), field)


def _file(part: InputFile, field: str) -> Part:
    if part.file_url is not None and part.file_data is None:
        raise _wrong(f"{field}.file_url", "files are not fetched; send file_data, a data: URL or base64")
    return file(FileData(part.file_data, part.filename, part.file_id), field, cache_of(part.cache_control))


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
