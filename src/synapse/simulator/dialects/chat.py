"""The request of chat completions, which OpenAI and OpenRouter read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from synapse.simulator.dialects.base import Ask, Form, Generate, Models, Request, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.simulator.dialects.base import Refusal

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_MAX_CHOICES = 128
_MAX_STOPS = 4


class Part(msgspec.Struct):
    """A piece of a message."""

    type: str
    text: str | None = None


class Message(msgspec.Struct):
    """A message."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """All of its text."""
        if isinstance(self.content, str):
            return self.content
        return "".join([part.text for part in self.content or () if part.text])


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


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with a request."""

    message: str
    param: str | None = None
    code: str | None = None


decode = msgspec.json.Decoder(ChatBody).decode


def route(request: Request) -> Target | None:
    """Find `chat/completions`, `models` and `models/{model}` below anything."""
    path = request.path
    if request.method == "POST":
        return Generate() if path.endswith("/chat/completions") else None
    if request.method != "GET":
        return None
    _, found, name = path.partition("/models")
    if not found or (name and name[0] != "/"):
        return None
    return Models(name[1:] or None)


def bearer(request: Request) -> str | None:
    """Return the key of a request, as far as it has one."""
    scheme, _, key = (request.header(b"authorization") or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def read(body: bytes, refuse: Callable[[Mistake], Refusal]) -> Ask:
    """Read a request. Raises what `refuse` makes of what is wrong with it."""
    try:
        content = decode(body)
    except msgspec.ValidationError as error:
        raise refuse(_explain(str(error))) from None
    except ValueError:
        raise refuse(Mistake("We could not parse the JSON body of your request.")) from None
    if content.stream_options is not None and not content.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(Mistake(message, "stream_options"))
    return _ask(content)


def _ask(content: ChatBody) -> Ask:
    texts = [message.text for message in content.messages]
    said = [text for text, message in zip(texts, content.messages, strict=True) if text and message.role == "user"]
    options = content.stream_options
    stop = content.stop or ()
    return Ask(
        model=content.model,
        form=Form.SSE if content.stream else Form.PLAIN,
        prompt=said[-1] if said else "",
        input_tokens=sum([len(text.split()) for text in texts]),
        max_tokens=content.max_completion_tokens or content.max_tokens,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        count=content.n or 1,
        include_usage=options is not None and options.include_usage is True,
    )


def _explain(error: str) -> Mistake:
    """Turn what the decoder says into what is wrong with which parameter."""
    reason, _, path = error.partition(" - at `$.")
    param = path.rstrip("`") or None
    if "missing required field" in reason:
        name = f"{param}.{reason.split('`')[1]}" if param else reason.split("`")[1]
        return Mistake(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    code = "invalid_type" if ", got" in reason else "invalid_value"
    return Mistake(f"Invalid value for '{param}': {reason.lower()}.", param, code)
