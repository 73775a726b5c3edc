"""The processes that examples talk to: `synapse serve` and `synapse simulate`, on free ports."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FREE_PORTS = {"SYNAPSE_SERVER__HTTP_PORT": "0", "SYNAPSE_SERVER__GRPC_PORT": "0"}


class Addresses(msgspec.Struct, frozen=True):
    """Where the processes listen, as `localhost:PORT`; where one does not run, the address that pages write."""

    http: str = "localhost:8080"
    grpc: str = "localhost:50051"
    simulator: str = "localhost:9100"

    def in_place(self, code: str) -> str:
        """Return an example with these in the place of the usual addresses."""
        usual = Addresses()
        for name in self.__struct_fields__:
            code = code.replace(getattr(usual, name), getattr(self, name))
        return code

    @property
    def variables(self) -> dict[str, str]:
        """What tells commands where the server is."""
        return {"SYNAPSE_SERVER": self.grpc, "SYNAPSE_URL": f"http://{self.http}"}


@contextlib.contextmanager
def serving(script: str, folder: Path, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a server as a script starts it, while the block lasts; yields what is new among the addresses."""
    with _running(script, folder, {**_FREE_PORTS, **environ}) as process:
        assert process.stderr is not None
        for line in process.stderr:
            event: dict[str, str] = json.loads(line)
            if event["event"] == "ready":
                yield {name: _local(event[name]) for name in ("http", "grpc")}
                return
        raise AssertionError("the server ended before it was ready")


@contextlib.contextmanager
def simulating(script: str, folder: Path, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a simulator in the same way."""
    with _running(f"{script.rstrip()} --port 0", folder, environ) as process:
        assert process.stdout is not None
        yield {"simulator": _local(process.stdout.readline().strip())}


@contextlib.contextmanager
def _running(script: str, folder: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block lasts; it must end well when it is told to stop."""
    with subprocess.Popen(  # noqa: S603 - our own command
        ["bash", "-c", f"exec env {script}"],  # noqa: S607 - whichever there is
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


def _local(address: str) -> str:
    return f"localhost:{address.rpartition(':')[2]}"
