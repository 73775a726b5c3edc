"""The configuration as frozen data: sections, defaults and limits. All durations are seconds."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec

from synapse.domain.caller import Band
from synapse.domain.quota import Quota

_PORT = r"(?::(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_URL = rf"^https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]){_PORT}(?:/[^\s?#]*)?\Z"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[float, msgspec.Meta(gt=0)]
Pause = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
ModelCode = Annotated[str, msgspec.Meta(pattern=r"^\S+\Z", description="a model code (text without spaces)")]
VariableName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", description="the name of an environment variable")
]
KeyVariable = Annotated[VariableName, msgspec.Meta(extra={"secret": True})]
Digest = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9A-Fa-f]{64}\Z",
        description="a SHA-256 digest (64 hexadecimal digits)",
        extra={"secret": True},
    ),
]
BaseUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=_URL, description="an http or https URL without user or query, such as https://api.example.com/v1"
    ),
]
MessageBytes = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""gRPC keeps its message limit in 32 bits."""
ProviderType = Literal[
    "gemini",
    "anthropic",
    "openai",
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "together",
    "xai",
    "cerebras",
    "ollama",
    "lmstudio",
    "vllm",
    "simulator",
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class TlsConfig(Section, frozen=True, kw_only=True):
    """The server's certificate: both ports are encrypted where it is given."""

    cert: Text
    """PEM file of the certificate chain. Relative to the configuration file; absolute once loaded."""
    key: Text
    """PEM file of the private key, likewise."""


class CallerConfig(Section, frozen=True, kw_only=True):
    """Somebody who may send tasks, known by a key: one of `key_env` and `sha256` says which."""

    name: Text
    """What logs call it; no two callers share one."""
    key_env: KeyVariable | None = None
    """The variable that has its key."""
    sha256: Digest | None = None
    """The digest of its key, in place of the key."""
    weight: Duration = 1
    """Its share, in proportion to the weights of others, of what callers of the same band compete for."""
    band: Band = Band.INTERACTIVE
    """The most urgent band it may use, and the one it gets where a request says nothing."""
    max_concurrency: Count | None = None
    """How many of its tasks may run at once."""
    models: tuple[ModelCode, ...] = ()
    """The model codes it may use; all of them where left out."""
    admin: bool = False
    """Whether it may see how the keys of providers stand."""


class RemoteImagesConfig(Section, frozen=True, kw_only=True):
    """Pictures that callers give by address, where the provider does not fetch them itself."""

    enabled: bool = True
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 20_971_520
    """Of one picture."""
    timeout: Duration = 10
    """For one picture, redirects included."""


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
    callers: tuple[CallerConfig, ...] = ()
    remote_images: RemoteImagesConfig = RemoteImagesConfig()
    """Who may send tasks; everybody who reaches the ports where left out."""


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


class StoreConfig(Section, frozen=True, kw_only=True):
    """What is kept on disk, so that it survives a restart."""

    path: Text | None = "synapse.db"
    """A SQLite file. Relative to the configuration file; absolute once loaded. Nothing is kept where it is null."""
    result_ttl: Duration = 86_400
    """What came of a task is kept this long."""


class RetryConfig(Section, frozen=True, kw_only=True):
    """What is tried again, and when."""

    max_attempts: Count = 4
    base_delay: Pause = 0.5
    """The first back-off; each further one may be twice as long."""
    max_delay: Pause = 30


class SchedulingConfig(Section, frozen=True, kw_only=True):
    """Which task comes first, and which goes elsewhere."""

    interactive_reserve: Share = 0.2
    """The most of each quota that is kept from a band for the bands above it."""
    fallback_after: Pause = 30
    """A task that would wait longer than this for its model goes to a fallback, where it has one."""


class ProvidersConfig(Section, frozen=True, kw_only=True):
    """Patience with providers."""

    stall_timeout: Duration = 60
    """An attempt at a streamed answer ends when nothing of it came for so long."""
    answer_timeout: Duration = 600
    """An attempt at a plain answer, which comes all at once, ends when it has not come after so long."""
    connect_timeout: Duration = 10
    first_event_timeout: Duration = 120
    """An attempt at a streamed answer ends when nothing at all of it came for so long."""


class LimitsConfig(Section, frozen=True, kw_only=True):
    """What a provider lets one project have of one model."""

    rpm: Count | None = None
    """Requests a minute."""
    tpm: Count | None = None
    """Input tokens a minute."""
    rpd: Count | None = None
    """Requests a day."""
    tpd: Count | None = None
    """Input tokens a day."""
    concurrency: Count | None = None
    """Requests at once."""

    def quota(self) -> Quota:
        """Say the same in the words of the domain."""
        return Quota(rpm=self.rpm, tpm=self.tpm, rpd=self.rpd, tpd=self.tpd, concurrency=self.concurrency)


class ModelConfig(Section, frozen=True, kw_only=True):
    """A model under a code of one's own, or with limits or fallbacks of its own."""

    code: ModelCode
    model: ModelCode | None = None
    """The provider's name for it; the code itself where left out."""
    limits: LimitsConfig | None = None
    """Those of this model; what they leave out is as the provider's `limits` say."""
    fallbacks: tuple[ModelCode, ...] = ()
    """Model codes that answer in its place, the first choice first, where it is unavailable or the wait too long."""


Codes = tuple[ModelCode | ModelConfig, ...]


class HostedProvider(Section, frozen=True, kw_only=True):
    """A provider whose address is known: Gemini, Anthropic, OpenRouter, Groq, a local Ollama."""

    type: ProviderType
    base_url: BaseUrl | None = None
    """Another address: a proxy, a test."""
    api_keys_env: VariableName | None = None
    """The variable with its keys, in place of the usual ones."""
    limits: LimitsConfig | None = None
    """Of each project and model."""
    codes: Codes


class OpenAIProvider(Section, frozen=True, kw_only=True):
    """Any server that speaks OpenAI's dialect; OpenAI itself where no address is given."""

    type: ProviderType
    base_url: BaseUrl | None = None
    """What stands before `/chat/completions`."""
    api_keys_env: VariableName | None = None
    """The variable with its keys; where left out, another server than OpenAI's is asked without a key."""
    limits: LimitsConfig | None = None
    """Of each project and model."""
    codes: Codes


class SimulatorProvider(Section, frozen=True, kw_only=True):
    """Answers without key or network."""

    type: ProviderType
    tokens_per_second: Pause = 50
    """0 answers at once."""
    tokens: Count = 100
    """The length of `sim/lorem`'s answers."""
    limits: LimitsConfig | None = None
    """Of each project and model."""
    codes: Codes


ProviderConfig = HostedProvider | OpenAIProvider | SimulatorProvider

_HOSTED = (
    "gemini", "anthropic", "openrouter", "groq", "mistral", "deepseek", "together", "xai", "cerebras", "ollama",
    "lmstudio", "vllm",
)  # fmt: skip
PROVIDER_TYPES: dict[str, type[HostedProvider | OpenAIProvider | SimulatorProvider]] = {
    **dict.fromkeys(_HOSTED, HostedProvider),
    "openai": OpenAIProvider,
    "simulator": SimulatorProvider,
}
NAMES_THAT_TELL: frozenset[str] = frozenset(PROVIDER_TYPES)
"""A provider of such a name needs no `type`."""


class Config(Section, frozen=True, kw_only=True):
    """All of it."""

    server: ServerConfig = ServerConfig()
    worker: WorkerConfig = WorkerConfig()
    queue: QueueConfig = QueueConfig()
    store: StoreConfig = StoreConfig()
    retry: RetryConfig = RetryConfig()
    scheduling: SchedulingConfig = SchedulingConfig()
    providers: ProvidersConfig = ProvidersConfig()
    models: dict[str, ProviderConfig]
    """Providers by name."""


def cpu_cores() -> int:
    """Count the CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
