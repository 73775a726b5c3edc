"""`synapse generate`: one prompt, answered on standard output as it comes."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse.client import Client, GenerationResult
    from synapse.domain.errors import InvalidRequest


def add_server_option(parser: argparse.ArgumentParser) -> None:
    """Add `--server` to a command that talks to a server."""
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        default=os.environ.get("SYNAPSE_SERVER") or "localhost:50051",
        help="the server's gRPC port; https://HOST for TLS (default: $SYNAPSE_SERVER, or localhost:50051)",
    )


def open_client(server: str) -> Client:
    """Return a client of the server. Raises `InvalidRequest` for what is no address."""
    # gRPC reads it while it is imported; it would tell of every lost connection on standard error, as the error does.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from synapse.client import Client

    return Client(server)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "generate",
        help="answer one prompt",
        description="Sends a prompt to a running server and prints the answer as it comes. Standard input, where it is "
        "not a terminal, is the prompt, or follows it after a blank line.",
    )
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="'-' or nothing for standard input")
    parser.add_argument("-m", "--model", required=True, help="a model code; `synapse models` lists them")
    parser.add_argument("--image", action="append", default=[], metavar="FILE", help="can be given several times")
    parser.add_argument("--no-stream", action="store_true", help="print nothing before the answer is whole")
    parser.add_argument("--temperature", type=float, metavar="T")
    parser.add_argument("--top-p", type=float, metavar="P")
    parser.add_argument("--top-k", type=float, metavar="K")
    parser.add_argument("--output-length", type=int, metavar="N", help="the longest answer, in tokens")
    parser.add_argument("--max-wait", type=float, metavar="SECONDS", help="how long it may wait for its turn")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="how long it may take as a whole")
    parser.add_argument("--json", action="store_true", help="print one JSON object when the answer is whole")
    add_server_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer. Raises a `SynapseError` where there is none; whatever is raised, the task is cancelled."""
    prompt = _read_prompt(arguments.prompt)
    with open_client(arguments.server) as client, closing(_send(client, prompt, arguments)) as results:
        answer = _without_keepalives(results)
        if arguments.json:
            _print_json(answer)
        else:
            _print_text(answer)
    return 0


def _send(client: Client, prompt: str, arguments: argparse.Namespace) -> Generator[GenerationResult]:
    from synapse.client import GenerationConfig

    return client.generate_task(
        prompt=prompt,
        model_code=arguments.model,
        # What nobody watches may be tried again after its first words.
        stream=not (arguments.no_stream or arguments.json),
        config=GenerationConfig(
            temperature=arguments.temperature,
            top_p=arguments.top_p,
            top_k=arguments.top_k,
            output_length=arguments.output_length,
        ),
        images=arguments.image,
        max_wait=arguments.max_wait,
        timeout=arguments.timeout,
    )


def _without_keepalives(results: Iterable[GenerationResult]) -> Iterator[GenerationResult]:
    """Pass on what says something. Until it comes a terminal has a note, which then disappears."""
    noted = begun = False
    try:
        for result in results:
            if not result.is_keep_alive:
                noted, begun = _clear_note(noted=noted), True
                yield result
            elif not begun and not noted and sys.stderr.isatty():
                print("waiting for an answer...", end="", file=sys.stderr, flush=True)
                noted = True
    finally:
        _clear_note(noted=noted)


def _clear_note(*, noted: bool) -> bool:
    if noted:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return False


def _print_text(answer: Iterable[GenerationResult]) -> None:
    last = "\n"
    try:
        for result in answer:
            print(result.text, end="", flush=True)
            last = result.text[-1:] or last
    finally:
        if last != "\n" and sys.stdout.isatty():
            print(flush=True)


def _print_json(answer: Iterable[GenerationResult]) -> None:
    import msgspec

    from synapse.client.result import join_results

    result = join_results(list(answer))
    fields = {
        "text": result.text,
        "finish_reason": result.finish_reason,
        "usage": msgspec.to_builtins(result.usage),
        "task_id": result.task_id,
    }
    print(json.dumps(fields, ensure_ascii=False))


def _read_prompt(argument: str | None) -> str:
    """Return the argument, standard input, or both with a blank line between them."""
    if argument in {None, "-"}:
        if sys.stdin is None or (argument is None and sys.stdin.isatty()):
            raise _invalid("there is no prompt: give it as an argument or on standard input")
        return _read_standard_input()
    piped = _read_standard_input() if _is_piped() else ""
    return f"{argument}\n\n{piped}" if piped else str(argument)


def _is_piped() -> bool:
    """Whether somebody feeds standard input: what a service manager or a socket leaves there may never end."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # it is closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _read_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"standard input is not UTF-8 text: {error.reason}") from error


def _invalid(message: str) -> InvalidRequest:
    from synapse.domain.errors import InvalidRequest

    return InvalidRequest(message, field="prompt")
