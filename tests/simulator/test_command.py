"""`synapse simulate`, as a process."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synapse.cli import simulate
from synapse.simulator import Bodies, Fault, FaultKind, Options, Quota, Rule, Window

Start = Callable[..., "subprocess.Popen[str]"]
READY = "simulator ready at http://127.0.0.1:"


@pytest.fixture
def start() -> Iterator[Start]:
    """Start simulators, which are ended after the test if they have not ended by then."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "synapse.cli.simulate", "simulate", *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))  # noqa: S603
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> str:
    """Return the URL that a simulator tells."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(READY), process.communicate()[1]
    return line.removeprefix("simulator ready at ").rstrip("\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_where_it_listens_and_ends_when_told(start: Start, number: signal.Signals) -> None:
    """The URL is the first line, the exit code 0, and there is nothing to complain about."""
    process = start("--port", "0")
    with urllib.request.urlopen(ready(process) + "/_simulator/stats") as answer:  # noqa: S310
        assert answer.status == 200

    process.send_signal(number)

    assert process.wait() == 0
    assert process.communicate() == ("", "")


def test_it_ends_at_once_while_an_answer_is_on_its_way(start: Start) -> None:
    """However long that would take."""
    process = start("--port", "0", "--latency", "3600")
    host, _, port = ready(process).removeprefix("http://").partition(":")
    body = b'{"contents": [{"parts": [{"text": "hi"}]}]}'
    with socket.create_connection((host, int(port))) as connection:
        head = b"POST /v1beta/models/m:generateContent?key=k HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
        stats = b""
        while b'"in_flight":1' not in stats:
            with urllib.request.urlopen(f"http://{host}:{port}/_simulator/stats") as answer:
                stats = answer.read()

        process.terminate()

        assert process.wait() == 0
        assert process.communicate() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fail", "2:429"), "RATE is a share of all requests"),
        (("--fail", "0.1:teapot"), "KIND of 429, 500, 503, cut, stall, malformed, slow"),
        (("--fail", "0.6:429", "--fail", "0.6:500"), "add up to 1.2"),
        (("--project", "key"), "expected KEY=PROJECT"),
        (("--window", "sliding"), "fixed"),
        (("--limit", "p:rpm=1"), "expected PROJECT/MODEL:LIMIT=N"),
        (("--limit", "p/m:rps=1"), "'rps=1' is no limit"),
        (("--bodies", "none"), "no-value"),
        (("--rpm", "-1"), "rpm is -1"),
        (("--spent", "key-1"), "the key …ey-1 cannot have spent its day"),
        (("--latency", "-1"), "latency is -1.0"),
        (("--replay", "/nowhere"), "/nowhere: there are no recordings"),
    ],
)
def test_wrong_usage_is_told_and_ends_with_2(start: Start, arguments: tuple[str, ...], words: str) -> None:
    """Nothing is listened on."""
    process = start("--port", "0", *arguments)

    output, errors = process.communicate()

    assert process.returncode == 2
    assert output == ""
    assert words in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_told(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is the system's, which the command line puts into a line."""
    port = ready(start("--port", "0")).rpartition(":")[2]
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())

    with pytest.raises(OSError, match="in use"):
        simulate.run(parser.parse_args(["simulate", "--port", port]))

    assert capsys.readouterr().out == ""


def test_every_option_reaches_the_simulator(start: Start, tmp_path: Path) -> None:
    """All of them at once, and quotas shared by a project."""
    (tmp_path / "one.json").write_text(
        '{"request": {"method": "GET", "url": "https://example.com/v1/other"}, "response": {"status": 200, "body": 7}}'
    )
    arguments = "--host 127.0.0.1 --port 0 --latency 0 --tokens 5 --interval 0 --coalesce --fail 0:cut --seed 7"
    quotas = "--rpm 9 --tpm 9 --rpd 9 --tpd 9 --concurrency 9 --limit p/m:rpm=1 --limit */m:tpm=2 --window trailing"
    keys = f"--bodies no-value --project a=p --project b=p --dead d --spent b --replay {tmp_path}"
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())

    url = ready(start(*arguments.split(), *quotas.split(), *keys.split()))
    options = simulate.options(parser.parse_args(["simulate", *arguments.split(), *quotas.split(), *keys.split()]))

    with urllib.request.urlopen(f"{url}/v1/other") as answer:  # noqa: S310
        assert answer.read() == b"7"
    assert options == Options(
        port=0,
        tokens=5,
        coalesce=True,
        faults=(Fault(0, FaultKind.CUT),),
        seed=7,
        limits=Quota(rpm=9, tpm=9, rpd=9, tpd=9, concurrency=9),
        rules=(Rule("p", "m", Quota(rpm=1)), Rule("*", "m", Quota(tpm=2))),
        window=Window.TRAILING,
        bodies=Bodies.NO_VALUE,
        projects={"a": "p", "b": "p"},
        dead=frozenset({"d"}),
        spent=frozenset({"b"}),
        replay=tmp_path,
    )


def test_help_loads_nothing_heavy() -> None:
    """The servers and the event loop are for those who simulate."""
    code = (
        "import argparse, sys; from synapse.cli import simulate; parser = argparse.ArgumentParser(); "
        "simulate.add_parser(parser.add_subparsers()); parser.format_help(); "
        "print([name for name in ('uvicorn', 'uvloop', 'asyncio', 'synapse.simulator') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout == "[]\n"
