"""Recorded answers of Gemini, turned from one form into another."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, cast

import msgspec

from synapse.simulator.dialects.base import Form
from synapse.simulator.dialects.gemini_answer import frame
from synapse.simulator.replay.pieces import pieces_of, sse_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Part(TypedDict, total=False):
    """A piece of an answer; what is not named here is kept as it is."""

    text: str
    thought: bool
    thoughtSignature: str


class Content(TypedDict, total=False):
    """What a candidate says."""

    role: str
    parts: list[Part]


class Candidate(TypedDict, total=False):
    """One of the answers, or some of it."""

    content: Content
    index: int


class Usage(TypedDict, total=False):
    """What an answer took."""

    promptTokenCount: int
    promptTokensDetails: object
    totalTokenCount: int


class Chunk(TypedDict, total=False):
    """An answer, or some of it."""

    candidates: list[Candidate]
    usageMetadata: Usage


def convert(body: bytes, recorded: Form, wanted: Form) -> bytes:
    """Turn an answer of one form into another, with the same text, usage and finish reason."""
    chunks = _chunks(body, recorded)
    if wanted is Form.PLAIN:
        return msgspec.json.format(msgspec.json.encode(merge(chunks)), indent=2) + b"\n"
    if recorded is Form.PLAIN:
        chunks = list(divide(chunks[0]))
    framed = b"".join(frame(map(msgspec.json.encode, chunks), wanted))
    return framed + b"]" if wanted is Form.ARRAY else framed


def merge(chunks: Iterable[Chunk]) -> Chunk:
    """Make one answer of its chunks: texts joined, everything else as it was told last."""
    whole: dict[str, object] = {}
    candidates: dict[int, Candidate] = {}
    for chunk in chunks:
        whole.update({name: value for name, value in chunk.items() if name != "candidates"})
        for candidate in chunk.get("candidates", ()):
            _add(candidates.setdefault(candidate.get("index", 0), {}), candidate)
    told = {"candidates": list(candidates.values())} if candidates else {}
    return cast("Chunk", {**told, **whole})


def divide(whole: Chunk) -> Iterator[Chunk]:
    """Make chunks of one answer; the last one has all that is told about it."""
    shares = [share for candidate in whole.get("candidates", ()) for share in _shares(candidate)]
    if not shares:
        yield whole
        return
    usage = whole.get("usageMetadata", {})
    so_far: Usage = {}
    if "promptTokenCount" in usage:
        so_far = {"promptTokenCount": usage["promptTokenCount"], "totalTokenCount": usage["promptTokenCount"]}
    for share in shares[:-1]:
        yield {**whole, "candidates": [share], "usageMetadata": so_far}
    yield {**whole, "candidates": [shares[-1]]}


def _chunks(body: bytes, form: Form) -> list[Chunk]:
    if form is Form.SSE:
        return [msgspec.json.decode(data) for data in sse_data(body)]
    decoded: list[Chunk] | Chunk = msgspec.json.decode(body)
    return decoded if isinstance(decoded, list) else [decoded]


def _add(whole: Candidate, candidate: Candidate) -> None:
    content = whole.get("content", Content())
    parts = content.get("parts", [])
    for part in candidate.get("content", Content()).get("parts", ()):
        _append(parts, part)
    whole.update(candidate)
    whole["content"] = {**content, **candidate.get("content", Content())}
    if parts:
        whole["content"]["parts"] = parts


def _append(parts: list[Part], part: Part) -> None:
    """Add a part, as more of the last one where both are texts of one sort."""
    if part == {"text": ""}:
        return
    last = parts[-1] if parts else Part()
    if "text" in part and "text" in last and part.get("thought") == last.get("thought"):
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    else:
        parts.append(part)


def _shares(candidate: Candidate) -> Iterator[Candidate]:
    """Cut a candidate into parts of a few words; its finish reason comes with the last."""
    content = candidate.get("content", Content())
    parts = [piece for part in content.get("parts", ()) for piece in _pieces(part)]
    for part in parts[:-1]:
        share: Candidate = {"content": {**content, "parts": [part]}}
        if "index" in candidate:
            share["index"] = candidate["index"]
        yield share
    yield {**candidate, "content": {**content, "parts": parts[-1:]}} if parts else candidate


def _pieces(part: Part) -> Iterator[Part]:
    texts = pieces_of(part["text"]) if "text" in part else []
    if not texts:
        yield part
        return
    sort: Part = {"thought": True} if part.get("thought") else {}
    for text in texts[:-1]:
        yield {"text": text, **sort}
    yield {**part, "text": texts[-1]}
