"""What a configuration amounts to, for `synapse check-config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.logs import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.config import CallerConfig, Config
    from synapse.domain.quota import Quota
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
    limits: dict[str, dict[str, int]]
    """What is said of each project's quota of a model, by model code; those of which anything is said."""
    fallbacks: dict[str, tuple[str, ...]]
    """The model codes that answer in the place of one, by that one; those that have any."""

    @property
    def lacks_key(self) -> bool:
        """Whether its models answer `no_credentials`."""
        return self.needs_key and not self.keys


class CallerReport(msgspec.Struct, frozen=True):
    """Who may send tasks, and what."""

    name: str
    key_env: str | None
    """The variable with its key; None where its digest stands in the file."""
    weight: float
    band: str
    max_concurrency: int | None
    models: tuple[str, ...]
    """The model codes it may use."""
    admin: bool


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
    callers: tuple[CallerReport, ...]
    """Empty where everybody who reaches the ports may send tasks."""


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
        callers=tuple(_caller(caller, plans) for caller in server.callers),
    )


def _caller(caller: CallerConfig, plans: Sequence[ProviderPlan]) -> CallerReport:
    return CallerReport(
        name=caller.name,
        key_env=caller.key_env,
        weight=caller.weight,
        band=caller.band,
        max_concurrency=caller.max_concurrency,
        models=caller.models or tuple(code for plan in plans for code in plan.models),
        admin=caller.admin,
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
        limits={code: stated for code, model in plan.models.items() if (stated := _stated(plan.quotas[model]))},
        fallbacks=plan.fallbacks,
    )


def _stated(quota: Quota) -> dict[str, int]:
    return {measure: limit for measure, limit in msgspec.structs.asdict(quota).items() if limit is not None}
