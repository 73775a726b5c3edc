"""The configuration as frozen data: sections, defaults and limits. All durations are seconds."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec

_PORT = r"(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_URL = rf"^https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]){_PORT}(?:/[^\s?#]*)?\Z"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[float, msgspec.Meta(gt=0)]
Pause = Annotated[float, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
ModelCode = Annotated[str, msgspec.Meta(pattern=r"^\S+\Z", description="a model code (text without spaces)")]
VariableName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", description="the name of an environment variable")
]
BaseUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=_URL, description="an http or https URL without user or query, such as https://api.example.com/v1"
    ),
]
MessageBytes = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""gRPC keeps its message limit in 32 bits."""
ProviderType = Literal["gemini", "openai", "openrouter", "simulator"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class TlsConfig(Section, frozen=True, kw_only=True):
    """The server's certificate: both ports are encrypted where it is given."""

    cert: Text
    """PEM file of the certificate chain. Relative to the configuration file; absolute once loaded."""
    key: Text
    """PEM file of the private key, likewise."""


class ServerConfig(Section, frozen=True, kw_only=True):
    """Where and how callers are answered."""

    host: Text = "127.0.0.1"
    grpc_port: Port = 50051
    """0 takes any free port; so does `http_port`."""
    http_port: Port = 8080
    keepalive_seconds: Duration = 5
    """A waiting caller hears something this often."""
    max_request_bytes: MessageBytes = 104_857_600
    shutdown_grace: Pause = 30
    """What runs at a stop may take this long to end."""
    tls: TlsConfig | None = None


class WorkerConfig(Section, frozen=True, kw_only=True):
    """How many tasks run at once."""

    concurrency_multiplier: Count = 64

    def slots(self, cores: int) -> int:
        """Count the tasks that run at once on that many CPU cores."""
        return self.concurrency_multiplier * cores


class QueueConfig(Section, frozen=True, kw_only=True):
    """How much may wait, and for how long."""

    max_size: Count = 10_000
    max_wait: Duration = 600
    """From acceptance to the first attempt."""
    timeout: Duration = 3600
    """From acceptance to the end."""


class RetryConfig(Section, frozen=True, kw_only=True):
    """What is tried again, and when."""

    max_attempts: Count = 4
    base_delay: Pause = 0.5
    """The first back-off; each further one may be twice as long."""
    max_delay: Pause = 30


class ProvidersConfig(Section, frozen=True, kw_only=True):
    """Patience with providers."""

    stall_timeout: Duration = 60
    """An attempt at a streamed answer ends when nothing of it came for so long."""
    answer_timeout: Duration = 600
    """An attempt at a plain answer, which comes all at once, ends when it has not come after so long."""
    connect_timeout: Duration = 10


class ModelConfig(Section, frozen=True, kw_only=True):
    """A model under a code of one's own."""

    code: ModelCode
    model: ModelCode | None = None
    """The provider's name for it; the code itself where left out."""


Codes = tuple[ModelCode | ModelConfig, ...]


class HostedProvider(Section, frozen=True, kw_only=True):
    """A provider with an address of its own: Gemini, OpenRouter."""

    type: ProviderType
    base_url: BaseUrl | None = None
    """Another address: a proxy, a test."""
    api_keys_env: VariableName | None = None
    """The variable with its keys, in place of the usual ones."""
    codes: Codes


class OpenAIProvider(Section, frozen=True, kw_only=True):
    """Any server that speaks OpenAI's dialect."""

    type: ProviderType
    base_url: BaseUrl
    """What stands before `/chat/completions`."""
    api_keys_env: VariableName | None = None
    """The variable with its keys; it is asked without a key where left out."""
    codes: Codes


class SimulatorProvider(Section, frozen=True, kw_only=True):
    """Answers without key or network."""

    type: ProviderType
    tokens_per_second: Pause = 50
    """0 answers at once."""
    tokens: Count = 100
    """The length of `sim/lorem`'s answers."""
    codes: Codes


ProviderConfig = HostedProvider | OpenAIProvider | SimulatorProvider

PROVIDER_TYPES: dict[str, type[HostedProvider | OpenAIProvider | SimulatorProvider]] = {
    "gemini": HostedProvider,
    "openai": OpenAIProvider,
    "openrouter": HostedProvider,
    "simulator": SimulatorProvider,
}
NAMES_THAT_TELL: frozenset[str] = frozenset({"gemini", "openrouter", "simulator"})
"""A provider of such a name needs no `type`. `openai` is not one: it is a dialect that many speak."""


class Config(Section, frozen=True, kw_only=True):
    """All of it."""

    server: ServerConfig = ServerConfig()
    worker: WorkerConfig = WorkerConfig()
    queue: QueueConfig = QueueConfig()
    retry: RetryConfig = RetryConfig()
    providers: ProvidersConfig = ProvidersConfig()
    models: dict[str, ProviderConfig]
    """Providers by name."""


def cpu_cores() -> int:
    """Count the CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
