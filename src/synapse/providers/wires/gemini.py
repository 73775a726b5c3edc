"""The Gemini API of `generativelanguage.googleapis.com`, version v1beta."""

from __future__ import annotations

from synapse.providers.wires import gemini_embeddings, google_faults
from synapse.providers.wires.base import Wire
from synapse.providers.wires.gemini_answer import GeminiDecoder
from synapse.providers.wires.gemini_request import encode
from synapse.providers.wires.gemini_unsupported import unsupported

WIRE = Wire(
    "gemini",
    encode,
    GeminiDecoder,
    google_faults.classify,
    unsupported=unsupported,
    embeddings=gemini_embeddings.WIRE,
)
