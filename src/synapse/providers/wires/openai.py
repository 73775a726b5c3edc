"""Chat completions as OpenAI defined them and OpenRouter, Ollama, vLLM, Groq and many others speak them."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Literal

import msgspec

from synapse.domain.request import Image, Message, Part, Request, Text
from synapse.providers.wires import openai_faults, openai_limits
from synapse.providers.wires.base import Call, Wire
from synapse.providers.wires.openai_answer import OpenAIDecoder

if TYPE_CHECKING:
    from synapse.domain.credential import Credential


class _TextPart(msgspec.Struct, frozen=True, gc=False):
    text: str
    type: Literal["text"] = "text"


class _Url(msgspec.Struct, frozen=True, gc=False):
    url: str


class _ImagePart(msgspec.Struct, frozen=True, gc=False):
    image_url: _Url
    type: Literal["image_url"] = "image_url"


class _Turn(msgspec.Struct, frozen=True, gc=False):
    role: str
    content: str | list[_TextPart | _ImagePart]


class _StreamOptions(msgspec.Struct, frozen=True, gc=False):
    include_usage: bool


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str
    messages: list[_Turn]
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None


_encode_body = msgspec.json.Encoder().encode
_WITH_USAGE = _StreamOptions(include_usage=True)


def encode(request: Request, model: str, credential: Credential | None) -> Call:
    """Write the request for the model named `model` at the server; the path goes behind a base URL like `…/v1`."""
    headers = {"content-type": "application/json"}
    if credential is not None:
        headers["authorization"] = f"Bearer {credential.key}"
    sampling = request.sampling
    body = _Body(
        model=model,
        messages=[_turn(message) for message in request.messages],
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_output_tokens,
        stream=request.stream,
        stream_options=_WITH_USAGE if request.stream else None,
    )
    return Call("/chat/completions", headers, _encode_body(body))


def _turn(message: Message) -> _Turn:
    """Text alone goes as a plain string: some servers know nothing else."""
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):
        return _Turn(message.role, parts[0].text)
    return _Turn(message.role, [_part(part) for part in parts])


def _part(part: Part) -> _TextPart | _ImagePart:
    if isinstance(part, Image):
        return _ImagePart(_Url(f"data:{part.media_type};base64,{b64encode(part.data).decode('ascii')}"))
    return _TextPart(part.text)


WIRE = Wire("openai", encode, OpenAIDecoder, openai_faults.classify, openai_limits.headroom)
