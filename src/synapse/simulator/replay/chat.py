"""Recorded answers of chat completions, turned from one form into the other."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypedDict, cast

import msgspec

from synapse.simulator.dialects.openai_answer import DONE
from synapse.simulator.replay.message import Message, add_delta, deltas_of
from synapse.simulator.replay.pieces import sse_data

if TYPE_CHECKING:
    from collections.abc import Iterator

_ERRORS = range(400, 600)
_CHOICE_ONLY = frozenset({"delta", "finish_reason", "message", "native_finish_reason", "text", "token_ids"})
_CHUNK_ONLY = frozenset({"choices", "obfuscation", "object", "usage"})


class Choice(TypedDict, total=False):
    """One of the answers, or some of it; what is not named here is kept as it is."""

    index: int
    message: Message
    delta: Message
    finish_reason: str | None
    native_finish_reason: str | None


class Failure(TypedDict, total=False):
    """What went wrong in the middle of a stream."""

    code: int | str
    status_code: int


class Chunk(TypedDict, total=False):
    """An answer, or some of it."""

    object: str
    choices: list[Choice]
    usage: object
    error: Failure


def to_plain(body: bytes) -> tuple[int, bytes]:
    """Make one answer of a stream; return its status, which is that of the error if it tells of one, and its body."""
    chunks: list[Chunk] = [msgspec.json.decode(data) for data in sse_data(body)]
    for chunk in chunks:
        failure = chunk.get("error")
        if failure:
            return _status(failure), msgspec.json.encode({"error": failure})
    return 200, msgspec.json.encode(merge(chunks))


def to_stream(body: bytes, *, usage: bool) -> bytes:
    """Make a stream of one answer, with or without a chunk that tells the usage."""
    chunks = divide(msgspec.json.decode(body), usage=usage)
    return b"".join([b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks]) + DONE


def merge(chunks: list[Chunk]) -> Chunk:
    """Make one answer of its chunks: texts joined, everything else as it was told last."""
    whole: dict[str, object] = {}
    choices: dict[int, Choice] = {}
    usage: object = None
    for chunk in chunks:
        whole.update({name: value for name, value in chunk.items() if name not in _CHUNK_ONLY})
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", ()):
            index = choice.get("index", 0)
            _add(choices.setdefault(index, _empty(index)), choice)
    told = {"usage": usage} if usage is not None else {}
    return cast("Chunk", {**whole, "object": "chat.completion", "choices": list(choices.values()), **told})


def divide(whole: Chunk, *, usage: bool) -> Iterator[Chunk]:
    """Make chunks of one answer."""
    same = {name: value for name, value in whole.items() if name not in _CHUNK_ONLY}
    head = cast("Chunk", {**same, "object": "chat.completion.chunk"})
    for choice in whole.get("choices", ()):
        for share in _shares(choice):
            yield {**head, "choices": [share]}
    if usage and "usage" in whole:
        yield {**head, "choices": [], "usage": whole["usage"]}


def _status(failure: Failure) -> int:
    code = failure.get("status_code", failure.get("code"))
    return code if isinstance(code, int) and code in _ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR


def _empty(index: int) -> Choice:
    return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}


def _add(whole: Choice, choice: Choice) -> None:
    kept = {name: value for name, value in choice.items() if name not in _CHOICE_ONLY and value is not None}
    cast("dict[str, object]", whole).update(kept)
    if choice.get("finish_reason") is not None:
        whole["finish_reason"] = choice["finish_reason"]
    if choice.get("native_finish_reason") is not None:
        whole["native_finish_reason"] = choice["native_finish_reason"]
    add_delta(whole["message"], choice.get("delta", {}))


def _shares(choice: Choice) -> Iterator[Choice]:
    index = choice.get("index", 0)
    for delta in deltas_of(choice.get("message", {})):
        yield {"index": index, "delta": delta, "finish_reason": None}
    last = {name: value for name, value in choice.items() if name not in {"index", "message"}}
    yield cast("Choice", {"index": index, "delta": {}, **last})
