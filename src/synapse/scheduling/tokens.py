"""How many input tokens a request will be, before anybody has counted them."""

from __future__ import annotations

from synapse.domain.request import Image, Request

_BYTES_PER_TOKEN = 4
"""A token is about four characters, says https://ai.google.dev/gemini-api/docs/tokens of Gemini. Bytes, because letters
of other scripts are more tokens."""
_SHORT = 4096
"""Characters up to which splitting a text to count its words costs next to nothing."""
_PER_MESSAGE = 4
"""What parts a message from the one before it."""
_PER_IMAGE = 258
"""By the same page, what an image of up to 384 x 384 pixels counts for, and each tile of 768 x 768 of a larger one: the
least that an image can be."""


def estimate_input_tokens(request: Request) -> int:
    """Return about how many tokens a request has, at least 1: enough to reserve by, until the provider has counted."""
    tokens = _PER_MESSAGE * (len(request.messages) - 1)
    for message in request.messages:
        for part in message.parts:
            tokens += _PER_IMAGE if isinstance(part, Image) else _text_tokens(part.text)
    return max(1, tokens)


def _text_tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    words = len(text.split()) if len(text) <= _SHORT else text.count(" ") + 1
    return max(words, -(-size // _BYTES_PER_TOKEN))
