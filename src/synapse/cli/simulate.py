"""`synapse simulate`: a stand-in for the providers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synapse.cli.terminal import complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.simulator import Fault, Options, Rule, Simulator

_Value = TypeVar("_Value")
_USAGE = 2
_DESCRIPTION = """\
Answers like Gemini, OpenAI, OpenRouter and Anthropic, so that a configuration can be tried or put under load without
spending. Gemini's routes are below /v1beta and /v1, OpenRouter's below /api/v1, Anthropic's is /v1/messages, below
anything, and OpenAI's are below anything else.
"""
_EPILOG = """\
A prompt that begins with "echo " is answered with the rest of it, one that begins with "look" with the types and
lengths of its pictures, any other with lorem ipsum. Lines like "call NAME {…}" are answered with calls of these tools,
where the request has them, and the results of tools with their text; a request with a JSON Schema with the smallest
instance of it. Vectors are made of the texts alone.

A key that begins with "invalid" and a model that begins with "missing" are refused. A word is a token. A request counts
when it arrives, and not at all where its quota refuses it. OpenRouter's free models are counted together.

GET /_simulator/stats tells the requests, 429s and concurrency of each key and model, and how each quota was kept;
POST /_simulator/reset forgets it all. The first line of output is "simulator ready at URL".
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "simulate",
        help="stand in for the providers: their wire formats, quotas and failures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=9100, metavar="N", help="0 is any free port (default: 9100)")
    _add_answers(parser.add_argument_group("answers"))
    _add_quotas(parser.add_argument_group("quotas, of each project and model"))
    _add_keys(parser.add_argument_group("keys"))


def run(arguments: argparse.Namespace) -> int:
    """Simulate until told to stop: by SIGTERM or Ctrl-C. Raises `OSError` where the port cannot be had."""
    import uvloop

    from synapse.simulator import Simulator

    try:
        simulator = Simulator(options(arguments))
    except ValueError as error:
        complain(str(error))
        return _USAGE
    uvloop.run(_serve(simulator))
    return 0


async def _serve(simulator: Simulator) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator.serve() as url:
        print(f"simulator ready at {url}", flush=True)
        await stop.wait()


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--latency", type=float, default=0.0, metavar="S", help="seconds to the first token (default: 0)"
    )
    group.add_argument("--tokens", type=int, default=64, metavar="N", help="tokens of an answer (default: 64)")
    group.add_argument("--interval", type=float, default=0.0, metavar="S", help="seconds between tokens (default: 0)")
    group.add_argument("--coalesce", action="store_true", help="without an interval, send a stream in one piece")
    group.add_argument(
        "--fail",
        type=_fault,
        action="append",
        default=[],
        metavar="RATE:KIND",
        help="how large a share of the requests goes wrong how, like 0.1:503; may be repeated. 429: an error that "
        "tells nothing of quotas; 500, 503: those errors; cut: the connection closes amid the answer; stall: the "
        "answer stops coming; malformed: some of it is no JSON; slow: it takes ten times as long",
    )
    group.add_argument("--replay", type=Path, metavar="DIR", help="answer from the recordings in this directory")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (default: 0)")


def _add_quotas(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--rpm", type=int, metavar="N", help="requests per minute (default: no limit)")
    group.add_argument("--tpm", type=int, metavar="N", help="input tokens per minute (default: no limit)")
    group.add_argument("--rpd", type=int, metavar="N", help="requests per day (default: no limit)")
    group.add_argument("--tpd", type=int, metavar="N", help="input tokens per day (default: no limit)")
    group.add_argument("--concurrency", type=int, metavar="N", help="requests at once (default: no limit)")
    group.add_argument(
        "--limit",
        type=_rule,
        action="append",
        default=[],
        metavar="PROJECT/MODEL:rpm=N,…",
        help="other limits for a project and a model, either of which may be *, or :free for OpenRouter's free models; "
        "may be repeated, and the later wins",
    )
    group.add_argument(
        "--window",
        choices=("fixed", "trailing"),
        default="fixed",
        help="a minute is one of the clock, or the last 60 seconds (default: fixed)",
    )
    group.add_argument(
        "--bodies",
        choices=("full", "no-value", "bare"),
        default="full",
        help="what a 429 tells of a limit: all; not its value; nothing at all (default: full)",
    )


def _add_keys(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--project",
        type=_project,
        action="append",
        default=[],
        metavar="KEY=PROJECT",
        help="keys of one project share its quotas; any other key is a project of its own; may be repeated",
    )
    group.add_argument(
        "--dead", action="append", default=[], metavar="KEY", help="a key that is refused as invalid; may be repeated"
    )
    group.add_argument(
        "--spent",
        action="append",
        default=[],
        metavar="KEY",
        help="a key whose project has no request left today, of those per day; may be repeated",
    )


def options(arguments: argparse.Namespace) -> Options:
    """Return what a command line asks for. Raises `ValueError` for values that make no sense."""
    from synapse.simulator import Bodies, Measure, Options, Quota, Window

    return Options(
        host=arguments.host,
        port=arguments.port,
        latency=arguments.latency,
        tokens=arguments.tokens,
        interval=arguments.interval,
        coalesce=arguments.coalesce,
        faults=tuple(arguments.fail),
        replay=arguments.replay,
        seed=arguments.seed,
        limits=Quota(**{measure: getattr(arguments, measure) for measure in Measure}),
        rules=tuple(arguments.limit),
        window=Window(arguments.window),
        bodies=Bodies(arguments.bodies),
        projects=dict(arguments.project),
        dead=frozenset(arguments.dead),
        spent=frozenset(arguments.spent),
    )


def _fault(text: str) -> Fault:
    from synapse.simulator import parse_fault

    return _read(parse_fault, text)


def _rule(text: str) -> Rule:
    from synapse.simulator import parse_rule

    return _read(parse_rule, text)


def _read(parse: Callable[[str], _Value], text: str) -> _Value:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _project(text: str) -> tuple[str, str]:
    key, equals, project = text.rpartition("=")
    if not (key and equals and project):
        raise argparse.ArgumentTypeError("expected KEY=PROJECT")
    return key, project


def _main() -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(required=True)
    add_parser(subparsers)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(_main())
