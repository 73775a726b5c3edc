"""Which files Gemini reads, and which addresses it goes to for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.providers.wires.gemini_models import Traits

IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_AUDIO: Final = frozenset({
    "audio/aac", "audio/aiff", "audio/flac", "audio/m4a", "audio/mp3", "audio/mp4", "audio/mpeg", "audio/ogg",
    "audio/opus", "audio/pcm", "audio/wav", "audio/webm",
})  # fmt: skip
_SAME_AUDIO: Final[Mapping[str, str]] = {
    "audio/mpga": "audio/mp3",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/m4a",
    "audio/x-wav": "audio/wav",
}
_DOCUMENTS: Final = frozenset({
    "application/pdf", "application/x-javascript", "application/x-python", "text/css", "text/csv", "text/html",
    "text/javascript", "text/md", "text/plain", "text/rtf", "text/x-python", "text/xml",
})  # fmt: skip
_TEXTS: Final = frozenset({
    "application/javascript", "application/json", "application/toml", "application/x-yaml", "application/xml",
    "application/yaml",
})  # fmt: skip
"""Not taken by their names, and plain text all the same."""
_PLAIN: Final = "text/plain"
_ENDINGS: Final[Mapping[str, str]] = {
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
_FILES: Final = "generativelanguage.googleapis.com"


def audio_type(media_type: str) -> str | None:
    """Return the name by which Gemini knows a type of sound; None where it does not hear it."""
    bare = _bare(media_type)
    known = _SAME_AUDIO.get(bare, bare)
    return known if known in _AUDIO else None


def document_type(media_type: str) -> str | None:
    """Return the name under which Gemini reads a document, or a film; None where it does not."""
    bare = _bare(media_type)
    if bare in _DOCUMENTS or bare.startswith("video/"):
        return bare
    return _PLAIN if bare.startswith("text/") or bare in _TEXTS else None


def image_type(url: str) -> str | None:
    """Tell the type of a picture by the ending of its address; None where that does not say."""
    try:
        return _ENDINGS.get(urlsplit(url).path.rpartition(".")[2].lower())
    except ValueError:
        return None


def reachable(url: str, model: Traits) -> bool:
    """Tell whether the model gets a picture from an address itself: from Google's stores, or the open web."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "gs" or (parts.scheme == "https" and parts.hostname == _FILES):
        return True
    return model.fetches and parts.scheme == "https" and image_type(url) is not None


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
