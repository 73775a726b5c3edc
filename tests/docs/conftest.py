"""What the examples of README and docs talk to: a server and a simulator, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUICK = {"SYNAPSE_MODELS__SIMULATOR__TOKENS_PER_SECOND": "500"}
"""Ten times the usual pace: the examples show what comes, not how fast."""
_FREE_PORTS = {"SYNAPSE_SERVER__HTTP_PORT": "0", "SYNAPSE_SERVER__GRPC_PORT": "0"}


class Addresses(msgspec.Struct, frozen=True):
    """Where the processes listen, as `localhost:PORT`."""

    http: str
    grpc: str
    simulator: str

    def in_place(self, code: str) -> str:
        """Return an example with these in the place of the usual addresses."""
        usual = {"localhost:8080": self.http, "localhost:50051": self.grpc, "localhost:9100": self.simulator}
        for written, actual in usual.items():
            code = code.replace(written, actual)
        return code


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a user who has activated the virtual environment, and nothing else set."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {"PATH": path, "HOME": str(tmp_path_factory.mktemp("home")), "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def addresses(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Run `synapse serve` with the configuration of the repository, and `synapse simulate`."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(ROOT / "config.yaml", folder)
    with (
        _running("serve", folder, environ | _QUICK | _FREE_PORTS) as server,
        _running("simulate --port 0", folder, environ) as simulator,
    ):
        ready = _read_ready(server)
        assert simulator.stdout is not None
        url = simulator.stdout.readline().strip().rpartition(":")
        yield Addresses(_local(ready["http"]), _local(ready["grpc"]), f"localhost:{url[2]}")


@contextlib.contextmanager
def _running(command: str, folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block lasts; it must end well when it is told to stop."""
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "synapse", *command.split()],
        cwd=folder,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors


def _read_ready(server: subprocess.Popen[str]) -> dict[str, str]:
    assert server.stderr is not None
    for line in server.stderr:
        event: dict[str, str] = json.loads(line)
        if event["event"] == "ready":
            return event
    raise AssertionError("the server ended before it was ready")


def _local(address: str) -> str:
    return f"localhost:{address.rpartition(':')[2]}"
