"""What an answer took, in tokens."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the provider counted them; zero where it said nothing."""

    input_tokens: int = 0
    """All of the input, cached input included."""
    output_tokens: int = 0
    """All that was generated, thinking included."""
    thinking_tokens: int = 0
    """The part of `output_tokens` that was thinking."""
    cached_tokens: int = 0
    """The part of `input_tokens` that the provider had in its cache."""
    total_tokens: int = 0
    """The provider's own total; it can exceed input + output where tools used tokens of their own."""
    cache_write_tokens: int = 0
    """The part of `input_tokens` that the provider has put into its cache."""
    cost: float | None = None
    """US dollars, where the price is known."""
