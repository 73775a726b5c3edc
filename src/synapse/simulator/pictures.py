"""What the simulator sees in pictures: their types and lengths."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK = "look"
"""A prompt that begins with it is answered with what there is to see."""
_NOTHING = "nothing"


def describe(media_type: str, data: str) -> str:
    """Say what a picture in base64 is, in either of the two alphabets. Raises `ValueError` where it is no base64."""
    found = b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4), validate=True)
    return f"{media_type} of {len(found)} bytes"


def describe_url(url: str) -> str:
    """Say what is at an address: what a `data:` address has in it; of any other just the address, unread."""
    if not url.startswith("data:"):
        return url
    head, _, data = url.removeprefix("data:").partition(",")
    return describe(head.removesuffix(";base64"), data)


def seen(prompt: str, pictures: Sequence[str]) -> str | None:
    """Return the answer to a prompt that asks what there is to see; None to any other."""
    return ("\n".join(pictures) or _NOTHING) if prompt.startswith(LOOK) else None
