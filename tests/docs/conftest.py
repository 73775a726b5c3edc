"""What the examples of README and docs talk to: a server and a simulator, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pages import ROOT
from started import Addresses, serving, simulating

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUICK = {"SYNAPSE_MODELS__SIMULATOR__TOKENS_PER_SECOND": "500"}
"""Ten times the usual pace: the examples show what comes, not how fast."""


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
        serving("synapse serve", folder, environ | _QUICK) as server,
        simulating("synapse simulate", folder, environ) as simulator,
    ):
        yield Addresses(**server, **simulator)
