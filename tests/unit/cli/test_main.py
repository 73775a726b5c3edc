"""The frame of the command line: help, exit codes, errors."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from synapse.cli import COMMANDS, main
from synapse.cli.terminal import complain, explain

Run = Callable[..., subprocess.CompletedProcess[str]]
ALL_COMMANDS = ["serve", "generate", "models", "keys", "check_config", "simulate"]


def test_the_commands_are_these() -> None:
    """In the order in which a newcomer needs them."""
    assert list(COMMANDS) == ALL_COMMANDS


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A module with the two functions becomes a command; an underscore is a hyphen there."""
    command = name.replace("_", "-")

    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: synapse {command} ")
    assert callable(importlib.import_module(f"synapse.cli.{name}").run)


def test_help_names_every_command(synapse: Run) -> None:
    """And goes to standard output."""
    result = synapse("--help")

    assert result.returncode == 0
    assert result.stderr == ""
    assert all(f"\n    {name.replace('_', '-')}" in result.stdout for name in ALL_COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    """So that it answers at once: no gRPC, no HTTP, no YAML, no logging library."""
    heavy = {"grpc", "aiohttp", "uvicorn", "uvloop", "structlog", "rich", "yaml", "msgspec", "asyncio", "google"}
    script = "import sys; from synapse.cli import main; main(['--help']); print('LOADED', *sys.modules)"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603

    mark, *loaded = result.stdout.splitlines()[-1].split()
    assert mark == "LOADED"
    assert heavy.isdisjoint(loaded)


def test_the_version_is_that_of_the_package(synapse: Run) -> None:
    """As the package manager knows it."""
    result = synapse("--version")

    assert (result.returncode, result.stdout) == (0, f"synapse {version('synapse-queue')}\n")


def test_no_command_is_wrong_usage_and_shows_the_help(synapse: Run) -> None:
    """On standard error, because nothing was asked for."""
    result = synapse()

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: synapse ")


def test_an_unknown_command_is_wrong_usage(synapse: Run) -> None:
    """The message names those there are."""
    result = synapse("sevre")

    assert result.returncode == 2
    assert "'sevre'" in result.stderr
    assert "'serve'" in result.stderr


def test_a_bad_configuration_is_told_a_line_for_each_error(synapse: Run, tmp_path: Path) -> None:
    """Without a traceback, and without an answer on standard output."""
    (tmp_path / "config.yaml").write_text("server: {http_port: eighty}\nmodels: {gemini: {codes: [], x: 1}}\n")

    result = synapse("check-config")

    assert (result.returncode, result.stdout) == (2, "")
    assert [line.partition(": got")[0].partition(": unknown")[0] for line in result.stderr.splitlines()] == [
        "synapse: config.yaml:1: server.http_port",
        "synapse: config.yaml:2: models.gemini.codes",
        "synapse: config.yaml:2: models.gemini.x",
    ]


def test_serve_tells_a_bad_configuration_in_the_same_way(synapse: Run) -> None:
    """What is checked is what is served."""
    result = synapse("serve", "--config", "none.yaml")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("synapse: none.yaml: there is no such file; ")
    assert result.stderr.count("\n") == 1


def test_a_failure_is_one_line_and_exit_code_1(synapse: Run) -> None:
    """Nothing listens on port 1."""
    result = synapse("models", "--server", "127.0.0.1:1")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("synapse: ")
    assert result.stderr.count("\n") == 1


def test_what_the_system_refuses_is_told_with_the_file(synapse: Run, tmp_path: Path) -> None:
    """The file first, then the reason."""
    result = synapse("generate", "-m", "sim/echo", "--image", str(tmp_path), "hello")

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`synapse … | head` is quiet."""
    (tmp_path / "config.yaml").write_text("models: {simulator: {codes: [a]}}")
    read, write = os.pipe()
    os.close(read)

    with os.fdopen(write, "wb") as nobody_reads:
        for arguments in (["--help"], ["check-config"], ["check-config", "--json"]):
            result = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "synapse", *arguments],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"]},
                stdout=nobody_reads,
                stderr=subprocess.PIPE,
                check=False,
                timeout=30,
            )
            assert (result.returncode, result.stderr) == (1, b"")


def test_interrupting_a_command_leaves_no_traceback(tmp_path: Path) -> None:
    """Ctrl-C is exit code 130."""
    fifo = tmp_path / "config.yaml"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "synapse", "check-config"]

    with (
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process,  # noqa: S603
        fifo.open("w"),  # returns when the command waits for what is written here
    ):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (130, b"")


def test_complaints_have_no_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line has the program's name before it."""
    complain("the key AIzaSyA-1234567890abcdef\nis wrong")

    assert capsys.readouterr().err == "synapse: the key AIza…\nsynapse: is wrong\n"


def test_what_was_being_done_comes_first() -> None:
    """Where it was noted on the error."""
    error = OSError(98, "Address already in use")
    error.add_note("listening on 127.0.0.1:8080")

    assert explain(error) == "listening on 127.0.0.1:8080: Address already in use"
    assert explain(FileNotFoundError(2, "No such file or directory", "a.png")) == "a.png: No such file or directory"
    assert explain(OSError("out of luck")) == "out of luck"
    assert explain(ConnectionResetError()) == "ConnectionResetError"
