"""The pictures of a request: as bytes, or read from files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from synapse.domain.errors import InvalidRequest

ImageSource = bytes | str | os.PathLike[str]
"""The bytes of an image file, or the path of one."""


def read_images(images: Iterable[ImageSource]) -> list[bytes]:
    """Return the bytes of every image; reads the files among them, so it can block.

    Raises `InvalidRequest` where a file cannot be read, or something is neither bytes nor a path.
    """
    if isinstance(images, bytes | str | os.PathLike):
        raise InvalidRequest("images is a list; put a single image in brackets", field="images")
    return [_read(image, f"images[{index}]") for index, image in enumerate(images)]


def _read(image: ImageSource, field: str) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if not isinstance(image, str | os.PathLike):
        raise InvalidRequest(f"{field} must be bytes or the path of a file; got {type(image).__name__}", field=field)
    try:
        return Path(image).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequest(f"{field} cannot be read: {os.fspath(image)}: {reason}", field=field) from error
