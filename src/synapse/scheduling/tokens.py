"""How many input tokens a request will be, before anybody has counted them."""

from __future__ import annotations

from synapse.domain.request import Audio, Document, Image, ImageUrl, Part, Request, Text, Thinking, ToolCall, ToolResult

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


_BYTES_PER_SECOND_OF_SOUND = 16_000
"""Of what people record to be understood, more or less packed."""
_PER_SECOND_OF_SOUND = 32
"""By the same page."""
_BYTES_PER_PAGE = 50_000
_PER_PAGE = 258


def estimate_input_tokens(request: Request) -> int:
    """Return about how many tokens a request has, at least 1: enough to reserve by, until the provider has counted."""
    tokens = _PER_MESSAGE * (len(request.messages) - 1)
    for message in request.messages:
        for part in message.parts:
            tokens += _text_tokens(part.text) if type(part) is Text else _part_tokens(part)
    for tool in request.tools:
        tokens += (
            _text_tokens(tool.name + (tool.description or "")) + len(bytes(tool.schema or b"")) // _BYTES_PER_TOKEN
        )
    if request.embedding is not None:
        tokens += sum([_text_tokens(text) for text in request.embedding.inputs])
    return max(1, tokens)


def _part_tokens(part: Part) -> int:
    match part:
        case Text(text) | Thinking(text):
            return _text_tokens(text) if text else 0
        case Image() | ImageUrl():
            return _PER_IMAGE
        case Audio(_, data):
            return -(-len(data) // _BYTES_PER_SECOND_OF_SOUND) * _PER_SECOND_OF_SOUND
        case Document(_, data):
            return -(-len(data) // _BYTES_PER_PAGE) * _PER_PAGE
        case ToolCall():
            return _text_tokens(part.name + part.arguments)
        case ToolResult():
            return sum([_part_tokens(inner) for inner in part.content])


def _text_tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    words = len(text.split()) if len(text) <= _SHORT else text.count(" ") + 1
    return max(words, -(-size // _BYTES_PER_TOKEN))
