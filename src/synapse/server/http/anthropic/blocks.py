"""The messages of a conversation as clients write them."""

from __future__ import annotations

from typing import Literal

import msgspec


class CacheControl(msgspec.Struct):
    """The mark behind what is to be kept in the provider's cache."""

    ttl: Literal["5m", "1h"] | None = None


class TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    """A piece of text."""

    text: str
    cache_control: CacheControl | None = None


class Base64Source(msgspec.Struct, tag_field="type", tag="base64"):
    """A file that comes along."""

    media_type: str
    data: bytes
    """Base64 in JSON."""


class UrlSource(msgspec.Struct, tag_field="type", tag="url"):
    """A file that is to be fetched."""

    url: str


class FileSource(msgspec.Struct, tag_field="type", tag="file"):
    """A file that was uploaded before."""

    file_id: str


class PlainSource(msgspec.Struct, tag_field="type", tag="text"):
    """A plain text that is cited like a file."""

    data: str


class ImageBlock(msgspec.Struct, tag_field="type", tag="image"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class Citations(msgspec.Struct):
    """Whether the answer is to cite a document."""

    enabled: bool = False


class DocumentBlock(msgspec.Struct, tag_field="type", tag="document"):
    """A PDF, or a plain text."""

    source: Base64Source | PlainSource | UrlSource | FileSource
    title: str | None = None
    context: str | None = None
    """What the model is told of it."""
    citations: Citations | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    """What the model thought. Without a signature where it came from a provider that signs nothing."""

    thinking: str
    signature: str = ""


class RedactedBlock(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    """What the model thought, sealed."""

    data: str


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A tool call."""

    id: str
    name: str
    input: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    """A JSON object."""
    signature: str | None = None
    """Synapse's own: the proof some providers want back with a call, as it stood in the answer."""


class ToolResultBlock(msgspec.Struct, tag_field="type", tag="tool_result"):
    """What a tool gave back."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class UserTurn(msgspec.Struct, tag_field="role", tag="user"):
    """What the user says, and what tools gave back."""

    content: str | list[TextBlock | ImageBlock | DocumentBlock | ToolResultBlock]


class AssistantTurn(msgspec.Struct, tag_field="role", tag="assistant"):
    """What the model said, mostly as it came from here. As the last message it is the beginning of the answer."""

    content: str | list[TextBlock | ThinkingBlock | RedactedBlock | ToolUseBlock]


class SystemTurn(msgspec.Struct, tag_field="role", tag="system"):
    """Instructions amid the conversation."""

    content: str | list[TextBlock]


Turn = UserTurn | AssistantTurn | SystemTurn


def cache_of(control: CacheControl | None) -> str | None:
    """Say for how long to keep what stands before a mark: five minutes where it does not say."""
    return None if control is None else control.ttl or "5m"
