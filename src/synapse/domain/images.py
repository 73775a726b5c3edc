"""The type of an image, told by its first bytes."""

from __future__ import annotations

SNIFFED_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/heic")
"""What `sniff_image` knows, in the order people expect to read it."""

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"})


def sniff_image(data: bytes) -> str | None:
    """Return the media type of an image file from its signature, or None for bytes of no known image type.

    Signatures: PNG §5.2, JPEG's SOI marker, GIF87a/89a, RIFF container of WebP, ISO-BMFF brands of HEIF (ISO 23008-12).
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "image/heic"
    return None
