"""`synapse check-config`: what would run with this configuration."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

import msgspec

from synapse.cli.terminal import add_config_option, open_console

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


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "check-config",
        help="check the configuration and say what would run",
        description="Checks config.yaml, .env and the environment, and prints what `synapse serve` would run. The exit "
        "code is 2 where something is wrong.",
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Raises ConfigError with all that is wrong."""
    from synapse import config  # noqa: PLC0415 - loads YAML
    from synapse.providers.catalog import resolve  # noqa: PLC0415 - the same

    environ = config.environment(arguments.config, os.environ)
    loaded = config.load(arguments.config, os.environ)
    made = report(str(arguments.config), loaded, resolve(loaded, environ), environ, cores=config.cpu_cores())
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
    else:
        _print(made)
    return 0


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
    from synapse.logs import redact  # noqa: PLC0415 - part of what only run needs

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


def _print(made: Report) -> None:
    from rich.table import Table  # noqa: PLC0415 - takes long to load

    scheme, encrypted = ("https", " (TLS)") if made.tls else ("http", "")
    table = Table(box=None)
    for column in ("provider", "address", "keys", "models"):
        table.add_column(column, overflow="fold")
    for row in made.providers:
        table.add_row(row.name, _address(row), _keys(row), _models(row))
    console = open_console()
    console.print(
        f"{made.config} is valid. `synapse serve` runs up to {made.slots} tasks at once and listens on\n",
        soft_wrap=True,
    )
    console.print(f"  HTTP  {scheme}://{made.host}:{made.http_port or '(any free port)'}")
    console.print(f"  gRPC  {made.host}:{made.grpc_port or '(any free port)'}{encrypted}\n")
    console.print(table)
    for row in made.providers:
        if row.lacks_key:
            variables = " or ".join(row.key_variables)
            console.print(
                f"\n{row.name} has no key, so its models answer with an error: set {variables}", style="yellow"
            )


def _address(row: ProviderReport) -> str:
    return f"{row.base_url} via {row.proxy}" if row.proxy else row.base_url or "built in"


def _keys(row: ProviderReport) -> str:
    if not row.needs_key:
        return "not needed"
    return f"{len(row.keys)}: {' '.join(row.keys)}" if row.keys else "none"


def _models(row: ProviderReport) -> str:
    return "\n".join(code if code == model else f"{code} = {model}" for code, model in row.models.items())
