"""What turning recordings of any dialect into another form takes."""

from __future__ import annotations

from synapse.simulator.text import split_words

_WORDS = 6


def pieces_of(text: str) -> list[str]:
    """Cut a text into pieces of a few words, for want of knowing its tokens."""
    words = split_words(text)
    return ["".join(words[start : start + _WORDS]) for start in range(0, len(words), _WORDS)]


def sse_data(body: bytes) -> list[bytes]:
    """Return the data of each recorded server-sent event, the mark of the end left out."""
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return [item for item in data if item != b"[DONE]"]
