"""How alike two requests for text are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.dialects import chat_body, gemini
from synapse.simulator.dialects.base import Form, Refusal

if TYPE_CHECKING:
    from synapse.simulator.dialects.gemini_schema import Content

_NOT_CONFIG = frozenset({"messages", "model", "stream", "stream_options", "tool_choice", "tools"})
_SYSTEM_ROLES = frozenset({"system", "developer"})


class Likeness(msgspec.Struct, frozen=True):
    """What requests are compared by, the weightiest first."""

    user_texts: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    images: int = 0
    streamed: bool = False
    config: object = None
    messages: int = 0

    def compare(self, other: Likeness) -> tuple[bool, ...]:
        """Tell in what two requests agree; of two such answers, the greater one is the better match."""
        return (
            self.user_texts == other.user_texts,
            self.system == other.system,
            self.images == other.images,
            self.streamed == other.streamed,
            self.config == other.config,
            self.messages == other.messages,
        )


def likeness(dialect: str, body: bytes, form: Form) -> Likeness:
    """Tell what a request is compared by; a request that cannot be read is like any other such."""
    try:
        return _of_gemini(body, form) if dialect == gemini.NAME else _of_chat(body)
    except (ValueError, Refusal):
        return Likeness(streamed=form is not Form.PLAIN)


def _of_gemini(body: bytes, form: Form) -> Likeness:
    content = gemini.parse(body, form)
    messages = content["contents"]
    said = [message for message in messages if message.get("role") != "model"]
    return Likeness(
        user_texts=tuple(text for message in said for text in _texts(message)),
        system=tuple(_texts(content.get("systemInstruction", {}))),
        images=sum("inlineData" in part or "fileData" in part for message in messages for part in message["parts"]),
        streamed=form is not Form.PLAIN,
        config=content.get("generationConfig") or None,
        messages=len(messages),
    )


def _texts(message: Content) -> list[str]:
    return [part["text"] for part in message.get("parts", ()) if "text" in part]


def _of_chat(body: bytes) -> Likeness:
    content = chat_body.decode(body)
    fields = msgspec.json.decode(body, type=dict[str, object])
    parts = [part for message in content.messages if isinstance(message.content, list) for part in message.content]
    return Likeness(
        user_texts=tuple(message.text for message in content.messages if message.role == "user"),
        system=tuple(message.text for message in content.messages if message.role in _SYSTEM_ROLES),
        images=sum(part.type == "image_url" for part in parts),
        streamed=content.stream is True,
        config={name: value for name, value in fields.items() if name not in _NOT_CONFIG and value is not None},
        messages=len(content.messages),
    )
