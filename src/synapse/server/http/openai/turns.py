"""The messages of a conversation as clients write them."""

from __future__ import annotations

import msgspec

from synapse.server.http.openai.media import AudioPart, CacheControl, FilePart, ImagePart


class TextPart(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A piece of text."""

    text: str
    cache_control: CacheControl | None = None


class RefusalPart(msgspec.Struct, tag_field="type", tag="refusal", gc=False):
    """What the model said in place of an answer."""

    refusal: str


class SystemTurn(msgspec.Struct, tag_field="role", tag="system", gc=False):
    """Instructions."""

    content: str | list[TextPart]
    name: str | None = None


class DeveloperTurn(SystemTurn, tag="developer"):
    """Instructions, by their newer name."""


class UserTurn(msgspec.Struct, tag_field="role", tag="user", gc=False):
    """What the user says."""

    content: str | list[TextPart | ImagePart | AudioPart | FilePart]
    name: str | None = None


class GoogleExtra(msgspec.Struct, gc=False):
    """What Google's models want back with a call."""

    thought_signature: str | None = None


class ExtraContent(msgspec.Struct, gc=False):
    """Additions to a call, by who made them."""

    google: GoogleExtra | None = None


class CalledFunction(msgspec.Struct, gc=False):
    """What is to be called."""

    name: str
    arguments: str
    """A JSON object, as text."""


class CallPart(msgspec.Struct, gc=False):
    """A tool call. The type is `function`; calls of custom tools have no function."""

    id: str
    function: CalledFunction
    extra_content: ExtraContent | None = None


class ReasoningDetail(msgspec.Struct, gc=False):
    """A block of thoughts in OpenRouter's form."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None


class AssistantTurn(msgspec.Struct, tag_field="role", tag="assistant", gc=False):
    """What the model said, mostly as it came from here or from another server."""

    content: str | list[TextPart | RefusalPart] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    function_call: CalledFunction | None = None
    """What calls were before there were tools."""
    reasoning_content: str | None = None
    reasoning: str | None = None
    """Another name for it."""
    reasoning_details: list[ReasoningDetail] | None = None


class ToolTurn(msgspec.Struct, tag_field="role", tag="tool", gc=False):
    """What a tool gave back."""

    content: str | list[TextPart | ImagePart]
    tool_call_id: str
    name: str | None = None


class FunctionTurn(msgspec.Struct, tag_field="role", tag="function", gc=False):
    """What a function gave back, before there were tools."""

    name: str
    content: str | None = None


Turn = SystemTurn | DeveloperTurn | UserTurn | AssistantTurn | ToolTurn | FunctionTurn
