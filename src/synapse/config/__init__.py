"""The configuration: one YAML file, overridden by the environment, checked as a whole before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.config.environment import environment, with_overrides
from synapse.config.errors import ConfigError
from synapse.config.reader import Reader
from synapse.config.schema import (
    Config,
    HostedProvider,
    ModelConfig,
    OpenAIProvider,
    ProviderConfig,
    ProvidersConfig,
    ProviderType,
    QueueConfig,
    RetryConfig,
    ServerConfig,
    SimulatorProvider,
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
    "Config",
    "ConfigError",
    "HostedProvider",
    "ModelConfig",
    "OpenAIProvider",
    "ProviderConfig",
    "ProviderType",
    "ProvidersConfig",
    "QueueConfig",
    "RetryConfig",
    "ServerConfig",
    "SimulatorProvider",
    "TlsConfig",
    "WorkerConfig",
    "cpu_cores",
    "environment",
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
    tree = with_overrides(tree, environment(path, environ), reader.errors)
    config = reader.struct(tree, Config, "")
    if config is not None and config.server.tls is not None:
        server = msgspec.structs.replace(config.server, tls=_found(config.server.tls, path.parent, reader))
        config = msgspec.structs.replace(config, server=server)
    if config is None or reader.errors:
        raise ConfigError("\n".join(_told(error) for error in reader.errors))
    return config


def _found(tls: TlsConfig, folder: Path, reader: Reader) -> TlsConfig:
    files = {"cert": folder.absolute() / tls.cert, "key": folder.absolute() / tls.key}
    for name, file in files.items():
        if not file.is_file():
            reader.note(f"server.tls.{name}", f"got a path to no file ({file}), expected a PEM file")
    return TlsConfig(cert=str(files["cert"]), key=str(files["key"]))


def _told(error: str) -> str:
    """Make an error fit for a terminal and a log: one line, no control characters from the file, no keys."""
    shown = error if error.isprintable() else error.encode("unicode_escape").decode()
    return redact(shown)
