"""Tokens as OpenAI counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


class PromptDetails(msgspec.Struct, gc=False):
    """What the input consisted of."""

    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, gc=False):
    """What the output consisted of."""

    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class CompletionUsage(msgspec.Struct, gc=False):
    """The value of `usage`."""

    prompt_tokens: int
    completion_tokens: int
    """Reasoning included."""
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    cost: float | msgspec.UnsetType = msgspec.UNSET
    """US dollars; Synapse's own field, where the price is known."""


def completion_usage(usage: Usage) -> CompletionUsage:
    """Say what an answer took. A provider's own total counts, where it gave one."""
    return CompletionUsage(
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens or usage.input_tokens + usage.output_tokens,
        PromptDetails(usage.cached_tokens, usage.cache_write_tokens),
        CompletionDetails(usage.thinking_tokens),
        msgspec.UNSET if usage.cost is None else usage.cost,
    )


def sum_up(usages: Sequence[Usage]) -> Usage:
    """Add up what several answers took. The cost of all is known where that of each is."""
    if len(usages) == 1:
        return usages[0]
    costs = [usage.cost for usage in usages if usage.cost is not None]
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        sum(usage.thinking_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        sum(usage.total_tokens or usage.input_tokens + usage.output_tokens for usage in usages),
        sum(usage.cache_write_tokens for usage in usages),
        sum(costs) if len(costs) == len(usages) else None,
    )
