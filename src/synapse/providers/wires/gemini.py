"""The Gemini API of `generativelanguage.googleapis.com`, version v1beta."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from synapse.domain.request import Image, Part, Request, Role, Sampling
from synapse.providers.wires import google_faults
from synapse.providers.wires.base import Call, Wire
from synapse.providers.wires.gemini_answer import GeminiDecoder

if TYPE_CHECKING:
    from synapse.domain.credential import Credential


class _TextPart(msgspec.Struct, frozen=True, gc=False):
    text: str


class _Blob(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    mime_type: str
    data: bytes
    """msgspec writes bytes as standard base64, which is what the field takes."""


class _BlobPart(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    inline_data: _Blob


class _Content(msgspec.Struct, omit_defaults=True):
    parts: list[_TextPart | _BlobPart]
    role: str | None = None


class _GenerationConfig(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = None


class _Body(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    contents: list[_Content]
    system_instruction: _Content | None = None
    generation_config: _GenerationConfig | None = None


_encode_body = msgspec.json.Encoder().encode
_DEFAULTS = Sampling()


def encode(request: Request, model: str, credential: Credential | None) -> Call:
    """Write the request for the model named `model` at Gemini, with or without the prefix `models/`."""
    headers = {"content-type": "application/json"}
    if credential is not None:
        headers["x-goog-api-key"] = credential.key
    action = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    return Call(_path(model, action), headers, _encode_body(_body(request)))


@lru_cache(maxsize=512)
def _path(model: str, action: str) -> str:
    return f"/v1beta/models/{quote(model.removeprefix('models/'), safe='/')}:{action}"


def _body(request: Request) -> _Body:
    contents: list[_Content] = []
    system: list[_TextPart | _BlobPart] = []
    for message in request.messages:
        parts = [_part(part) for part in message.parts]
        if message.role is Role.SYSTEM:
            system += parts
        elif message.role is Role.USER:
            _say(contents, "user", parts)
        else:
            _say(contents, "model", _without_nothing(parts))
    return _Body(contents, _Content(system) if system else None, _generation_config(request.sampling))


def _say(contents: list[_Content], role: str, parts: list[_TextPart | _BlobPart]) -> None:
    """Add a turn; two turns of one side become one, because Gemini wants the sides to take turns."""
    if contents and contents[-1].role == role:
        contents[-1].parts += parts
    elif parts:
        contents.append(_Content(parts, role))


def _without_nothing(parts: list[_TextPart | _BlobPart]) -> list[_TextPart | _BlobPart]:
    """Leave out empty text, which an earlier answer may have been and which Gemini may refuse to hear again."""
    return [part for part in parts if not isinstance(part, _TextPart) or part.text]


def _part(part: Part) -> _TextPart | _BlobPart:
    if isinstance(part, Image):
        return _BlobPart(_Blob(part.media_type, part.data))
    return _TextPart(part.text)


def _generation_config(sampling: Sampling) -> _GenerationConfig | None:
    if sampling == _DEFAULTS:
        return None
    return _GenerationConfig(sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_output_tokens)


WIRE = Wire("gemini", encode, GeminiDecoder, google_faults.classify)
