"""Telling images by their first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.images import SNIFFED_TYPES, sniff_image

IMAGES = {
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    "jpeg with JFIF": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    "jpeg with Exif": (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
    "webp": (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
    "gif 87": (b"GIF87a\x01\x00", "image/gif"),
    "gif 89": (b"GIF89a\x01\x00", "image/gif"),
    "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "image/heic"),
    "heif": (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00", "image/heic"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_told_by_its_signature(name: str) -> None:
    """Each known kind has its media type."""
    data, media_type = IMAGES[name]

    assert sniff_image(data) == media_type


def test_every_type_that_is_named_is_known() -> None:
    """What messages list is what the function can tell, and nothing else."""
    assert {media_type for _, media_type in IMAGES.values()} == set(SNIFFED_TYPES)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"\xff\xd8",
        b"GIF88a",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x00\x00\x00\x18ftypmp42",
        b"%PDF-1.7",
        b"<svg xmlns=",
        b"BM\x00\x00",
    ],
)
def test_anything_else_is_no_known_image(data: bytes) -> None:
    """Neither the beginning of a signature nor another format that shares one."""
    assert sniff_image(data) is None


@given(st.binary(max_size=64))
def test_any_bytes_have_a_known_type_or_none(data: bytes) -> None:
    """No bytes are too odd to be looked at."""
    assert sniff_image(data) in {None, *SNIFFED_TYPES}
