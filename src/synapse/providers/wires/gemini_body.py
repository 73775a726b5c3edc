"""What a request to Gemini consists of."""

from __future__ import annotations

import msgspec


class Blob(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A file."""

    mime_type: str
    data: bytes
    """msgspec writes bytes as standard base64, which is what the field takes."""


class FileData(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Where a file is."""

    file_uri: str
    mime_type: str | None = None


class FunctionCall(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A call that the model made."""

    name: str
    args: msgspec.Raw
    id: str | None = None


class ResponsePart(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A picture that a function gave back."""

    inline_data: Blob


class FunctionResponse(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a function gave back."""

    name: str
    response: msgspec.Raw
    id: str | None = None
    parts: list[ResponsePart] | None = None


class Part(msgspec.Struct, gc=False, rename="camel", omit_defaults=True):
    """A piece of a turn: one of the first five, and perhaps marks on it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool = False
    thought_signature: str | None = None


class Content(msgspec.Struct, omit_defaults=True):
    """A turn."""

    parts: list[Part]
    role: str | None = None


class ThinkingConfig(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """How the model thinks. Budget and level are never both there."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """How the model answers."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool = False
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_json_schema: msgspec.Raw | None = None
    thinking_config: ThinkingConfig | None = None


class FunctionDeclaration(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """A function that the model may call."""

    name: str
    description: str
    parameters_json_schema: msgspec.Raw | None = None


class Tool(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """All functions."""

    function_declarations: list[FunctionDeclaration]


class FunctionCallingConfig(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Which functions the model calls."""

    mode: str
    allowed_function_names: tuple[str, ...] = ()


class ToolConfig(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """How the model uses tools."""

    function_calling_config: FunctionCallingConfig


class Body(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A request."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None


encode_body = msgspec.json.Encoder().encode
