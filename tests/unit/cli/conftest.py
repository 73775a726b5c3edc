"""The command line as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def synapse(tmp_path: Path) -> Run:
    """Run `synapse` with arguments in an empty folder, with nothing in the environment but what a test puts there."""

    def synapse(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-m", "synapse", *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return synapse
