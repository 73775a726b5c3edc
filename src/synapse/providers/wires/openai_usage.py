"""What an answer took, as OpenAI and those like it count it."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.usage import Usage
from synapse.providers.wires.faults import UNREADABLE


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Counts(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cached_tokens: int | None = None
    """Together's place for it."""
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's place for it."""
    cost: Raw | UnsetType = UNSET
    """OpenRouter's, in US dollars; others write other things there."""


_decode_counts = msgspec.json.Decoder(_Counts, strict=False).decode
_decode_cost = msgspec.json.Decoder(float | None, strict=False).decode


def read_usage(raw: Raw | None) -> Usage:
    """Return the counts; zeros where there are none that can be read."""
    if raw is None:
        return Usage()
    try:
        counts = _decode_counts(raw)
    except UNREADABLE:
        return Usage()
    taken = counts.prompt_tokens or 0
    inputs, outputs = counts.prompt_tokens_details, counts.completion_tokens_details
    thought = outputs.reasoning_tokens or 0 if outputs is not None else 0
    given = _given(counts, thought)
    cached = inputs.cached_tokens if inputs is not None else None
    return Usage(
        input_tokens=taken,
        output_tokens=given,
        thinking_tokens=thought,
        cached_tokens=cached or counts.cached_tokens or counts.prompt_cache_hit_tokens or 0,
        total_tokens=counts.total_tokens or taken + given,
        cache_write_tokens=inputs.cache_write_tokens or 0 if inputs is not None else 0,
        cost=_cost(counts.cost),
    )


def _given(counts: _Counts, thought: int) -> int:
    """Return all of the output. xAI leaves thoughts out of it, and counts them in the total alone."""
    said = counts.completion_tokens or 0
    beside = counts.total_tokens == (counts.prompt_tokens or 0) + said + thought
    return said + thought if beside else said


def _cost(raw: Raw | UnsetType) -> float | None:
    if raw is UNSET:
        return None
    try:
        cost: float | None = _decode_cost(raw)
    except UNREADABLE:
        return None
    return cost
