"""Signatures of thoughts: Gemini's own, those it takes in their place, and those of others."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Final

UNSIGNED: Final = "skip_thought_signature_validator"
"""What Google's documentation gives to put where a call has no signature: it was made by another model, or was lost."""
_READ = 16
"""Characters of a signature that are looked at."""
_FERNET: Final = b"\x80"
"""How OpenAI's sealed thoughts begin."""
_FIELDS: Final = (0x0A, 0x12)
"""Protocol buffers: the first two fields, where they are messages or bytes."""
_NUMBER: Final = 0x08
"""And the first one where it is a number."""


def foreign(signature: str) -> bool:
    """Tell whether a signature is another provider's: Gemini refuses a whole request for one of those.

    Gemini's and Anthropic's are both messages within messages; the innermost is bytes in Gemini's, while Anthropic's
    begins with a number. What looks like neither is believed, and given back as it came.
    """
    head = signature[:_READ].replace("+", "-").replace("/", "_")
    try:
        data = urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except ValueError:
        return False
    if data.startswith(_FERNET):
        return True
    depth = 0
    while data[:1] and data[0] in _FIELDS:
        data = _content(data)
        depth += 1
    return depth > 1 and data[:1] == bytes((_NUMBER,))


def _content(message: bytes) -> bytes:
    """Take away the tag and the length, of which all bytes but the last have their highest bit set."""
    end = 1
    while end < len(message) and message[end] & 0x80:
        end += 1
    return message[end + 1 :]
