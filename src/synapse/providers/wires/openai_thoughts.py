"""OpenRouter's `reasoning_details`: what a model thought, to be given back to it as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

from synapse.domain.events import Thought
from synapse.domain.request import Thinking
from synapse.providers.wires.faults import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class _Detail(msgspec.Struct, gc=False, omit_defaults=True):
    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    format: str | None = None
    id: str | None = None
    index: int | None = None
    signature: str | None = None


class _Sealed(msgspec.Struct, gc=False):
    """Thoughts that are shown only sealed; or anything else that says nothing here, and is to be given back."""

    first: _Detail
    fields: dict[str, Raw]
    data: str


_decode_detail = msgspec.json.Decoder(_Detail).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode

_FORMATS: Final[Mapping[str, str]] = {
    "anthropic": "anthropic-claude-v1",
    "google": "google-gemini-v1",
    "openai": "openai-responses-v1",
    "x-ai": "xai-responses-v1",
}
"""By the author in a model's name: whose signature, seal or summary it is."""
_SUMMARIZING: Final = frozenset({"openai", "x-ai"})
"""Authors whose models show summaries of their thoughts."""
_SIGNING: Final = frozenset({"anthropic"})
"""Authors whose models refuse thoughts without a signature, and seal them in the way of their own API."""


class Details:
    """Reads the details of one answer. Sealed thoughts may come in fragments: they are told when they are whole."""

    __slots__ = ("_sealed",)

    def __init__(self) -> None:
        """Begin with none."""
        self._sealed: _Sealed | None = None

    @property
    def pending(self) -> bool:
        """Tell whether sealed thoughts are being read."""
        return self._sealed is not None

    def read(self, details: Iterable[Raw]) -> Iterator[Thought]:
        """Yield what the next details say; what cannot be read is left out."""
        for raw in details:
            try:
                detail = _decode_detail(raw)
            except UNREADABLE:
                continue
            if detail.type not in {"reasoning.text", "reasoning.summary"}:
                yield from self._seal(raw, detail)
                continue
            words = detail.text or detail.summary or ""
            if words or detail.signature:
                yield from self.end()
                yield Thought(words, signature=detail.signature or None)

    def end(self) -> Iterator[Thought]:
        """Yield the sealed thoughts that were being read: something else follows, or nothing."""
        sealed, self._sealed = self._sealed, None
        if sealed is not None:
            if sealed.data:
                sealed.fields["data"] = Raw(_encode(sealed.data))
            yield Thought("", redacted=_encode(sealed.fields).decode())

    def _seal(self, raw: Raw, detail: _Detail) -> Iterator[Thought]:
        sealed = self._sealed
        if sealed is not None and _continues(sealed.first, detail):
            sealed.data += detail.data or ""
            sealed.fields = {**_decode_fields(raw), **sealed.fields}
        else:
            yield from self.end()
            self._sealed = _Sealed(detail, _decode_fields(raw), detail.data or "")


def _continues(first: _Detail, detail: _Detail) -> bool:
    same_id = detail.id is None or detail.id == first.id
    return detail.index is not None and same_id and (first.type, first.index) == (detail.type, detail.index)


def write(thoughts: Iterable[Thinking], model: str) -> list[Raw]:
    """Return the details to give back to a model named like `author/slug`.

    What another provider sealed is left out, and what the model would refuse without a signature.
    """
    author = model.partition("/")[0].lstrip("~")
    found: list[Raw] = []
    index = 0
    for thought in thoughts:
        detail = _shown(thought, author, index) if thought.redacted is None else _resealed(thought, author, index)
        if detail is not None:
            found.append(detail[0])
            index = detail[1]
    return found


def _shown(thought: Thinking, author: str, index: int) -> tuple[Raw, int] | None:
    """Write what can be read, and say which index follows: a signature ends a block."""
    if thought.signature is None and author in _SIGNING:
        return None
    summarizes = author in _SUMMARIZING
    detail = _Detail(
        type="reasoning.summary" if summarizes else "reasoning.text",
        text=None if summarizes else thought.text,
        summary=thought.text if summarizes else None,
        format=_FORMATS.get(author),
        index=index,
        signature=thought.signature,
    )
    return Raw(_encode(detail)), index if thought.signature is None else index + 1


def _resealed(thought: Thinking, author: str, index: int) -> tuple[Raw, int] | None:
    """Write what is sealed as it came, and say which index follows."""
    sealed = thought.redacted or ""
    if sealed.startswith("{"):
        try:
            stated = _decode_detail(sealed).index
        except UNREADABLE:
            return None
        return Raw(sealed.encode()), (index if stated is None else stated) + 1
    if author not in _SIGNING:
        return None
    detail = _Detail(type="reasoning.encrypted", data=sealed, format=_FORMATS.get(author), index=index)
    return Raw(_encode(detail)), index + 1
