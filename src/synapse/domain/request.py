"""The content of a task: which model, what is said to it, how it is to answer."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from synapse.domain.tools import Tool, ToolChoice


class Role(StrEnum):
    """Who speaks in a message. What tools gave back is said by the user."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Text(msgspec.Struct, frozen=True, gc=False, tag="text"):
    """A piece of text."""

    text: str
    cache: str | None = None
    """For how long the provider is asked to keep all up to here in its cache (`5m`, `1h`), where it is asked that."""


class Image(msgspec.Struct, frozen=True, gc=False, tag="image"):
    """A picture, as the bytes of its file."""

    media_type: str
    """Found from the bytes, never from what a caller claims: `image/png` and the like."""
    data: bytes
    detail: str | None = None
    """How closely to look: `auto`, `low`, `high`."""
    cache: str | None = None


class ImageUrl(msgspec.Struct, frozen=True, gc=False, tag="image_url"):
    """A picture that the provider is to fetch itself."""

    url: str
    detail: str | None = None
    cache: str | None = None


class Audio(msgspec.Struct, frozen=True, gc=False, tag="audio"):
    """A recording, as the bytes of its file."""

    media_type: str
    data: bytes


class Document(msgspec.Struct, frozen=True, gc=False, tag="document"):
    """A file that is neither picture nor recording, such as a PDF."""

    media_type: str
    data: bytes
    name: str | None = None
    cache: str | None = None


class Thinking(msgspec.Struct, frozen=True, gc=False, tag="thinking"):
    """What the model thought, to be given back to it unchanged."""

    text: str
    signature: str | None = None
    """The provider's proof that these are its thoughts; opaque."""
    redacted: str | None = None
    """Thoughts that the provider shows only sealed; then there is no text."""


class ToolCall(msgspec.Struct, frozen=True, gc=False, tag="tool_call"):
    """The model's wish to have a tool called."""

    id: str
    name: str
    arguments: str
    """A JSON object, as text."""
    signature: str | None = None
    """The provider's proof of the thoughts behind it (Gemini's `thoughtSignature`); opaque."""


class ToolResult(msgspec.Struct, frozen=True, gc=False, tag="tool_result"):
    """What a tool gave back."""

    call_id: str
    content: tuple[Text | Image | ImageUrl, ...]
    name: str | None = None
    """The tool's name, where it is known."""
    is_error: bool = False
    cache: str | None = None


Part = Text | Image | ImageUrl | Audio | Document | Thinking | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True, gc=False):
    """What one side said in one turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    """Who of several on that side."""


class Sampling(msgspec.Struct, frozen=True, gc=False):
    """How the model picks its words. None leaves a choice to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = None
    """The longest answer, in output tokens; the native API calls it `output_length`."""
    stop: tuple[str, ...] = ()
    """Texts at which the answer ends, before them."""
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None
    """Whether the probability of each token is wanted, and of how many others beside it (0: of none)."""


class ResponseFormat(msgspec.Struct, frozen=True, gc=False):
    """JSON instead of prose."""

    schema: msgspec.Raw | None = None
    """A JSON Schema that the answer must keep to; None: any JSON object."""
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """How much the model is to think before it answers. None leaves it to the provider."""

    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`."""
    budget: int | None = None
    """Tokens it may think; -1 is as many as it likes."""
    show: bool | None = None
    """Whether its thoughts are wanted, as far as the provider shows them."""


class Embedding(msgspec.Struct, frozen=True, gc=False):
    """Texts to be turned into vectors. A request for that has no messages."""

    inputs: tuple[str, ...]
    dimensions: int | None = None


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a caller asks of a model."""

    model: str
    """The model code: the caller's name for the model, not the provider's."""
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    """Whether somebody watches the answer grow. Such a task may not be tried again once text was shown."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    embedding: Embedding | None = None
    safety_user: str | None = None
    """The end user on whose behalf this is asked, in a form that says nothing of a person."""
    extras: dict[str, msgspec.Raw] | None = None
    """What only one wire knows, by its name there: it goes into the provider's request as it is."""


def prompt_request(
    model: str,
    prompt: str,
    *,
    images: tuple[Image, ...] = (),
    sampling: Sampling | None = None,
    stream: bool = False,
) -> Request:
    """Build the request of one user message; images stand before the text, where models read them best."""
    parts: tuple[Part, ...] = (*images, Text(prompt)) if images else (Text(prompt),)
    message = Message(Role.USER, parts)
    return Request(model, (message,), sampling if sampling is not None else Sampling(), stream)
