"""What answers cost."""

from __future__ import annotations

from synapse.domain.usage import Usage
from synapse.providers.pricing import PriceList

PRICES = PriceList({"google": "gemini", "mine": "vllm", "claude": "anthropic"})
MILLION = 1_000_000


def test_an_answer_costs_what_its_tokens_do() -> None:
    """By the list of who sells it under that name: more of either side costs more."""
    little = PRICES.price("google", "gemini-2.5-flash", Usage(MILLION, 0))
    more = PRICES.price("google", "gemini-2.5-flash", Usage(MILLION, MILLION))

    assert little is not None
    assert more is not None
    assert 0 < little < more


def test_cached_input_is_cheaper() -> None:
    """It is a part of the input, priced by itself."""
    fresh = PRICES.price("claude", "claude-haiku-4-5", Usage(MILLION, 0))
    cached = PRICES.price("claude", "claude-haiku-4-5", Usage(MILLION, 0, cached_tokens=MILLION))

    assert fresh is not None
    assert cached is not None
    assert cached < fresh


def test_what_the_provider_says_stands() -> None:
    """It knows what it charges."""
    assert PRICES.price("google", "gemini-2.5-flash", Usage(MILLION, 0, cost=0.25)) == 0.25


def test_a_server_of_ones_own_has_no_price() -> None:
    """Nor has a model that no list has; asked again it is not looked for again."""
    assert PRICES.price("mine", "llama", Usage(MILLION, MILLION)) is None
    assert PRICES.price("google", "a-model-that-nobody-sells", Usage(MILLION, MILLION)) is None
    assert PRICES.price("google", "a-model-that-nobody-sells", Usage(MILLION, MILLION)) is None
