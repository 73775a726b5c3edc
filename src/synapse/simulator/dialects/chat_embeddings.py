"""Requests for vectors, and their answers, which OpenAI and OpenRouter have alike."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from synapse.simulator.dialects import chat
from synapse.simulator.dialects.base import Ask, Form
from synapse.simulator.vectors import packed, vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.simulator.dialects.base import Refusal

_MOST = 2048
_LENGTH = 1536
_Texts = Annotated[list[str | list[int] | int], msgspec.Meta(min_length=1, max_length=_MOST)]
_BASE64 = "base64"


class EmbeddingsBody(msgspec.Struct):
    """A request; tokens in place of texts are taken too."""

    model: str
    input: str | _Texts
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


_decode = msgspec.json.Decoder(EmbeddingsBody).decode


def read(body: bytes, refuse: Callable[[chat.Mistake], Refusal]) -> Ask:
    """Read a request. Raises what `refuse` makes of what is wrong with it."""
    content = chat.decoded(body, _decode, refuse)
    texts = _texts(content.input)
    if not all(texts):
        raise refuse(chat.Mistake("Invalid value for 'input': input cannot be an empty string.", "input"))
    return Ask(
        model=content.model,
        form=Form.PLAIN,
        prompt="",
        input_tokens=sum([len(text.split()) for text in texts]),
        version=content.encoding_format or "float",
        inputs=texts,
        dimensions=content.dimensions or _LENGTH,
    )


def answer(ask: Ask) -> dict[str, object]:
    """Give the vectors, as numbers or packed."""
    data = [
        {"object": "embedding", "index": index, "embedding": _shape(vector(text, ask.dimensions), ask.version)}
        for index, text in enumerate(ask.inputs)
    ]
    usage = {"prompt_tokens": ask.input_tokens, "total_tokens": ask.input_tokens}
    return {"object": "list", "data": data, "model": ask.model, "usage": usage}


def _shape(numbers: tuple[float, ...], encoding: str) -> object:
    return b64encode(packed(numbers)).decode() if encoding == _BASE64 else numbers


def _texts(given: str | _Texts) -> tuple[str, ...]:
    """Return the texts; tokens, which come as a list of numbers or as lists of them, are spelled out."""
    if isinstance(given, str):
        return (given,)
    if all(isinstance(item, int) for item in given):
        return (" ".join(map(str, given)),)
    return tuple([item if isinstance(item, str) else _spelled(item) for item in given])


def _spelled(tokens: list[int] | int) -> str:
    return " ".join(map(str, tokens)) if isinstance(tokens, list) else str(tokens)
