"""Chat completions as OpenAI defined them and OpenRouter, Ollama, vLLM, Groq and many others speak them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.providers.wires import openai_embeddings, openai_faults, openai_limits, openai_request, openai_unsupported
from synapse.providers.wires.base import Wire
from synapse.providers.wires.openai_answer import OpenAIDecoder
from synapse.providers.wires.openai_dialects import DIALECTS

if TYPE_CHECKING:
    from synapse.providers.wires.openai_dialects import Dialect


def _wire(dialect: Dialect) -> Wire:
    embeddings = Wire(
        dialect.name,
        openai_embeddings.encoder(dialect),
        openai_embeddings.EmbeddingsDecoder,
        openai_faults.classify,
        openai_limits.headroom,
    )
    return Wire(
        dialect.name,
        openai_request.encoder(dialect),
        OpenAIDecoder,
        openai_faults.classify,
        openai_limits.headroom,
        unsupported=openai_unsupported.unsupported(dialect),
        embeddings=embeddings,
    )


WIRES = tuple(_wire(dialect) for dialect in DIALECTS)
"""One for each dialect: they differ in what they write."""
WIRE, OPENROUTER, MISTRAL, DEEPSEEK = WIRES
