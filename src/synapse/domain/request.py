"""The content of a task: which model, what is said to it, how it is to answer."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Text(msgspec.Struct, frozen=True, gc=False, tag="text"):
    """A piece of text."""

    text: str


class Image(msgspec.Struct, frozen=True, gc=False, tag="image"):
    """A picture, as the bytes of its file."""

    media_type: str
    """Found from the bytes, never from what a caller claims: `image/png` and the like."""
    data: bytes


Part = Text | Image


class Message(msgspec.Struct, frozen=True, gc=False):
    """What one side said in one turn."""

    role: Role
    parts: tuple[Part, ...]


class Sampling(msgspec.Struct, frozen=True, gc=False):
    """How the model picks its words. None leaves a choice to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = None
    """The longest answer, in output tokens; the native API calls it `output_length`."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a caller asks of a model."""

    model: str
    """The model code: the caller's name for the model, not the provider's."""
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    """Whether somebody watches the answer grow. Such a task may not be tried again once text was shown."""


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
