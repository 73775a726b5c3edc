"""The items of a conversation as clients of the Responses API write them, mostly as they came from here."""

from __future__ import annotations

import msgspec

from synapse.server.http.openai.media import AudioPart, CacheControl
from synapse.server.http.openai.turns import ExtraContent


class InputText(msgspec.Struct, tag_field="type", tag="input_text"):
    """A piece of text."""

    text: str
    cache_control: CacheControl | None = None


class OutputText(msgspec.Struct, tag_field="type", tag="output_text"):
    """A piece of text that the model said."""

    text: str


class Refusal(msgspec.Struct, tag_field="type", tag="refusal"):
    """What the model said in place of an answer."""

    refusal: str


class InputImage(msgspec.Struct, tag_field="type", tag="input_image"):
    """A picture. Its URL is a string here; in chat completions it is an object."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: CacheControl | None = None


class InputFile(msgspec.Struct, tag_field="type", tag="input_file"):
    """A file."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    cache_control: CacheControl | None = None


ContentPart = InputText | OutputText | Refusal | InputImage | InputFile | AudioPart


class MessageItem(msgspec.Struct):
    """What one side said. Its type may be left out."""

    role: str
    content: str | list[ContentPart]


class CallItem(msgspec.Struct):
    """A tool call. What joins it to its result is `call_id`, not `id`."""

    call_id: str
    name: str
    arguments: str
    """A JSON object, as text."""
    extra_content: ExtraContent | None = None


class CallOutputItem(msgspec.Struct):
    """What a tool gave back."""

    call_id: str
    output: str | list[ContentPart]


class ReasoningText(msgspec.Struct):
    """A piece of what the model thought, whole or summed up."""

    text: str = ""


class ReasoningItem(msgspec.Struct):
    """What the model thought, to be given back to it as it came."""

    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class ItemKind(msgspec.Struct):
    """What an item is of; a message where it does not say."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
