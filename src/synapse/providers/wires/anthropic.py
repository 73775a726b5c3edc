"""The Messages API of Anthropic, version 2023-06-01."""

from __future__ import annotations

from synapse.providers.wires import anthropic_faults
from synapse.providers.wires.anthropic_answer import AnthropicDecoder
from synapse.providers.wires.anthropic_limits import headroom
from synapse.providers.wires.anthropic_request import encode
from synapse.providers.wires.anthropic_unsupported import unsupported
from synapse.providers.wires.base import Wire

WIRE = Wire("anthropic", encode, AnthropicDecoder, anthropic_faults.classify, headroom, unsupported=unsupported)
