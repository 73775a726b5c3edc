"""What comes back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from synapse.domain.usage import Usage
from synapse.protos import generate_pb2 as pb


class GenerationResult(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer, or from `generate` the whole of it."""

    text: str = ""
    """What the model wrote since the piece before; empty for a keepalive."""
    is_keep_alive: bool = False
    """No news: the task waits in the queue, or the model is silent."""
    finish_reason: str | None = None
    """On the last piece: `stop`, `length`, `tool_calls` or `content_filter`. Older servers don't say."""
    usage: Usage | None = None
    """On the last piece: what the answer took, in tokens. Older servers don't say."""
    task_id: str = ""
    """The task's id at the server; empty from older servers."""


def decode_result(message: pb.Response) -> GenerationResult:
    """Return what a message of the server says."""
    return GenerationResult(
        text=message.chunk,
        is_keep_alive=message.type == pb.Response.KEEPALIVE,
        finish_reason=message.finish_reason if message.HasField("finish_reason") else None,
        usage=_decode_usage(message.usage) if message.HasField("usage") else None,
        task_id=message.task_id,
    )


def join_results(results: Sequence[GenerationResult]) -> GenerationResult:
    """Return the pieces of one answer as one."""
    last = results[-1] if results else GenerationResult()
    return msgspec.structs.replace(last, text="".join(result.text for result in results), is_keep_alive=False)


def _decode_usage(usage: pb.Usage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        thinking_tokens=usage.thinking_tokens,
        cached_tokens=usage.cached_tokens,
        total_tokens=usage.total_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost=usage.cost if usage.HasField("cost") else None,
    )
