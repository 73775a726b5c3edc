"""Vectors from Gemini: one for each of many texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import Finish, FinishReason, Vectors
from synapse.domain.failure import Failure
from synapse.domain.usage import Usage
from synapse.providers.wires import google_faults
from synapse.providers.wires.base import Call, Wire
from synapse.providers.wires.faults import UNREADABLE, cut_short, read_inner_complaint, unreadable
from synapse.providers.wires.gemini_body import encode_body
from synapse.providers.wires.gemini_extras import for_google
from synapse.providers.wires.gemini_request import bare, call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request
    from synapse.providers.base import Signal

_PLAIN: Final = frozenset({"taskType", "task_type", "title"})
"""What of extras belongs to each text, beside all that stands under `google`."""


def encode(request: Request, model: str, credential: Credential | None) -> Call:
    """Write a request for vectors. The model is named again with each text, and has to be the one of the address."""
    wish = request.embedding
    texts, dimensions = ((), None) if wish is None else (wish.inputs, wish.dimensions)
    common: dict[str, object] = {"model": f"models/{bare(model)}"}
    if dimensions is not None:
        common["outputDimensionality"] = dimensions
    common |= for_google(request.extras, _PLAIN) or {}
    body = {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in texts]}
    return call(model, "batchEmbedContents", encode_body(body), credential)


class _Embedding(msgspec.Struct, gc=False):
    values: tuple[float, ...]


class _Counts(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: int = 0


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    embeddings: list[_Embedding] | None = None
    usage_metadata: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_answers = msgspec.json.Decoder(list[_Answer]).decode
_decode_counts = msgspec.json.Decoder(_Counts, strict=False).decode


class EmbeddingsDecoder:
    """Reads an answer, which is never streamed."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        """Begin before the answer."""
        self._end: Finish | Failure = cut_short("no vectors")

    def feed(self, data: bytes) -> Sequence[Signal]:
        """Take a whole body."""
        try:
            answer = _read(data)
        except UNREADABLE as error:
            return self._fail(unreadable(data, error))
        if answer.error is not UNSET and (complaint := read_inner_complaint(answer.error)):
            return self._fail(google_faults.judge(None, {}, complaint))
        if not answer.embeddings:
            return ()
        self._end = Finish(FinishReason.STOP, _usage(answer.usage_metadata))
        return (Vectors(tuple([each.values for each in answer.embeddings])),)

    def end(self) -> Finish | Failure:
        """Say how the answer ended."""
        return self._end

    def _fail(self, fault: Failure) -> Sequence[Signal]:
        self._end = fault
        return (fault,)


def _read(data: bytes) -> _Answer:
    """Read an answer. An array holds an error: Gemini wraps some."""
    if not data.lstrip().startswith(b"["):
        return _decode_answer(data)
    answers = _decode_answers(data)
    return answers[0] if answers else _Answer()


def _usage(raw: Raw | UnsetType) -> Usage:
    """Read what was counted. Only the newer models say it."""
    if raw is UNSET:
        return Usage()
    try:
        taken = _decode_counts(raw).prompt_token_count
    except UNREADABLE:
        return Usage()
    return Usage(input_tokens=taken, total_tokens=taken)


WIRE = Wire("gemini", encode, EmbeddingsDecoder, google_faults.classify)
