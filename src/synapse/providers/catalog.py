"""Providers as rows, and what the configuration and the environment make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.config import ConfigError, ModelConfig, ProviderType, SimulatorProvider
from synapse.domain.credential import Credential
from synapse.providers.keys import parse_keys
from synapse.providers.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.config import Config, ProviderConfig


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


ROWS: dict[ProviderType, ProviderRow] = {
    "gemini": ProviderRow(
        wire="gemini",
        base_url="https://generativelanguage.googleapis.com",
        key_variables=("GENAI_API_KEYS",),
        day_zone="America/Los_Angeles",
    ),
    "openai": ProviderRow(wire="openai"),
    "openrouter": ProviderRow(
        wire="openai",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEYS", "OPENROUTER_API_KEY"),
        headers={"HTTP-Referer": "https://pypi.org/project/synapse-queue/", "X-OpenRouter-Title": "Synapse"},
    ),
    "simulator": ProviderRow(wire="simulator"),
}


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
    models = dict(_model(entry) for entry in provider.codes)
    if isinstance(provider, SimulatorProvider):
        return ProviderPlan(name, row.wire, row.base_url, row.headers, (), (), models, row.day_zone, provider)
    variables = (provider.api_keys_env,) if provider.api_keys_env else row.key_variables
    base_url = (provider.base_url or row.base_url).rstrip("/")
    credentials = _credentials(variables, environ)
    return ProviderPlan(name, row.wire, base_url, row.headers, credentials, variables, models, row.day_zone)


def _model(entry: str | ModelConfig) -> tuple[str, str]:
    if isinstance(entry, ModelConfig):
        return entry.code, entry.model or entry.code
    return entry, entry


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
