"""`synapse generate`, against a scripted server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from synapse.protos import generate_pb2 as pb
from synapse.testing.grpc_server import Abort, ScriptedServer, chunk, keepalive

if TYPE_CHECKING:
    from conftest import Run, Start

DEVNULL = asyncio.subprocess.DEVNULL
GENERATE = ("generate", "Why?", "-m", "sim/echo")
LAST = pb.Response(
    chunk="é!", finish_reason="length", usage=pb.Usage(input_tokens=1, output_tokens=2, total_tokens=3), task_id="t-1"
)


async def read_terminal(master: int) -> str:
    """Read what a terminal shows until nobody writes to it any more."""
    written = b""
    while True:
        try:
            piece = await asyncio.to_thread(os.read, master, 4096)
        except OSError:  # Linux says so when the last writer has gone
            piece = b""
        if not piece:
            return written.decode()
        written += piece


async def test_the_answer_goes_to_standard_output_and_nothing_else(run: Run) -> None:
    """Pieces are joined as they are: no note, no newline of our own in a pipe."""
    async with ScriptedServer([keepalive(), chunk("Hel"), keepalive(), chunk("lo")]) as server:
        assert await run(server.target, *GENERATE) == (0, "Hello", "")


async def test_a_piece_is_written_before_the_next_one_comes(start: Start) -> None:
    """Whoever reads the pipe sees the answer grow."""
    held_back = asyncio.Event()
    async with ScriptedServer([chunk("first"), held_back, chunk(" second")]) as server:
        process = await start(server.target, *GENERATE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()

        first = await process.stdout.readexactly(5)
        held_back.set()
        rest = await process.stdout.read()

    assert (first, rest) == (b"first", b" second")


async def test_every_option_reaches_the_server(run: Run, tmp_path: Path) -> None:
    """Model, images, sampling and times are those of the command line."""
    picture = tmp_path / "picture.gif"
    picture.write_bytes(b"GIF89a")
    sampling = ("--temperature", ".5", "--top-p", ".25", "--top-k", "4", "--output-length", "9")
    times = ("--max-wait", "3", "--timeout", "7")
    images = ("--image", str(picture), "--image", str(picture))
    async with ScriptedServer([chunk("")]) as server:
        await run("localhost:1", *GENERATE, "--no-stream", *sampling, *times, *images, "--server", server.target)

    assert server.requests == [
        pb.Request(
            prompt="Why?",
            model_code="sim/echo",
            stream=False,
            config=pb.GenerationConfig(temperature=0.5, top_p=0.25, top_k=4, output_length=9),
            images=[b"GIF89a", b"GIF89a"],
            max_wait=3,
            timeout=7,
        )
    ]


@pytest.mark.parametrize(
    ("given", "stdin", "prompt"),
    [
        (["Why?"], b"", "Why?"),
        (["Summarize:"], b"a text\n", "Summarize:\n\na text\n"),
        (["-"], b"Why?", "Why?"),
        ([], "Pourquoi ça ?".encode(), "Pourquoi ça ?"),
    ],
)
async def test_the_prompt_is_the_argument_standard_input_or_both(
    run: Run, given: list[str], stdin: bytes, prompt: str
) -> None:
    """Both are joined by a blank line; '-' and nothing mean standard input."""
    async with ScriptedServer([chunk("")]) as server:
        status, _, errors = await run(server.target, "generate", *given, "-m", "sim/echo", stdin=stdin)

    assert (status, errors) == (0, "")
    assert [request.prompt for request in server.requests] == [prompt]
    assert server.requests[0].stream is True


async def test_standard_input_that_is_no_text_is_refused(run: Run) -> None:
    """A binary file piped in by mistake is an error, not a traceback."""
    async with ScriptedServer([chunk("")]) as server:
        status, out, errors = await run(server.target, *GENERATE, stdin=b"\xff\xfe")

    assert (status, out) == (1, "")
    assert errors.startswith("synapse: standard input is not UTF-8 text")
    assert server.requests == []


async def test_without_a_prompt_on_a_terminal_it_says_what_to_give(start: Start) -> None:
    """It does not wait for a user who does not know that it reads."""
    master, slave = pty.openpty()
    try:
        process = await start("localhost:1", "generate", "-m", "sim/echo", stdin=slave)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        os.close(slave)
        os.close(master)

    assert process.returncode == 1
    assert b"there is no prompt" in errors


async def test_json_is_one_object_with_the_whole_answer(run: Run) -> None:
    """Text, reason, usage and id stand in one line of JSON; the answer is not asked for in pieces."""
    async with ScriptedServer([keepalive(), chunk("Why"), LAST]) as server:
        status, out, errors = await run(server.target, *GENERATE, "--json")

    assert (status, out.count("\n"), errors) == (0, 1, "")
    assert json.loads(out) == {
        "text": "Whyé!",
        "finish_reason": "length",
        "usage": {
            "input_tokens": 1,
            "output_tokens": 2,
            "thinking_tokens": 0,
            "cached_tokens": 0,
            "total_tokens": 3,
            "cache_write_tokens": 0,
            "cost": None,
        },
        "task_id": "t-1",
    }
    assert server.requests[0].stream is False


async def test_json_of_an_older_server_has_the_same_fields(run: Run) -> None:
    """What the server does not say is null or empty."""
    async with ScriptedServer([chunk("old")]) as server:
        _, out, _ = await run(server.target, *GENERATE, "--json")

    assert json.loads(out) == {"text": "old", "finish_reason": None, "usage": None, "task_id": ""}


async def test_an_error_is_left_to_the_command_line_after_what_came(run: Run) -> None:
    """The pieces stay; the error is on standard error and in the exit status."""
    steps = [chunk("so far"), Abort(grpc.StatusCode.UNAVAILABLE, "it broke", (("synapse-error", "provider_failed"),))]
    async with ScriptedServer(steps) as server:
        assert await run(server.target, *GENERATE) == (1, "so far", "synapse: it broke\n")


async def test_without_a_server_it_says_how_to_start_one(run: Run) -> None:
    """The command ends at once, with one line."""
    status, out, errors = await run("localhost:1", *GENERATE)

    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert "synapse serve" in errors


async def test_a_terminal_has_a_note_while_it_waits_and_a_last_newline(start: Start) -> None:
    """The note comes with the first keepalive, once, and is wiped away by the answer."""
    master, slave = pty.openpty()
    async with ScriptedServer([keepalive(), keepalive(), chunk("Hello"), keepalive(), chunk(".")]) as server:
        process = await start(server.target, *GENERATE, stdin=DEVNULL, stdout=slave, stderr=slave)
        os.close(slave)
        shown = await read_terminal(master)
        os.close(master)

    assert await process.wait() == 0
    assert shown == "waiting for an answer...\r\x1b[KHello.\r\n"


async def test_a_terminal_gets_no_second_newline(start: Start) -> None:
    """A text that ends its line is left as it is."""
    master, slave = pty.openpty()
    async with ScriptedServer([chunk("Hello\n")]) as server:
        process = await start(server.target, *GENERATE, stdin=DEVNULL, stdout=slave, stderr=slave)
        os.close(slave)
        shown = await read_terminal(master)
        os.close(master)

    assert await process.wait() == 0
    assert shown == "Hello\r\n"


async def test_an_interrupt_cancels_the_task_and_ends_with_130(start: Start) -> None:
    """Ctrl-C is heard at once, at the server too, and leaves no traceback."""
    async with ScriptedServer([chunk("first"), asyncio.Event()]) as server:
        process = await start(server.target, *GENERATE, stdin=DEVNULL)
        assert process.stdout is not None
        await process.stdout.readexactly(5)

        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 5)

        assert (process.returncode, errors) == (130, b"")
        await asyncio.wait_for(server.cancelled.wait(), 2)


async def test_a_reader_that_has_enough_ends_it_quietly(start: Start) -> None:
    """`| head` closes the pipe: the task is cancelled, and there is no complaint."""
    closed = asyncio.Event()
    reader, writer = os.pipe()
    async with ScriptedServer([chunk("first"), closed, chunk("second"), asyncio.Event()]) as server:
        process = await start(server.target, *GENERATE, stdin=DEVNULL, stdout=writer)
        os.close(writer)
        await asyncio.to_thread(os.read, reader, 5)

        os.close(reader)
        closed.set()
        _, errors = await asyncio.wait_for(process.communicate(), 5)

        assert (process.returncode, errors) == (1, b"")
        await asyncio.wait_for(server.cancelled.wait(), 2)
