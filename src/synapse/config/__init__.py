"""The configuration: one YAML file, overridden by the environment, checked as a whole before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.config.callers import known_callers
from synapse.config.environment import environment, with_overrides
from synapse.config.errors import ConfigError
from synapse.config.reader import Reader
from synapse.config.references import resolved
from synapse.config.schema import (
    CallerConfig,
    Config,
    HostedProvider,
    LimitsConfig,
    ModelConfig,
    OpenAIProvider,
    ProviderConfig,
    ProvidersConfig,
    ProviderType,
    QueueConfig,
    RetryConfig,
    SchedulingConfig,
    ServerConfig,
    SimulatorProvider,
    StoreConfig,
    TlsConfig,
    WorkerConfig,
    cpu_cores,
)
from synapse.config.tree import compose, read
from synapse.logs import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "CallerConfig",
    "Config",
    "ConfigError",
    "HostedProvider",
    "LimitsConfig",
    "ModelConfig",
    "OpenAIProvider",
    "ProviderConfig",
    "ProviderType",
    "ProvidersConfig",
    "QueueConfig",
    "RetryConfig",
    "SchedulingConfig",
    "ServerConfig",
    "SimulatorProvider",
    "StoreConfig",
    "TlsConfig",
    "WorkerConfig",
    "cpu_cores",
    "environment",
    "known_callers",
    "load",
]

_SMALLEST = "models: {simulator: {codes: [sim/echo]}}"


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the file, the `.env` beside it and the overrides in `environ`; the last two never change `os.environ`.

    Raises ConfigError with all that is wrong, a line for each error.
    """
    text = read(path)
    if text is None:
        raise ConfigError(f"{path}: there is no such file; the smallest that works is this line: {_SMALLEST}")
    tree = compose(text, str(path))
    reader = Reader(str(path))
    environ = environment(path, environ)
    tree = with_overrides(tree, environ, reader.errors)
    config = reader.struct(tree, Config, "")
    if config is not None:
        config = resolved(config, path.parent, environ, reader)
    if config is None or reader.errors:
        raise ConfigError("\n".join(_told(error) for error in reader.errors))
    return config


def _told(error: str) -> str:
    """Make an error fit for a terminal and a log: one line, no control characters from the file, no keys."""
    shown = error if error.isprintable() else error.encode("unicode_escape").decode()
    return redact(shown)
