"""The Python clients of Synapse's gRPC port: `Client`, and `AsyncClient` for asyncio.

    with Client("localhost:50051") as client:
        for result in client.generate_task(prompt="Why is the sky blue?", model_code="gemini-2.5-flash"):
            print(result.text, end="", flush=True)

Both have the same methods; `AsyncClient` says `async for`, `await` and `aclose`.
"""

from __future__ import annotations

from synapse.client._async import AsyncClient
from synapse.client._sync import Client
from synapse.client.config import GenerationConfig
from synapse.client.errors import ConnectionFailed
from synapse.client.result import GenerationResult

__all__ = ["AsyncClient", "Client", "ConnectionFailed", "GenerationConfig", "GenerationResult"]
