"""Vectors, as OpenAI and those like it give them."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Finish, FinishReason, Vectors
from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires import openai_faults
from synapse.providers.wires.base import Call
from synapse.providers.wires.faults import UNREADABLE, cut_short, failure, read_inner_complaint, unreadable
from synapse.providers.wires.openai_request import headers
from synapse.providers.wires.openai_usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request
    from synapse.providers.base import Signal
    from synapse.providers.wires.openai_dialects import Dialect


class _Body(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    model: str
    input: tuple[str, ...]
    encoding_format: Literal["float"]
    dimensions: int | None = None
    user: str | None = None


class _Item(msgspec.Struct, gc=False):
    embedding: tuple[float, ...] | str
    index: int | None = None


class _Answer(msgspec.Struct, gc=False):
    data: list[_Item] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode

_NOTHING: tuple[Signal, ...] = ()
_SINGLE, _DOUBLE = 4, 8
_FEWEST = 8
"""Numbers from which on it can be told how wide they are."""


def encoder(dialect: Dialect) -> Callable[[Request, str, Credential | None], Call]:
    """Return what writes requests for vectors; `request.embedding` must be there."""

    def encode(request: Request, model: str, credential: Credential | None) -> Call:
        wanted = request.embedding
        if wanted is None:
            raise ValueError("a request for vectors has to say what of; set its `embedding`")
        user = request.safety_user if dialect.takes_user else None
        body = _encode(_Body(model, wanted.inputs, "float", wanted.dimensions, user))
        if request.extras:
            body = _encode({**_decode_fields(body), **request.extras})
        return Call("/embeddings", headers(credential), body)

    return encode


class EmbeddingsDecoder:
    """Reads the vectors of one answer."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        """Begin before the answer."""
        self._end: Finish | Failure | None = None

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take the whole body."""
        try:
            answer = _decode_answer(data)
            complaint = None if answer.error is UNSET else read_inner_complaint(answer.error)
            if complaint is not None:
                return self._fail(openai_faults.judge(None, {}, complaint))
            vectors = _vectors(answer.data or [])
        except (*UNREADABLE, binascii.Error, struct.error) as error:
            return self._fail(unreadable(data, error))
        if not vectors:
            return self._fail(
                failure(FailureClass.TRANSIENT, "the provider sent no vectors, or not one for each input")
            )
        usage = read_usage(None if answer.usage is UNSET else answer.usage)
        self._end = Finish(FinishReason.STOP, usage)
        return (Vectors(vectors),)

    def end(self) -> Finish | Failure:
        """Say how the answer ended."""
        return self._end if self._end is not None else cut_short("no vectors")

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._end = fault
        return (fault,)


def _vectors(items: list[_Item]) -> tuple[tuple[float, ...], ...]:
    """Return the vectors in the order of their inputs; nothing where they are not numbered from 0 on."""
    indices = [item.index if item.index is not None else place for place, item in enumerate(items)]
    if sorted(indices) != list(range(len(items))):
        return ()
    found = dict(zip(indices, items, strict=True))
    return tuple([_numbers(found[index].embedding) for index in range(len(items))])


def _numbers(embedding: tuple[float, ...] | str) -> tuple[float, ...]:
    if not isinstance(embedding, str):
        return embedding
    data = b64decode(embedding, validate=True)
    singles = struct.unpack(f"<{len(data) // _SINGLE}f", data)
    if len(data) % _DOUBLE == 0 and len(data) >= _FEWEST * _DOUBLE:
        doubles = struct.unpack(f"<{len(data) // _DOUBLE}d", data)
        if _are_wide(singles, doubles):
            return doubles
    return singles


def _are_wide(singles: tuple[float, ...], doubles: tuple[float, ...]) -> bool:
    """Tell whether numbers are twice as wide as they ought to be, which old versions of vLLM send.

    Nothing else says so: read as narrow ones, every other is then the lower half of one, which is noise or nothing.
    """
    return _ordinary(doubles) > 0.9 and _ordinary(singles[::2]) < 0.5  # noqa: PLR2004 - nearly all, and few


def _ordinary(numbers: Iterable[float]) -> float:
    """Return which share of the numbers is of a size that a vector's may have."""
    sized = [1e-7 < abs(number) < 1e3 for number in numbers]  # noqa: PLR2004 - far from what noise is
    return sum(sized) / len(sized)
