"""The command line: one file a command, each with `add_parser(subparsers)` and `run(arguments)`, its exit code.

Exit codes: 0 for success, 1 for a failure, 2 for wrong usage or configuration, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

from synapse.cli.terminal import complain, explain, hang_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = ("serve", "generate", "models", "keys", "check_config", "simulate")
"""The modules, in the order of the help. What is heavy they import when they run."""

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. An error that is no bug becomes a line on standard error."""
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        hang_up()
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    except _errors() as exc:
        return _tell(exc)
    return code


def _run(argv: Sequence[str] | None) -> int:
    parser, commands = _build()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # after --help, --version and wrong usage
        return stop.code if isinstance(stop.code, int) else SUCCESS
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return commands[arguments.command](arguments)


def _build() -> tuple[argparse.ArgumentParser, dict[str, Callable[[argparse.Namespace], int]]]:
    parser = argparse.ArgumentParser(
        prog="synapse",
        description="A task queue for LLM generation: callers never see a rate limit.",
        epilog="`synapse COMMAND --help` has the options of each.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands = {}
    for name in COMMANDS:
        module = importlib.import_module(f"synapse.cli.{name}")
        module.add_parser(subparsers)
        commands[name.replace("_", "-")] = module.run
    return parser, commands


class _Version(argparse.Action):
    """Prints the version; argparse's own action wants it beforehand, and finding it takes longer than all of help."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from synapse import __version__

        print(f"synapse {__version__}")
        parser.exit()


def _errors() -> tuple[type[Exception], ...]:
    """Name the errors that are told in a line. They are loaded only when something went wrong."""
    from synapse.config import ConfigError
    from synapse.domain.errors import SynapseError

    return ConfigError, SynapseError, OSError


def _tell(error: Exception) -> int:
    from synapse.config import ConfigError

    complain(explain(error) if isinstance(error, OSError) else str(error))
    return USAGE if isinstance(error, ConfigError) else FAILURE
