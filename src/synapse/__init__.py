"""Synapse: a task queue for LLM generation, in which a caller never sees a rate limit.

What is exported here is the public interface: the clients and what they return and raise. Everything is imported when
it is first used, so that `import synapse` is cheap and the server never loads the clients.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse.client import AsyncClient, Client, ConnectionFailed, GenerationConfig, GenerationResult
    from synapse.domain.errors import (
        Cancelled,
        Expired,
        InternalError,
        InvalidRequest,
        MethodNotAllowed,
        ModelNotFound,
        NoCredentials,
        NotFound,
        PayloadTooLarge,
        PermissionDenied,
        ProviderFailed,
        QueueFull,
        ShuttingDown,
        SynapseError,
        TimedOut,
        Unauthenticated,
        UnsupportedParameter,
        WaitTooLong,
    )
    from synapse.domain.usage import Usage

    __version__: str

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "ConnectionFailed",
    "Expired",
    "GenerationConfig",
    "GenerationResult",
    "InternalError",
    "InvalidRequest",
    "MethodNotAllowed",
    "ModelNotFound",
    "NoCredentials",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "ProviderFailed",
    "QueueFull",
    "ShuttingDown",
    "SynapseError",
    "TimedOut",
    "Unauthenticated",
    "UnsupportedParameter",
    "Usage",
    "WaitTooLong",
    "__version__",
]

_HOMES = {
    "AsyncClient": "synapse.client",
    "Client": "synapse.client",
    "ConnectionFailed": "synapse.client",
    "GenerationConfig": "synapse.client",
    "GenerationResult": "synapse.client",
    "Usage": "synapse.domain.usage",
}
"""The modules of what is not an error of the tree."""


def __getattr__(name: str) -> object:
    """Import what is asked for the first time."""
    if name not in __all__:
        raise AttributeError(f"module 'synapse' has no attribute {name!r}")
    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("synapse-queue")
    else:
        value = getattr(import_module(_HOMES.get(name, "synapse.domain.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
