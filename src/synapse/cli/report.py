"""What a configuration amounts to, for `synapse check-config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.logs import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.config import Config
    from synapse.providers.catalog import ProviderPlan


class ProviderReport(msgspec.Struct, frozen=True):
    """What would be asked, and with what."""

    name: str
    wire: str
    base_url: str
    proxy: str | None
    """Without its user and password."""
    keys: tuple[str, ...]
    """The last characters of each."""
    key_variables: tuple[str, ...]
    needs_key: bool
    models: dict[str, str]
    """The provider's name of each model, by model code."""

    @property
    def lacks_key(self) -> bool:
        """Whether its models answer `no_credentials`."""
        return self.needs_key and not self.keys


class Report(msgspec.Struct, frozen=True):
    """What would run."""

    config: str
    host: str
    http_port: int
    grpc_port: int
    tls: bool
    cores: int
    slots: int
    providers: tuple[ProviderReport, ...]
    models_without_key: dict[str, tuple[str, ...]]
    """The variables that would give a key for the model, by model code."""


def report(
    name: str, config: Config, plans: Sequence[ProviderPlan], environ: Mapping[str, str], *, cores: int
) -> Report:
    """Sum up a configuration. Raises ConfigError where the environment names a proxy that cannot be one."""
    providers = tuple(_provider(plan, environ) for plan in plans)
    server = config.server
    return Report(
        config=name,
        host=server.host,
        http_port=server.http_port,
        grpc_port=server.grpc_port,
        tls=server.tls is not None,
        cores=cores,
        slots=config.worker.slots(cores),
        providers=providers,
        models_without_key={code: row.key_variables for row in providers if row.lacks_key for code in row.models},
    )


def _provider(plan: ProviderPlan, environ: Mapping[str, str]) -> ProviderReport:
    proxy = plan.proxy(environ)
    return ProviderReport(
        name=plan.name,
        wire=plan.wire,
        base_url=plan.base_url,
        proxy=redact(proxy) if proxy else None,
        keys=tuple(credential.label for credential in plan.credentials),
        key_variables=plan.key_variables,
        needs_key=plan.needs_key,
        models=plan.models,
    )
