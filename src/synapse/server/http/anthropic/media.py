"""Pictures and documents in a message, and what they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.domain.errors import InvalidRequest
from synapse.domain.images import SNIFFED_TYPES, sniff_image
from synapse.domain.request import Document, Image, ImageUrl, Text
from synapse.server.http.anthropic.blocks import Base64Source, PlainSource, UrlSource, cache_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.server.http.anthropic.blocks import DocumentBlock, ImageBlock

_REMOTE = ("https://", "http://")
_PDF, _PLAIN = "application/pdf", "text/plain"
_LONGEST_SHOWN = 60


def image(block: ImageBlock, field: str) -> Image | ImageUrl:
    """Read a picture. Raises `InvalidRequest`, with `field` as the place it stands at."""
    source, field, cache = block.source, f"{field}.source", cache_of(block.cache_control)
    if isinstance(source, UrlSource):
        if not source.url[:8].lower().startswith(_REMOTE):
            raise _wrong(f"{field}.url", f"got {source.url[:_LONGEST_SHOWN]!r}, expected an http(s) URL")
        return ImageUrl(source.url, cache=cache)
    if not isinstance(source, Base64Source):
        raise _uploaded(field)
    media_type = sniff_image(source.data)
    if media_type is None:
        known = ", ".join(kind.removeprefix("image/").upper() for kind in SNIFFED_TYPES)
        size = len(source.data)
        raise _wrong(f"{field}.data", f"its {size} bytes are no image of a known type; expected one of {known}")
    return Image(media_type, source.data, cache=cache)


def document(block: DocumentBlock, field: str) -> Iterator[Text | Document]:
    """Read a document, and what the model is told of it before. Raises `InvalidRequest`."""
    if block.citations is not None and block.citations.enabled:
        raise _wrong(f"{field}.citations", "answers cite nothing; leave it out, or ask for quotations")
    source, field, cache = block.source, f"{field}.source", cache_of(block.cache_control)
    if block.context:
        yield Text(block.context)
    if isinstance(source, PlainSource):
        yield Document(_PLAIN, source.data.encode(), block.title, cache)
    elif isinstance(source, Base64Source):
        if source.media_type != _PDF:
            raise _wrong(f"{field}.media_type", f"got {source.media_type[:_LONGEST_SHOWN]!r}, expected {_PDF}")
        yield Document(_PDF, source.data, block.title, cache)
    elif isinstance(source, UrlSource):
        raise _wrong(f"{field}.type", "documents are not fetched; send the file itself, as base64")
    else:
        raise _uploaded(field)


def _uploaded(field: str) -> InvalidRequest:
    return _wrong(f"{field}.type", "there are no uploaded files here; send the file itself, as base64")


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
