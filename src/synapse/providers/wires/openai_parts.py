"""Writing the parts of a message's content, for servers that speak like OpenAI."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.request import Audio, Document, Image, ImageUrl, Part, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from synapse.providers.wires.openai_dialects import Dialect


class _CacheControl(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="ephemeral"):
    ttl: str | None = None


class TextPiece(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: _CacheControl | None = None


class _Url(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    url: str
    detail: str | None = None


class _ImagePiece(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="image_url"):
    image_url: _Url
    cache_control: _CacheControl | None = None


class _Sound(msgspec.Struct, frozen=True, gc=False):
    data: bytes
    """Written as base64."""
    format: str


class _AudioPiece(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="input_audio"):
    input_audio: _Sound


class _File(msgspec.Struct, frozen=True, gc=False):
    filename: str
    file_data: str


class _FilePiece(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="file"):
    file: _File
    cache_control: _CacheControl | None = None


Piece = TextPiece | _ImagePiece | _AudioPiece | _FilePiece

SOUNDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"), "wav"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3"), "mp3"),
}
"""What OpenAI calls the formats that it takes; others take more, by the second half of their type."""
_PDF = "application/pdf"
_BETWEEN = "\n\n"


def content(parts: Iterable[Part], dialect: Dialect, *, as_string: bool) -> str | list[Piece]:
    """Write parts of a message; a single text is a plain string, for some servers know nothing else.

    So are several texts where `as_string` or the dialect wants that; a blank line stands between them.
    """
    pieces = [piece for part in parts if (piece := _piece(part, dialect)) is not None]
    texts = [piece.text for piece in pieces if isinstance(piece, TextPiece) and piece.cache_control is None]
    if len(texts) == len(pieces) and (len(texts) < 2 or as_string or dialect.only_strings):  # noqa: PLR2004
        return _BETWEEN.join(texts)
    return pieces


def _piece(part: Part, dialect: Dialect) -> Piece | None:
    match part:
        case Text(text, cache):
            return TextPiece(text, _cache(cache, dialect))
        case Image(media_type, data, detail, cache):
            return _ImagePiece(_Url(_data_url(media_type, data), detail), _cache(cache, dialect))
        case ImageUrl(url, detail, cache):
            return _ImagePiece(_Url(url, detail), _cache(cache, dialect))
        case Audio(media_type, data):
            return _AudioPiece(_Sound(data, SOUNDS.get(media_type) or media_type.partition("/")[2]))
        case Document():
            return _document(part, dialect)
        case _:
            return None


def _document(document: Document, dialect: Dialect) -> Piece:
    """Write a file; one of text is text, which every server knows."""
    cache = _cache(document.cache, dialect)
    if document.media_type.startswith("text/"):
        text = document.data.decode(errors="replace")
        return TextPiece(f"{document.name}:\n{text}" if document.name else text, cache)
    name = document.name or ("document.pdf" if document.media_type == _PDF else "document")
    return _FilePiece(_File(name, _data_url(document.media_type, document.data)), cache)


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"


def _cache(ttl: str | None, dialect: Dialect) -> _CacheControl | None:
    if ttl is None or not dialect.caches_parts:
        return None
    return _CacheControl(None if ttl == "5m" else ttl)
