"""Providers as rows, and what the configuration and the environment make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.config import ConfigError, ModelConfig, OpenAIProvider, ProviderType, SimulatorProvider
from synapse.domain.credential import Credential
from synapse.domain.quota import Quota
from synapse.providers.keys import parse_keys
from synapse.providers.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.config import Config, LimitsConfig, ProviderConfig


class ProviderRow(msgspec.Struct, frozen=True):
    """What is known of a type of provider beforehand."""

    wire: str
    """The dialect it speaks."""
    base_url: str = ""
    """Without a slash at the end; empty where the configuration must say it, or there is none."""
    key_variables: tuple[str, ...] = ()
    """Where its keys are; all of them are read, in this order."""
    headers: dict[str, str] = {}
    """Sent with every request."""
    day_zone: str = "UTC"
    """Where its day begins, for quotas of a day."""
    shared_models: str = ""
    """How the names of models end whose quota a project has once, for all of them; empty where each has its own."""
    image_urls: bool = False
    """Whether it fetches pictures itself that are given by address."""


def _openai(base_url: str, name: str, *, wire: str = "openai", image_urls: bool = False) -> ProviderRow:
    """Make the row of a provider that speaks OpenAI's dialect, or one near it, and has its keys as usual."""
    variables = (f"{name}_API_KEYS", f"{name}_API_KEY")
    return ProviderRow(wire=wire, base_url=base_url, key_variables=variables, image_urls=image_urls)


ROWS: dict[ProviderType, ProviderRow] = {
    "gemini": ProviderRow(
        wire="gemini",
        base_url="https://generativelanguage.googleapis.com",
        key_variables=("GENAI_API_KEYS",),
        day_zone="America/Los_Angeles",
    ),
    "anthropic": ProviderRow(
        wire="anthropic",
        base_url="https://api.anthropic.com",
        key_variables=("ANTHROPIC_API_KEYS", "ANTHROPIC_API_KEY"),
        image_urls=True,
    ),
    "openai": _openai("https://api.openai.com/v1", "OPENAI", image_urls=True),
    "openrouter": ProviderRow(
        wire="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEYS", "OPENROUTER_API_KEY"),
        headers={"HTTP-Referer": "https://pypi.org/project/synapse-queue/", "X-OpenRouter-Title": "Synapse"},
        shared_models=":free",
        image_urls=True,
    ),
    "groq": _openai("https://api.groq.com/openai/v1", "GROQ", image_urls=True),
    "mistral": _openai("https://api.mistral.ai/v1", "MISTRAL", wire="mistral", image_urls=True),
    "deepseek": _openai("https://api.deepseek.com/v1", "DEEPSEEK", wire="deepseek"),
    "together": _openai("https://api.together.xyz/v1", "TOGETHER", image_urls=True),
    "xai": _openai("https://api.x.ai/v1", "XAI", image_urls=True),
    "cerebras": _openai("https://api.cerebras.ai/v1", "CEREBRAS"),
    "ollama": ProviderRow(wire="openai", base_url="http://localhost:11434/v1"),
    "lmstudio": ProviderRow(wire="openai", base_url="http://localhost:1234/v1"),
    "vllm": ProviderRow(wire="openai", base_url="http://localhost:8000/v1"),
    "simulator": ProviderRow(wire="simulator"),
}
"""A provider is a row here; only a new dialect is more."""


class ProviderPlan(msgspec.Struct, frozen=True):
    """A provider of the configuration, with all that is needed to ask it."""

    name: str
    wire: str
    base_url: str
    """Without a slash at the end; empty for the simulator."""
    headers: dict[str, str]
    credentials: tuple[Credential, ...]
    key_variables: tuple[str, ...]
    """The variables its keys come from; none where it needs none."""
    models: dict[str, str]
    """The provider's name for each model, by model code."""
    day_zone: str
    """The time zone whose midnight ends a day's quota."""
    simulation: SimulatorProvider | None = None
    """The simulator's pace, where this is it."""
    quotas: dict[str, Quota] = {}
    """What is said of each project's quota of a model, by the provider's name for the model; all models are in it."""
    fallbacks: dict[str, tuple[str, ...]] = {}
    """The model codes that answer in the place of one, by that one; those that have any."""
    shared_models: str = ""
    """How the names of models end whose quota a project has once, for all of them; empty where each has its own."""
    type: ProviderType = "openai"
    at_home: bool = True
    """Whether it is who its type says, and not somebody who only speaks like that."""
    image_urls: bool = False
    """Whether it fetches pictures itself that are given by address."""

    @property
    def needs_key(self) -> bool:
        """Whether it can be asked only with a key."""
        return bool(self.key_variables)

    def proxy(self, environ: Mapping[str, str]) -> str | None:
        """Give the URL of the proxy through which the environment says to reach it. Raises ConfigError."""
        try:
            return proxy_for(self.base_url, environ)
        except ValueError as exc:
            raise ConfigError(str(exc)) from exc


def resolve(config: Config, environ: Mapping[str, str]) -> tuple[ProviderPlan, ...]:
    """Make the plan of each provider, in the order of the configuration.

    Raises ConfigError for a key that can be none; no key at all is no error.
    """
    return tuple(_plan(name, provider, environ) for name, provider in config.models.items())


def _plan(name: str, provider: ProviderConfig, environ: Mapping[str, str]) -> ProviderPlan:
    row = ROWS[provider.type]
    simulation = provider if isinstance(provider, SimulatorProvider) else None
    entries = [entry if isinstance(entry, ModelConfig) else ModelConfig(code=entry) for entry in provider.codes]
    variables = _key_variables(provider, row)
    return ProviderPlan(
        name=name,
        wire=row.wire,
        base_url=_base_url(provider, row),
        headers=row.headers,
        credentials=_credentials(variables, environ),
        key_variables=variables,
        models={entry.code: _model(entry) for entry in entries},
        day_zone=row.day_zone,
        simulation=simulation,
        quotas=_quotas(entries, provider.limits),
        fallbacks={entry.code: entry.fallbacks for entry in entries if entry.fallbacks},
        shared_models=row.shared_models,
        type=provider.type,
        at_home=not _elsewhere(provider),
        image_urls=row.image_urls and not _elsewhere(provider),
    )


def _base_url(provider: ProviderConfig, row: ProviderRow) -> str:
    stated = None if isinstance(provider, SimulatorProvider) else provider.base_url
    return (stated or row.base_url).rstrip("/")


def _key_variables(provider: ProviderConfig, row: ProviderRow) -> tuple[str, ...]:
    stated = None if isinstance(provider, SimulatorProvider) else provider.api_keys_env
    if stated:
        return (stated,)
    # What speaks OpenAI's dialect elsewhere must not be sent OpenAI's keys.
    return () if _elsewhere(provider) else row.key_variables


def _elsewhere(provider: ProviderConfig) -> bool:
    return isinstance(provider, OpenAIProvider) and provider.base_url is not None


def _model(entry: ModelConfig) -> str:
    return entry.model or entry.code


def _quotas(entries: Sequence[ModelConfig], limits: LimitsConfig | None) -> dict[str, Quota]:
    """Give the quota of each model: what its entries say, completed by what the provider's limits say.

    Several codes of one model draw on one quota, so of several numbers for one limit the smallest holds.
    """
    found: dict[str, Quota] = {}
    for entry in entries:
        stated = entry.limits.quota() if entry.limits else Quota()
        known = found.get(_model(entry))
        found[_model(entry)] = stated if known is None else known.within(stated)
    rest = limits.quota() if limits else Quota()
    return {model: quota.over(rest) for model, quota in found.items()}


def _credentials(variables: tuple[str, ...], environ: Mapping[str, str]) -> tuple[Credential, ...]:
    found: dict[str, Credential] = {}
    for variable in variables:
        try:
            credentials = parse_keys(environ.get(variable, ""))
        except ValueError as exc:
            raise ConfigError(f"{variable}: {exc}") from exc
        for credential in credentials:
            found.setdefault(credential.key, credential)
    return tuple(found.values())
