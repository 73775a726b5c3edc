"""What answers cost, by the price lists of the `genai-prices` package, which needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.domain.usage import Usage

log = structlog.get_logger("synapse")

_SELLERS: Final[Mapping[str, str]] = {
    "gemini": "google",
    "openai": "openai",
    "anthropic": "anthropic",
    "openrouter": "openrouter",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "together": "together",
    "xai": "x-ai",
    "cerebras": "cerebras",
}
"""The package's name for each type of provider. Those that are not here cost nothing that anybody could know."""


class PriceList:
    """Prices answers of the configured providers.

    The package is loaded when something is priced for the first time: it takes a tenth of a second, and memory.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        """Take the type of each provider, by its name."""
        self._sellers = {name: _SELLERS[kind] for name, kind in types.items() if kind in _SELLERS}
        self._unpriced: set[tuple[str, str]] = set()

    def price(self, provider: str, model: str, usage: Usage) -> float | None:
        """Return what an answer costs in US dollars; what the provider has said itself stands; None: not known."""
        seller = self._sellers.get(provider)
        if seller is None or usage.cost is not None or (provider, model) in self._unpriced:
            return usage.cost
        cost = _cost(seller, model, usage)
        if cost is None:
            self._unpriced.add((provider, model))
        return cost


def _cost(seller: str, model: str, usage: Usage) -> float | None:
    import genai_prices  # noqa: PLC0415 - see PriceList

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                cache_read_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
            ),
            model_ref=model,
            provider_id=seller,
        )
    except (LookupError, ValueError) as exc:
        log.info("no price is known", model=model, reason=str(exc)[:200])
        return None
    return float(found.total_price)
