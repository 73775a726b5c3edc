"""Starts the processes a measurement needs, each on its core, and stops them whatever happens."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from machine import Cores, on_core

HERE = Path(__file__).resolve().parent
SYNAPSE = Path(sys.executable).with_name("synapse")
READY_SECONDS = 20.0
STOP_SECONDS = 10.0
LOG_TAIL = 4000
TASKS_AT_ONCE = 1024
"""More than any load asks for, so that no task waits for a slot."""


class BenchError(Exception):
    """Something that was to be measured did not run; the message has the end of its log."""


class Bench(msgspec.Struct, frozen=True):
    """Where measurements run and what they may use."""

    cores: Cores
    scratch: Path
    """A directory that is removed at the end: configuration, databases, logs."""
    upstream: str | None = None
    """Base URL of another provider to measure against, instead of the canned one."""


class Server(msgspec.Struct, frozen=True):
    """A server that is ready."""

    name: str
    pid: int
    http: str
    """Base URL."""
    ready_seconds: float
    """From its start until it said it was ready."""
    grpc: str | None = None
    """Address of the gRPC port, where there is one."""


@contextmanager
def upstream(bench: Bench, *, events: int = 200, rate: float = 0) -> Iterator[str]:
    """Run the canned provider (or take the given one) and yield its base URL."""
    if bench.upstream is not None:
        yield bench.upstream
        return
    argv = [sys.executable, str(HERE / "upstream.py"), "--events", str(events), "--rate", str(rate)]
    with _process(bench, argv, bench.cores.upstream, "upstream") as process:
        yield f"http://127.0.0.1:{_announced_port(bench, process, 'upstream')}"


Start = Callable[[Bench, str], AbstractContextManager[Server]]
"""Runs a server in front of the provider with this base URL."""


@contextmanager
def floor(bench: Bench, provider: str) -> Iterator[Server]:
    """Run the bare proxy in front of a provider."""
    start = time.monotonic()
    argv = [sys.executable, str(HERE / "floor.py"), "--upstream", provider]
    with _process(bench, argv, bench.cores.server, "floor") as process:
        port = _announced_port(bench, process, "floor")
        _wait_ready(bench, process, port, "floor")
        yield Server("floor", process.pid, f"http://127.0.0.1:{port}", time.monotonic() - start)


@contextmanager
def synapse(bench: Bench, provider: str) -> Iterator[Server]:
    """Run `synapse serve` in front of a provider."""
    http_port, grpc_port = _free_ports(2)
    config = bench.scratch / f"config-{http_port}.yaml"
    config.write_text(json.dumps(_config(provider, http_port, grpc_port)))
    start = time.monotonic()
    argv = [str(SYNAPSE), "serve", "--config", str(config)]
    with _process(bench, argv, bench.cores.server, "synapse", announces=False) as process:
        _wait_ready(bench, process, http_port, "synapse")
        ready = time.monotonic() - start
        yield Server("synapse", process.pid, f"http://127.0.0.1:{http_port}", ready, f"127.0.0.1:{grpc_port}")


def _config(provider: str, http_port: int, grpc_port: int) -> dict[str, object]:
    return {
        "server": {"http_port": http_port, "grpc_port": grpc_port},
        "worker": {"concurrency_multiplier": TASKS_AT_ONCE},
        "models": {
            "up": _provider("openai", f"{provider}/v1", "bench"),
            "gem": _provider("gemini", provider, "benchg"),
        },
    }


def _provider(wire: str, base_url: str, code: str) -> dict[str, object]:
    return {"type": wire, "base_url": base_url, "api_keys_env": "BENCH_API_KEYS", "codes": [code]}


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
    return {**clean, "BENCH_API_KEYS": "bench-key-000000000001"}


@contextmanager
def _process(
    bench: Bench, argv: Sequence[str], core: int, name: str, *, announces: bool = True
) -> Iterator[subprocess.Popen[str]]:
    with (bench.scratch / f"{name}.log").open("w") as log, on_core(core):
        process = subprocess.Popen(  # noqa: S603 (our own scripts)
            argv,
            stdout=subprocess.PIPE if announces else log,
            stderr=log,
            text=True,
            cwd=bench.scratch,
            env=_environment(),
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _announced_port(bench: Bench, process: subprocess.Popen[str], name: str) -> int:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line.strip().isdigit():
        raise BenchError(f"{name} did not say its port; the end of its log:\n{_log(bench, name)}")
    return int(line)


def _wait_ready(bench: Bench, process: subprocess.Popen[str], port: int, name: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > end:
            fate = f"ended with {process.returncode}" if process.returncode is not None else "is not ready"
            raise BenchError(f"{name} {fate}; the end of its log:\n{_log(bench, name)}")
        time.sleep(0.005)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _log(bench: Bench, name: str) -> str:
    return (bench.scratch / f"{name}.log").read_text()[-LOG_TAIL:]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
