"""What the request of chat completions has in it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from synapse.simulator.pictures import describe_url

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_MAX_CHOICES = 128
_MAX_STOPS = 4


class ImageUrl(msgspec.Struct):
    """Where a picture is, or the picture itself."""

    url: str


class Part(msgspec.Struct):
    """A piece of a message."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


class CalledTool(msgspec.Struct):
    """A call that was made."""

    id: str = ""


class Message(msgspec.Struct):
    """A message."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All of its text."""
        if isinstance(self.content, str):
            return self.content
        return "".join([part.text for part in self.content or () if part.text])

    @property
    def pictures(self) -> list[str]:
        """What there is to see in it. Raises `ValueError` for a picture that is no base64."""
        parts = [] if isinstance(self.content, str) or self.content is None else self.content
        return [describe_url(part.image_url.url) for part in parts if part.image_url is not None]


class Function(msgspec.Struct):
    """A function that may be called."""

    name: str


class Tool(msgspec.Struct):
    """A tool; those of the provider's own have no function."""

    type: str
    function: Function | None = None


class JsonSchema(msgspec.Struct):
    """What an answer is to be like."""

    schema: dict[str, object] = {}


class ResponseFormat(msgspec.Struct):
    """The form of the answer's text."""

    type: str
    json_schema: JsonSchema | None = None


class Reasoning(msgspec.Struct):
    """Whether to think, as OpenRouter is told it."""

    effort: str | None = None
    enabled: bool | None = None
    max_tokens: int | None = None
    exclude: bool | None = None

    @property
    def shown(self) -> bool:
        """Whether there are thoughts to see."""
        asked = self.enabled or self.max_tokens or self.effort not in (None, "none")
        return bool(asked) and not self.exclude


class StreamOptions(msgspec.Struct):
    """What a stream is to have besides the answer."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    """A request, of which only that is named here that the simulator minds. Any other field is let pass."""

    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _AtLeastOne | None = None
    max_completion_tokens: _AtLeastOne | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=_MAX_STOPS)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=_MAX_CHOICES)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    tools: list[Tool] | None = None
    tool_choice: object = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None


decode = msgspec.json.Decoder(ChatBody).decode
