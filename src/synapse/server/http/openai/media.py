"""Pictures, recordings and files in a message: parts as clients write them, and what they become."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from mimetypes import guess_type
from typing import Final

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.images import SNIFFED_TYPES, sniff_image
from synapse.domain.request import Audio, Document, Image, ImageUrl

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*?(?P<base64>;base64)?,", re.IGNORECASE)
_REMOTE = ("https://", "http://")
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_PDF = b"%PDF-"
_LONGEST_SHOWN = 60


class CacheControl(msgspec.Struct, gc=False):
    """OpenRouter's and Anthropic's mark behind what is to be kept in the provider's cache."""

    ttl: str | None = None


class Url(msgspec.Struct, gc=False):
    """Where a picture is, or all of it in a `data:` URL."""

    url: str
    detail: str | None = None


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url", gc=False):
    """A picture. Some clients write the URL alone."""

    image_url: Url | str
    cache_control: CacheControl | None = None


class AudioData(msgspec.Struct, gc=False):
    """A recording in base64."""

    data: str
    format: str


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio", gc=False):
    """A recording."""

    input_audio: AudioData


class FileData(msgspec.Struct, gc=False):
    """A file: a `data:` URL, or base64 alone."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(msgspec.Struct, tag_field="type", tag="file", gc=False):
    """A file."""

    file: FileData
    cache_control: CacheControl | None = None


def cache_of(control: CacheControl | None) -> str | None:
    """Say for how long to keep what stands before a mark: five minutes where it does not say."""
    return None if control is None else control.ttl or "5m"


def image(part: ImagePart, field: str) -> Image | ImageUrl:
    """Read a picture. Raises `InvalidRequest`, with `field` as the place it stands at."""
    given = part.image_url if isinstance(part.image_url, Url) else Url(part.image_url)
    field, cache = f"{field}.image_url", cache_of(part.cache_control)
    if given.url[:8].lower().startswith(_REMOTE):
        return ImageUrl(given.url, given.detail, cache)
    opening = _DATA_URL.match(given.url)
    if opening is None:
        raise _wrong(field, f"got {_shown(given.url)}, expected an http(s) URL, or data:image/png;base64,…")
    data = _decoded(given.url, opening, field)
    media_type = sniff_image(data)
    if media_type is None:
        known = ", ".join(kind.removeprefix("image/").upper() for kind in SNIFFED_TYPES)
        raise _wrong(field, f"its {len(data)} bytes are no image of a known type; expected one of {known}")
    return Image(media_type, data, given.detail, cache)


def audio(part: AudioPart, field: str) -> Audio:
    """Read a recording. Raises `InvalidRequest`."""
    media_type = _AUDIO.get(part.input_audio.format)
    if media_type is None:
        raise _wrong(f"{field}.input_audio.format", f"got {_shown(part.input_audio.format)}, expected wav or mp3")
    return Audio(media_type, _base64(part.input_audio.data, f"{field}.input_audio.data"))


def document(part: FilePart, field: str) -> Document | Image:
    """Read a file; one that is a picture becomes one. Raises `InvalidRequest`."""
    return file(part.file, f"{field}.file", cache_of(part.cache_control))


def file(given: FileData, field: str, cache: str | None = None) -> Document | Image:
    """Read a file from its fields, which stand at `field`. Raises `InvalidRequest`."""
    if given.file_data is None:
        known = "file_id" if given.file_id is not None else "file_data"
        raise _wrong(f"{field}.{known}", "a message's file must come with it: send file_data, a data: URL or base64")
    field = f"{field}.file_data"
    opening = _DATA_URL.match(given.file_data)
    data = _base64(given.file_data, field) if opening is None else _decoded(given.file_data, opening, field)
    picture = sniff_image(data)
    if picture is not None:
        return Image(picture, data, cache=cache)
    claimed = opening["type"].lower() if opening is not None else ""
    return Document(_document_type(data, claimed, given.filename, field), data, given.filename, cache)


def _document_type(data: bytes, claimed: str, filename: str | None, field: str) -> str:
    if data.startswith(_PDF):
        return "application/pdf"
    media_type = claimed or guess_type(filename or "", strict=False)[0]
    if media_type is None:
        raise _wrong(field, "nothing says of what kind it is: send data:TYPE;base64,… or a filename with an ending")
    return media_type


def _decoded(url: str, opening: re.Match[str], field: str) -> bytes:
    if opening["base64"] is None:
        raise _wrong(field, f"got {_shown(url)}, expected data: in base64, data:TYPE;base64,…")
    return _base64(url[opening.end() :], field)


def _base64(text: str, field: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _wrong(field, f"not valid base64 ({exc})") from exc


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
